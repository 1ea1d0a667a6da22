from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TransactionsConfig(AppConfig):
    name = "transactions"
    verbose_name = "Ledger"

    def ready(self) -> None:
        from transactions.ledger.accounts import ensure_after_migrate

        post_migrate.connect(ensure_after_migrate, sender=self, dispatch_uid="transactions.ensure_accounts")
