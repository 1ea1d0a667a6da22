"""Django's side of log-in and rights, for the admin: the password check of the API, and the role's group as rights."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Permission

from fintech_core import clock
from fintech_core.db import unit_of_work
from fintech_core.identifiers import InvalidIdentifier, normalise_email
from users.authentication import anonymous
from users.models import User
from users.passwords import password_matches
from users.selectors import user_for_log_in
from users.services import lockout
from users.services.sessions import may_log_in


class RoleBackend(BaseBackend):
    """A user's permissions are those of the group named after `user.role`; an inactive user has none."""

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """One password hash is computed whatever is wrong; tries are counted as those of the API are.

        Raises TooManyAttempts, which a middleware makes a page of.
        """
        actor, now = anonymous("admin.log_in"), clock.now()
        try:
            address = normalise_email(username or "")
        except InvalidIdentifier:
            password_matches(None, password or "")
            return None
        unit_of_work(lambda: lockout.count_try(actor=actor, address=address, now=now))
        user = user_for_log_in(address)
        if not password_matches(user, password or "") or user is None or not may_log_in(user):
            unit_of_work(lambda: lockout.record_refusal(actor=actor, address=address, user=user))
            return None
        known = user
        unit_of_work(lambda: lockout.succeeded(actor=actor, user=known, address=address, now=now))
        return user

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
