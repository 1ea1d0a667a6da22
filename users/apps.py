"""The app, and the one signal of the house: after migrate the roles' groups are made to say what `users.roles` says."""

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class UsersConfig(AppConfig):
    name = "users"
    verbose_name = "Users"

    def ready(self) -> None:
        from users import checks, schema  # noqa: F401 - register themselves, the latter with drf-spectacular

        post_migrate.connect(_ensure_roles, dispatch_uid="users.ensure_roles")


def _ensure_roles(sender: AppConfig, apps: Any = apps, **_: Any) -> None:
    """Runs once, after the last app's permissions were created (`create_permissions` hears each app's signal first)."""
    from users.roles import ensure_roles

    if sender.name == _last_app_with_models() and _auth_is_migrated(apps):
        ensure_roles()


def _last_app_with_models() -> str:
    return [config.name for config in apps.get_app_configs() if config.models_module is not None][-1]


def _auth_is_migrated(state: Any) -> bool:
    """False while someone migrates back to a state without groups."""
    try:
        state.get_model("auth", "Permission")
    except LookupError:
        return False
    return True
