"""The beat jobs of the room's packages, for Celery's discovery."""

from transactions.holds.tasks import expire_holds
from transactions.schedules.tasks import run_schedules
from transactions.seals.tasks import seal_ledger
from transactions.transfers.tasks import purge_outflows

__all__ = ["expire_holds", "purge_outflows", "run_schedules", "seal_ledger"]
