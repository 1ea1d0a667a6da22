"""Database-enforced invariants of reconciliation, whichever client writes.

Statements are journals. Of a line only its status moves, of a break only its owner, its candidates and its resolution,
and a resolved break never changes. A match balances: its lines add up to its entries, a ledger DEBIT of a clearing
account being money that came in there. Statements, lines, breaks and matches are of one account, as are their parts.
A match changes once, when it is taken back, and then none of its parts is live. Checks of matches are deferred, since
the parts follow their match. A proposal is decided once; an external account is retired once.
"""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, append_only, refuse
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
    "settlement",
    "created_at",
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


_PROPOSAL_FACTS = (
    "id",
    "account_id",
    "rule",
    "lines",
    "entries",
    "amount",
    "fingerprint",
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
    IF NEW.status <> OLD.status AND (OLD.status = 'RESOLVED' OR OLD.status = 'MATCHED' AND (NEW.status <> 'UNMATCHED'
        OR EXISTS (SELECT 1 FROM reconciliation_matchedline part WHERE part.line_id = NEW.id AND part.live)))
    THEN
        RAISE EXCEPTION 'a line that is % stays so', OLD.status
            USING ERRCODE = '23514', CONSTRAINT = 'recon_line_map';
    END IF;
    RETURN NEW;
"""  # noqa: S608 - our own column names

_MATCH_MAP = """
    IF (NEW.id, NEW.account_id, NEW.rule, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.account_id, OLD.rule, OLD.created_at)
        OR OLD.taken_back_at IS NOT NULL
    THEN
        RAISE EXCEPTION 'a match never changes' USING ERRCODE = '23514', CONSTRAINT = 'recon_match_map';
    END IF;
    RETURN NEW;
"""

_PART_MAP = """
    IF (NEW.id, NEW.match_id, NEW.{side}_id) IS DISTINCT FROM (OLD.id, OLD.match_id, OLD.{side}_id) OR NEW.live
        OR NOT EXISTS (SELECT 1 FROM reconciliation_match m WHERE m.id = NEW.match_id AND m.taken_back_at IS NOT NULL)
    THEN
        RAISE EXCEPTION 'a part of a match never changes' USING ERRCODE = '23514', CONSTRAINT = '{name}';
    END IF;
    RETURN NEW;
"""

_PROPOSAL_MAP = f"""
    IF {_row("NEW", _PROPOSAL_FACTS)} IS DISTINCT FROM {_row("OLD", _PROPOSAL_FACTS)} OR OLD.status <> 'OPEN' THEN
        RAISE EXCEPTION 'a proposal changes once, when it is decided'
            USING ERRCODE = '23514', CONSTRAINT = 'recon_proposal_map';
    END IF;
    RETURN NEW;
"""

_EXTERNAL_ACCOUNT_MAP = """
    IF (NEW.id, NEW.account_id, NEW.identifier, NEW.added_by, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.account_id, OLD.identifier, OLD.added_by, OLD.created_at)
        OR OLD.retired_at IS NOT NULL
    THEN
        RAISE EXCEPTION 'an external account changes once, when it is retired'
            USING ERRCODE = '23514', CONSTRAINT = 'recon_external_account_map';
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

_BREAK_ACCOUNT = """
    IF EXISTS (SELECT 1 FROM reconciliation_statementline line, reconciliation_reconciledaccount account
               WHERE line.id = NEW.line_id AND account.id = NEW.account_id
                   AND (line.account_code, line.currency) <> (account.account_code, account.currency))
        OR EXISTS (SELECT 1 FROM transactions_ledgerentry entry
                   JOIN wallet_wallet wallet ON wallet.id = entry.wallet_id, reconciliation_reconciledaccount account
                   WHERE entry.id = NEW.entry_id AND account.id = NEW.account_id
                       AND (wallet.account_code, wallet.currency)
                           IS DISTINCT FROM (account.account_code, account.currency))
    THEN
        RAISE EXCEPTION 'the line or the entry of a break is of another account'
            USING ERRCODE = '23514', CONSTRAINT = 'recon_break_account';
    END IF;
    RETURN NEW;
"""

_LINE_ACCOUNT = """
    IF EXISTS (SELECT 1 FROM reconciliation_statement statement WHERE statement.id = NEW.statement_id
               AND (statement.account_code, statement.currency) <> (NEW.account_code, NEW.currency))
    THEN
        RAISE EXCEPTION 'a line is of its statement''s account'
            USING ERRCODE = '23514', CONSTRAINT = 'recon_line_account';
    END IF;
    RETURN NEW;
"""

_STATEMENT_ACCOUNT = """
    IF EXISTS (SELECT 1 FROM reconciliation_reconciledaccount account WHERE account.id = NEW.account_id
               AND (account.account_code, account.currency) <> (NEW.account_code, NEW.currency))
    THEN
        RAISE EXCEPTION 'a statement names the account that it belongs to'
            USING ERRCODE = '23514', CONSTRAINT = 'recon_statement_account';
    END IF;
    RETURN NEW;
"""

_BALANCE = """
    IF EXISTS (SELECT 1 FROM reconciliation_matchedline part
               JOIN reconciliation_match m ON m.id = part.match_id
               JOIN reconciliation_reconciledaccount account ON account.id = m.account_id
               JOIN reconciliation_statementline line ON line.id = part.line_id
               WHERE part.match_id = {match}
                   AND (line.account_code, line.currency) <> (account.account_code, account.currency))
        OR EXISTS (SELECT 1 FROM reconciliation_matchedentry part
                   JOIN reconciliation_match m ON m.id = part.match_id
                   JOIN reconciliation_reconciledaccount account ON account.id = m.account_id
                   JOIN transactions_ledgerentry entry ON entry.id = part.entry_id
                   JOIN wallet_wallet wallet ON wallet.id = entry.wallet_id
                   WHERE part.match_id = {match}
                       AND (wallet.account_code, wallet.currency)
                           IS DISTINCT FROM (account.account_code, account.currency))
    THEN
        RAISE EXCEPTION 'a line or an entry of match % is of another account', {match}
            USING ERRCODE = '23514', CONSTRAINT = '{name}';
    END IF;
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
    SELECT bool_and(part.live = (m.taken_back_at IS NULL)) FROM reconciliation_match m
        JOIN (SELECT match_id, live FROM reconciliation_matchedline WHERE match_id = {match}
              UNION ALL SELECT match_id, live FROM reconciliation_matchedentry WHERE match_id = {match}) part
        ON part.match_id = m.id INTO balanced;
    IF NOT balanced THEN
        RAISE EXCEPTION 'the parts of match % are live exactly as long as it is not taken back', {match}
            USING ERRCODE = '23514', CONSTRAINT = '{name}';
    END IF;
    RETURN NULL;
"""


def _map(name: str, func: str, what: str) -> list[SealedTrigger]:
    """Rows that change within a map, and are never deleted."""
    prefix = name.removesuffix("_map")
    return [
        SealedTrigger(
            name=name,
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            level=pgtrigger.Row,
            func=func,
        ),
        refuse(f"{prefix}_no_delete", pgtrigger.Delete, f"{what} are never deleted"),
        refuse(f"{prefix}_no_truncate", pgtrigger.Truncate, f"{what} are never deleted"),
    ]


def _on_insert(name: str, func: str) -> SealedTrigger:
    return SealedTrigger(name=name, when=pgtrigger.Before, operation=pgtrigger.Insert, level=pgtrigger.Row, func=func)


def line_triggers() -> list[SealedTrigger]:
    return [
        *_map("recon_line_map", _LINE_MAP, "statement lines"),
        _on_insert("recon_line_account", _LINE_ACCOUNT),
    ]


def break_triggers() -> list[SealedTrigger]:
    return [
        *_map("recon_break_map", _BREAK_MAP, "breaks"),
        _on_insert("recon_break_account", _BREAK_ACCOUNT),
    ]


def proposal_triggers() -> list[SealedTrigger]:
    return _map("recon_proposal_map", _PROPOSAL_MAP, "proposals")


def external_account_triggers() -> list[SealedTrigger]:
    return _map("recon_external_account_map", _EXTERNAL_ACCOUNT_MAP, "external accounts")


def _balances(name: str, match: str, operation: pgtrigger.Operation | pgtrigger.Operations) -> SealedTrigger:
    return SealedTrigger(
        name=name,
        when=pgtrigger.After,
        operation=operation,
        level=pgtrigger.Row,
        timing=pgtrigger.Deferred,
        declare=[("balanced", "BOOLEAN")],
        func=_BALANCE.format(match=match, name=name),
    )


def statement_triggers() -> list[SealedTrigger]:
    return [
        *append_only("recon_statement", "statements"),
        _on_insert("recon_statement_account", _STATEMENT_ACCOUNT),
    ]


def match_triggers() -> list[SealedTrigger]:
    return [
        *_map("recon_match_map", _MATCH_MAP, "matches"),
        _balances("recon_match_balances", "NEW.id", pgtrigger.Insert | pgtrigger.Update),
    ]


def matched_line_triggers() -> list[SealedTrigger]:
    return [
        *_map("recon_mline_map", _PART_MAP.format(side="line", name="recon_mline_map"), "matches"),
        _balances("recon_mline_balances", "NEW.match_id", pgtrigger.Insert | pgtrigger.Update),
    ]


def matched_entry_triggers() -> list[SealedTrigger]:
    return [
        *_map("recon_mentry_map", _PART_MAP.format(side="entry", name="recon_mentry_map"), "matches"),
        _balances("recon_mentry_balances", "NEW.match_id", pgtrigger.Insert | pgtrigger.Update),
    ]
