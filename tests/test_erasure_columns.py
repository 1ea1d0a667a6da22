"""Every column that may hold personal data has a way out, or a reason to stay that was thought about.

A new encrypted column, blind index or longer text fails here until somebody has written down what erases it.
`test_erasure_everywhere.py` shows that the erasers work.
"""

from collections.abc import Iterator

from django.apps import apps
from django.db import models
from django.utils.module_loading import import_string

from fintech_core.security.encrypted_fields import BlindIndexField, EncryptedTextField

SHORT = 64  # codes, states, digests; a shorter text is looked at with its model
PERSON = "users.services.erasure.erase_person"
INVITATION = "organizations.services.invitations.forget_invitations"
ORGANIZATION = "organizations.services.closing.erase_closed_organizations"
SUBMISSION = "compliance.services.erase_submissions"

# What erases an encrypted column or its blind index: of an erased person, or of an organization past its retention.
SEALED = {
    "users_user": (PERSON, {"email", "phone", "first_name", "last_name"}),
    "users_registration": (PERSON, {"email", "phone", "first_name", "last_name"}),
    "messaging_message": ("messaging.services.messages.forget_recipients", {"recipient", "context"}),
    "users_totpdevice": ("users.services.enrolment.delete_factors", {"secret"}),
    "users_session": (PERSON, {"ip"}),
    "organizations_organization": (ORGANIZATION, {"tax_number"}),
    "organizations_invitation": (INVITATION, {"email"}),
    "organizations_payoutaccount": (ORGANIZATION, {"details"}),
    "compliance_kycsubmission": (
        SUBMISSION,
        {"first_name", "last_name", "date_of_birth", "address", "document_number", "document"},
    ),
}
# Longer texts in clear that somebody may write into, by what erases them.
TEXTS = {
    "users_user.password": PERSON,
    "users_registration.password": PERSON,
    "users_apikey.name": PERSON,
    "users_session.user_agent": PERSON,
    "organizations_organization.legal_name": ORGANIZATION,
    "organizations_payoutaccount.label": ORGANIZATION,
    "transactions_transaction.description": "transactions.ledger.services.erase_texts_of_transactions",
    "transactions_transaction.metadata": "transactions.ledger.services.erase_texts_of_transactions",
    "transactions_hold.description": "transactions.holds.services.erase_texts_of_holds",
    "transactions_transferschedule.description": "transactions.schedules.services.schedules.erase_texts_of_schedules",
    "transactions_monitor.description": "transactions.monitors.services.delete_monitors_of",
    "payments_paymentintent.return_url": "payments.services.erase_return_addresses",
    "fintech_core_idempotencyrecord.key": "offboarding.services.erasure._forget_answers",
}
_OURS = "codes, names of our programs, or ids"
_STAFF = "what staff said; they are asked for no personal data (docs/security.md, Erasure)"
_BANK = "a bank's statement: kept as the books are, names no customer of ours by a key"
_PROVIDER = "a provider's ids and states"
# Those that stay, and why.
KEPT = {
    "fintech_core_auditlog.actor_name": _OURS,
    "fintech_core_auditlog.actor_roles": _OURS,
    "fintech_core_auditlog.before": "states, amounts, ids and names of fields (tests/test_leaks.py)",
    "fintech_core_auditlog.after": "states, amounts, ids and names of fields (tests/test_leaks.py)",
    "fintech_core_auditlog.reason": _STAFF,
    "fintech_core_idempotencyrecord.content_type": _OURS,
    "fintech_core_outboxevent.payload": "states, amounts and ids (tests/test_leaks.py)",
    "compliance_kycsubmission.reject_reason": _STAFF,
    "transactions_scheduledrun.detail": _OURS,
    "reconciliation_statement.statement_id": _BANK,
    "reconciliation_statement.number": _BANK,
    "reconciliation_statementline.reference": _BANK,
    "reconciliation_statementline.bank_reference": _BANK,
    "reconciliation_statementline.description": _BANK,
    "reconciliation_match.reason": _STAFF,
    "reconciliation_proposal.reason": _STAFF,
    "reconciliation_break.candidates": _OURS,
    "reconciliation_break.resolution": _STAFF,
    "payments_paymentintent.provider_payment_id": _PROVIDER,
    "payments_paymentintent.failure_reason": _PROVIDER,
    "payments_incomingpayment.provider_payment_id": _PROVIDER,
    "payments_webhookevent.event_id": _PROVIDER,
    "payments_webhookevent.type": _PROVIDER,
    "payments_webhookevent.headers": _PROVIDER,
    "payments_webhookevent.error": _OURS,
    "payments_simulatordelivery.url": _OURS,
}
OF_DJANGO = {"admin", "auth", "contenttypes", "sessions"}  # staff's sessions and logs, names of permissions


def columns() -> Iterator[models.Field]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label not in OF_DJANGO:
            yield from model._meta.concrete_fields


def is_longer_text(column: models.Field) -> bool:
    if isinstance(column, models.JSONField):
        return True
    is_text = isinstance(column, models.CharField | models.TextField) and not column.choices
    return is_text and (column.max_length is None or column.max_length > SHORT)


def name_of(column: models.Field) -> str:
    return f"{column.model._meta.db_table}.{column.column}"


def test_every_encrypted_column_has_an_eraser() -> None:
    found: dict[str, set[str]] = {}
    for column in columns():
        if isinstance(column, EncryptedTextField | BlindIndexField):
            source = column.column.partition("_index_")[0]
            found.setdefault(column.model._meta.db_table, set()).add(source)

    assert found == {table: names for table, (_, names) in SEALED.items()}


def test_every_longer_text_has_an_eraser_or_a_reason_to_stay() -> None:
    sealed = EncryptedTextField | BlindIndexField
    found = {name_of(column) for column in columns() if is_longer_text(column) and not isinstance(column, sealed)}

    assert found == set(TEXTS) | set(KEPT)
    assert not set(TEXTS) & set(KEPT)


def test_the_erasers_are_there() -> None:
    for path in {*(path for path, _ in SEALED.values()), *TEXTS.values()}:
        assert callable(import_string(path)), path


def test_what_is_erased_may_be_empty() -> None:
    """A column that must hold something couldn't be erased, unless its row goes."""
    rows_that_go = {"users_registration", "users_totpdevice"}
    stuck = [
        name_of(column)
        for column in columns()
        if isinstance(column, EncryptedTextField)
        and not column.null
        and column.model._meta.db_table not in rows_that_go
    ]

    assert stuck == []
