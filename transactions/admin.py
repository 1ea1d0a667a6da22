"""The admin pages of the room's packages, for Django's discovery."""

from transactions.closing import admin as closing
from transactions.exchange import admin as exchange
from transactions.fees import admin as fees
from transactions.holds import admin as holds
from transactions.ledger import admin as ledger
from transactions.monitors import admin as monitors
from transactions.schedules import admin as schedules
from transactions.seals import admin as seals
from transactions.transfers import admin as transfers

__all__ = ["closing", "exchange", "fees", "holds", "ledger", "monitors", "schedules", "seals", "transfers"]
