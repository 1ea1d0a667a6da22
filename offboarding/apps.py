from django.apps import AppConfig


class OffboardingConfig(AppConfig):
    name = "offboarding"
    verbose_name = "Offboarding"

    def ready(self) -> None:
        from offboarding.services import organizations  # noqa: F401 - its refusals are error codes of the API
