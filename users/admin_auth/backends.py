"""Django's side of rights, for the admin: the role's group. Logging in is done in forms.py alone."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Permission

from users.models import User


class RoleBackend(BaseBackend):
    """A user's permissions are those of the group named after `user.role`; an inactive user has none."""

    def get_user(self, user_id: Any) -> User | None:
        """Asked at every request of a browser session: deactivation takes effect at once."""
        return User.objects.filter(pk=user_id, is_active=True).first()

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return self.get_all_permissions(user_obj, obj)

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """`app_label.codename` of the role's group, read once per user object (that is, per request)."""
        if not user_obj.is_active or obj is not None:
            return set()
        cached: tuple[str, set[str]] | None = getattr(user_obj, "_role_permissions", None)
        if cached is None or cached[0] != user_obj.role:
            rows = Permission.objects.filter(group__name=user_obj.role).values_list(
                "content_type__app_label", "codename"
            )
            cached = (user_obj.role, {f"{app}.{codename}" for app, codename in rows})
            user_obj._role_permissions = cached
        return cached[1]

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return any(name.startswith(f"{app_label}.") for name in self.get_all_permissions(user_obj))
