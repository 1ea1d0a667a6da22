"""What the database guarantees of reconciliation, whoever writes.

Statements and matches are journals. Of a line only its status moves, of a break only its owner, its candidates and
its resolution, and a resolved break never changes. A match balances: its lines add up to its entries, a ledger DEBIT
of a clearing account being money that came in there. The check is deferred, since the parts follow their match.
"""

import pgtrigger

from fintech_core.dbtriggers import SealedTrigger, append_only, refuse
from reconciliation.enums import TRANSITIONS

_LINE_FACTS = (
    "id",
    "statement_id",
    "account_code",
    "currency",
    "ordinal",
    "booking_date",
    "value_date",
    "amount",
    "reference",
    "all_references",
    "bank_reference",
    "description",
    "identity",
)
_BREAK_FACTS = (
    "id",
    "account_id",
    "break_class",
    "line_id",
    "entry_id",
    "line_amount",
    "entry_amount",
    "difference",
    "opened_at",
    "created_at",
)


def _row(alias: str, columns: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"{alias}.{column}" for column in columns) + ")"


_MOVES = ", ".join(
    sorted(f"('{source.value}', '{target.value}')" for source, targets in TRANSITIONS.items() for target in targets)
)

_LINE_MAP = f"""
    IF {_row("NEW", _LINE_FACTS)} IS DISTINCT FROM {_row("OLD", _LINE_FACTS)} THEN
        RAISE EXCEPTION 'what a statement says never changes' USING ERRCODE = '23514', CONSTRAINT = 'recon_line_map';
    END IF;
    IF OLD.status IN ('MATCHED', 'RESOLVED') AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'a line that is % stays so', OLD.status
            USING ERRCODE = '23514', CONSTRAINT = 'recon_line_map';
    END IF;
    RETURN NEW;
"""

_BREAK_MAP = f"""
    IF {_row("NEW", _BREAK_FACTS)} IS DISTINCT FROM {_row("OLD", _BREAK_FACTS)} THEN
        RAISE EXCEPTION 'the facts of a break never change' USING ERRCODE = '23514', CONSTRAINT = 'recon_break_map';
    END IF;
    IF OLD.status = 'RESOLVED' THEN
        RAISE EXCEPTION 'a resolved break never changes' USING ERRCODE = '23514', CONSTRAINT = 'recon_break_map';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN ({_MOVES}) THEN
        RAISE EXCEPTION 'a break never moves from % to %', OLD.status, NEW.status
            USING ERRCODE = '23514', CONSTRAINT = 'recon_break_map';
    END IF;
    RETURN NEW;
"""

_BALANCE = """
    SELECT coalesce((SELECT sum(line.amount) FROM reconciliation_matchedline part
                     JOIN reconciliation_statementline line ON line.id = part.line_id
                     WHERE part.match_id = {match}), 0)
         = coalesce((SELECT sum(CASE entry.direction WHEN 'DEBIT' THEN entry.amount ELSE -entry.amount END)
                     FROM reconciliation_matchedentry part
                     JOIN transactions_ledgerentry entry ON entry.id = part.entry_id
                     WHERE part.match_id = {match}), 0)
       AND EXISTS (SELECT 1 FROM reconciliation_matchedentry part WHERE part.match_id = {match}) INTO balanced;
    IF NOT balanced THEN
        RAISE EXCEPTION 'the lines and entries of match % do not add up', {match}
            USING ERRCODE = '23514', CONSTRAINT = '{name}';
    END IF;
    RETURN NULL;
"""


def line_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="recon_line_map",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            level=pgtrigger.Row,
            func=_LINE_MAP,
        ),
        refuse("recon_line_no_delete", pgtrigger.Delete, "statement lines are never deleted"),
        refuse("recon_line_no_truncate", pgtrigger.Truncate, "statement lines are never deleted"),
    ]


def break_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="recon_break_map",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            level=pgtrigger.Row,
            func=_BREAK_MAP,
        ),
        refuse("recon_break_no_delete", pgtrigger.Delete, "breaks are never deleted"),
        refuse("recon_break_no_truncate", pgtrigger.Truncate, "breaks are never deleted"),
    ]


def _balances(name: str, match: str) -> SealedTrigger:
    return SealedTrigger(
        name=name,
        when=pgtrigger.After,
        operation=pgtrigger.Insert,
        level=pgtrigger.Row,
        timing=pgtrigger.Deferred,
        declare=[("balanced", "BOOLEAN")],
        func=_BALANCE.format(match=match, name=name),
    )


def statement_triggers() -> list[SealedTrigger]:
    return append_only("recon_statement", "statements")


def match_triggers() -> list[SealedTrigger]:
    return [*append_only("recon_match", "matches"), _balances("recon_match_balances", "NEW.id")]


def matched_line_triggers() -> list[SealedTrigger]:
    return [*append_only("recon_mline", "matches"), _balances("recon_mline_balances", "NEW.match_id")]


def matched_entry_triggers() -> list[SealedTrigger]:
    return [*append_only("recon_mentry", "matches"), _balances("recon_mentry_balances", "NEW.match_id")]
