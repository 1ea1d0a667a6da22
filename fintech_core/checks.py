"""Deployment checks: what must not reach production."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register


@register(Tags.security, deploy=True)
def production_settings(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Refuse the simulator, unverified addresses, short or shared keys."""
    errors = []
    if settings.SIMULATOR_ENABLED:
        errors.append(Error("SIMULATOR_ENABLED lets anyone make money up.", hint="Set it to False.", id="fintech.E001"))
    if not settings.EMAIL_VERIFICATION:
        errors.append(Error("EMAIL_VERIFICATION is off.", hint="Set it to on.", id="fintech.E002"))
    keys = {name: getattr(settings, name) for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "IDEMPOTENCY_HMAC_KEY")}
    if len(set(keys.values())) < len(keys):
        errors.append(
            Error("Two secrets have the same value.", hint=f"Give each its own: {', '.join(keys)}.", id="fintech.E003")
        )
    errors += [
        Error(f"{name} has fewer than 32 characters.", hint="Generate 32 random bytes.", id="fintech.E004")
        for name, value in keys.items()
        if len(value) < 32
    ]
    if settings.ENVIRONMENT != "production":
        errors.append(Error("ENVIRONMENT is not production.", id="fintech.E005"))
    return errors
