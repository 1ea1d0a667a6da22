from django.apps import AppConfig


class FintechCoreConfig(AppConfig):
    name = "fintech_core"
    verbose_name = "Kernel"

    def ready(self) -> None:
        from fintech_core import composition, wiring
        from fintech_core.admin import pages  # noqa: F401 - registers the kernel's tables in the admin
        from fintech_core.ops import checks  # noqa: F401 - registers the deployment checks

        wiring.install(composition.WIRING)
        composition.load_services()
