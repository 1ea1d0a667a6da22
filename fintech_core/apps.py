from django.apps import AppConfig


class FintechCoreConfig(AppConfig):
    name = "fintech_core"
    verbose_name = "Kernel"

    def ready(self) -> None:
        from fintech_core import checks  # noqa: F401 - registers the deployment checks
