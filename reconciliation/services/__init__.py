"""Use cases of reconciliation."""

from reconciliation.services.breaks import BreakOwnerUnavailable, assign_break, resolve_break
from reconciliation.services.imports import (
    StatementExists,
    StatementFile,
    StatementLineExists,
    clearing_accounts,
    import_statements,
    read_statements,
)
from reconciliation.services.runs import TASK_ONE, RunReport, TooMuchOpen, reconcile_account

__all__ = [
    "TASK_ONE",
    "BreakOwnerUnavailable",
    "RunReport",
    "StatementExists",
    "StatementFile",
    "StatementLineExists",
    "TooMuchOpen",
    "assign_break",
    "clearing_accounts",
    "import_statements",
    "read_statements",
    "reconcile_account",
    "resolve_break",
]
