"""Reads of balance monitors."""

from django.db.models import QuerySet

from transactions.monitors.models import Monitor
from wallet.models import Wallet


def monitors_of(wallet: Wallet) -> QuerySet[Monitor]:
    return Monitor.objects.filter(wallet=wallet).select_related("wallet")
