"""Use cases of reconciliation."""

from reconciliation.services.breaks import BreakOwnerUnavailable, assign_break, resolve_break
from reconciliation.services.external_accounts import (
    ExternalAccountExists,
    ExternalAccountUnknown,
    add_external_account,
    clearing_accounts,
    retire_external_account,
)
from reconciliation.services.identity import StatementExists, StatementRepeats
from reconciliation.services.imports import StatementFile, import_statements, read_statements
from reconciliation.services.matches import take_back_match
from reconciliation.services.proposals import ProposalOutdated, confirm_proposal, reject_proposal
from reconciliation.services.runs import TASK_ONE, RunReport, TooMuchOpen, reconcile_account

__all__ = [
    "TASK_ONE",
    "BreakOwnerUnavailable",
    "ExternalAccountExists",
    "ExternalAccountUnknown",
    "ProposalOutdated",
    "RunReport",
    "StatementExists",
    "StatementFile",
    "StatementRepeats",
    "TooMuchOpen",
    "add_external_account",
    "assign_break",
    "clearing_accounts",
    "confirm_proposal",
    "import_statements",
    "read_statements",
    "reconcile_account",
    "reject_proposal",
    "resolve_break",
    "retire_external_account",
    "take_back_match",
]
