"""The audit chain in tests: sealed to the end, and verified."""

import time

from fintech_core.audit import chain as audit_chain
from fintech_core.audit.models import AuditLog
from fintech_core.db.work import read_only_snapshot
from fintech_core.tasks import seal_audit


def seal_everything() -> None:
    """The horizon is the whole cluster's: transactions of tests that run beside this one hold it back for a while."""
    deadline = time.monotonic() + 60
    while AuditLog.objects.filter(link__isnull=True).exists():
        seal_audit()
        assert time.monotonic() < deadline, "the horizon does not move"


def problems() -> list[tuple[str, str]]:
    with read_only_snapshot():
        return [(problem.check, problem.row) for problem in audit_chain.verify()]
