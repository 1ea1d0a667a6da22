"""Which accounts at banks and gateways a clearing account stands for: added, retired, recognised at an import."""

import uuid
from collections.abc import Sequence
from http import HTTPStatus

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, InvalidTransition, NotFound
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from reconciliation.identifiers import MAX_LENGTH, masked, normal_form
from reconciliation.locks import lock_account, lock_external_account
from reconciliation.models import ExternalAccount, ReconciledAccount
from transactions.ledger.accounts import codes


class ExternalAccountUnknown(DomainError):
    code = "external_account_unknown"
    status = HTTPStatus.CONFLICT
    title = "The file is for an account that isn't registered for this clearing account."


class ExternalAccountExists(DomainError):
    code = "external_account_exists"
    status = HTTPStatus.CONFLICT
    title = "The clearing account already has this external account."


class ExternalAccountInvalid(DomainError):
    code = "external_account_invalid"
    status = HTTPStatus.BAD_REQUEST
    title = "The identifier of an external account has 1 to 64 printable characters."


def clearing_accounts() -> list[str]:
    """The codes of the accounts that statements can be imported for."""
    return [code for code in codes() if code.startswith("clearing:")]


def locked_account(account_code: str, currency: str) -> ReconciledAccount:
    """The clearing account's row, made if there is none, under its lock. Raises NotFound."""
    if account_code not in clearing_accounts():
        raise NotFound("There is no such clearing account.")
    known = ReconciledAccount.objects.filter(account_code=account_code, currency=currency)
    if not known.exists():
        new = ReconciledAccount(account_code=account_code, currency=currency, created_at=clock.now())
        # Two at once: the second waits for the first and then finds its row.
        ReconciledAccount.objects.bulk_create([new], ignore_conflicts=True)
    locked = lock_account(known.values_list("pk", flat=True).get())
    if locked is None:
        raise NotFound
    return locked


def add_external_account(
    *, actor: Actor, account_code: str, currency: str, identifier: str, reason: str
) -> ExternalAccount:
    """Say that a clearing account stands for this external account, so that its statements are taken.

    Raises PermissionDenied, NotFound (no such clearing account), ExternalAccountInvalid, ExternalAccountExists.
    """
    actor.require(Capability.RECONCILE)
    name = normal_form(identifier)
    if not 1 <= len(name) <= MAX_LENGTH or not name.isprintable():
        raise ExternalAccountInvalid
    account = locked_account(account_code, currency)
    if _known(account, [name]):
        raise ExternalAccountExists
    return _add(actor, account, [name], reason)[0]


def retire_external_account(*, actor: Actor, external_id: uuid.UUID, reason: str) -> ExternalAccount:
    """From now on statements of this external account need confirmation again, and no more of them are expected.

    Raises PermissionDenied, NotFound, InvalidTransition (retired already).
    """
    actor.require(Capability.RECONCILE)
    found = lock_external_account(external_id)
    if found is None:
        raise NotFound
    if found.retired_at is not None:
        raise InvalidTransition("The external account is retired.")
    found.retired_at, found.retired_by = clock.now(), _person(actor)
    found.save(update_fields=["retired_at", "retired_by"])
    record_and_publish(
        actor, "external_account.retired", found, before=_facts(found.account, found.identifier), reason=reason
    )
    return found


def recognise(*, actor: Actor, account: ReconciledAccount, identifiers: Sequence[str], confirmed: bool) -> None:
    """Refuse a file of accounts that the locked clearing account isn't known to stand for, or record them if confirmed.

    A file that names no account (CSV) says nothing about whose it is. Raises ExternalAccountUnknown.
    """
    named = sorted({name for name in identifiers if name})
    known = _known(account, named)
    unknown = [name for name in named if name not in known]
    if not unknown:
        return
    if confirmed:
        _add(actor, account, unknown, "Confirmed at the import of a statement.")
        return
    elsewhere = ExternalAccount.objects.filter(identifier__in=unknown, retired_at__isnull=True).exclude(account=account)
    of = ", ".join(masked(name) for name in unknown)
    detail = f"The file is of {of}, which {account} isn't known to stand for. Confirm it if it does."
    others = sorted({str(other.account) for other in elsewhere.select_related("account")})
    if others:
        detail += f" It belongs to {', '.join(others)}."
    raise ExternalAccountUnknown(detail, extensions={"external_accounts": [masked(name) for name in unknown]})


def _known(account: ReconciledAccount, names: Sequence[str]) -> set[str]:
    rows = ExternalAccount.objects.filter(account=account, identifier__in=names, retired_at__isnull=True)
    return set(rows.values_list("identifier", flat=True))


def _add(actor: Actor, account: ReconciledAccount, names: Sequence[str], reason: str) -> list[ExternalAccount]:
    now = clock.now()
    rows = [
        ExternalAccount(account=account, identifier=name, added_by=_person(actor), created_at=now) for name in names
    ]
    ExternalAccount.objects.bulk_create(rows)
    for row in rows:
        after = _facts(account, row.identifier)
        record_and_publish(actor, "external_account.added", row, after=after, reason=reason)
    return rows


def _facts(account: ReconciledAccount, identifier: str) -> dict[str, str]:
    return {"account": account.account_code, "currency": account.currency, "external_account": masked(identifier)}


def _person(actor: Actor) -> uuid.UUID | None:
    return None if actor.kind == ActorKind.SYSTEM else actor.id
