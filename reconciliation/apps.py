"""The room of reconciliation: what banks and gateways say happened, against what the ledger says."""

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "reconciliation"
    verbose_name = "Reconciliation"
