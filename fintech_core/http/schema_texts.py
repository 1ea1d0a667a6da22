"""The words of the OpenAPI file: a summary for each operation, the tags in their order, sample values by field."""

import re
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from fintech_core.http.serializers import TextField

MAX_SUMMARY = 80

# In the order in which they are shown.
TAGS: Mapping[str, str] = {
    "auth": "Register, log in, refresh and end sessions, reset passwords, confirm sensitive requests (step-up).",
    "users": "The caller's own profile, contacts, second factor, sessions and data.",
    "api keys": "Keys for programs. They act as their owner, within scopes.",
    "kyc": "Applications for a KYC level, with the applicant's identity data. Compliance officers decide.",
    "organizations": "Organizations with members, invitations, KYB and payout accounts.",
    "wallets": "Wallets: balances, entries, statements, monitors; freezing, closing, limits.",
    "transfers": "Money from one of the caller's wallets to another customer's, one by one or in batches.",
    "scheduled transfers": "Transfers at a later time, once or repeated.",
    "holds": "Money reserved now and paid or released later.",
    "transactions": "The ledger's transactions with their entries, proofs and reversals.",
    "exchange": "Rates, quotes that stand for a minute, and exchanges between the caller's wallets.",
    "payments": "Payment intents: money into a wallet through a gateway. Webhooks of gateways.",
    "events": "What happened to the caller's things, as a feed to poll.",
    "fees": "What transfers cost. Operators and administrators.",
    "reports": "Trial balance and journal. Operators and auditors.",
    "seals": "Signed heads of the ledger, for proofs that need no server.",
    "reconciliation": "Statements of banks and gateways against the clearing accounts. Operators.",
    "audit": "Who did what to which object. Compliance and auditors.",
    "operations": "Health and readiness, for load balancers and monitoring.",
}

SUMMARIES: Mapping[str, str] = {
    "api_health_retrieve": "Check that the process is alive",
    "health_retrieve": "Check that the process is alive",
    "ready_retrieve": "Check that the process can serve",
    "api_keys_list": "List API keys",
    "api_keys_create": "Create an API key",
    "api_keys_revoke": "Revoke an API key",
    "audit_logs_list": "List the audit log",
    "auth_agency_login": "Log in as an agency administrator",
    "auth_agent_sms_send": "Send a log-in code by text message",
    "auth_agent_sms_verify": "Log in with a code from a text message",
    "auth_client_email_send": "Send a log-in code by email",
    "auth_client_email_verify": "Log in with a code from an email",
    "auth_email_verify": "Verify an email address and open the account",
    "auth_logout": "End the session of a refresh token",
    "auth_logout_all": "End all sessions",
    "auth_password_reset": "Request a password reset",
    "auth_password_reset_confirm": "Set a new password with a reset token",
    "auth_register": "Register",
    "auth_step_up": "Request a step-up code",
    "auth_token": "Log in with email and password",
    "auth_token_refresh": "Exchange a refresh token for new tokens",
    "events_list": "List events",
    "exchange_quotes_list": "List exchange quotes",
    "exchange_quotes_create": "Create an exchange quote",
    "exchange_quotes_retrieve": "Get an exchange quote",
    "exchange_rates_list": "List exchange rates",
    "exchange_rates_create": "Load the exchange rates of a day",
    "exchanges_create": "Exchange money by a quote",
    "fee_schedules_list": "List fee schedules",
    "fee_schedules_create": "Create a fee schedule",
    "fee_schedules_retrieve": "Get a fee schedule",
    "fee_schedules_end": "End a fee schedule",
    "holds_list": "List holds",
    "holds_create": "Create a hold",
    "holds_retrieve": "Get a hold",
    "holds_capture": "Capture a hold",
    "holds_extend": "Extend a hold",
    "holds_void": "Void a hold",
    "invitations_accept": "Accept an invitation",
    "kyc_submissions_list": "List KYC submissions",
    "kyc_submissions_create": "Submit for KYC",
    "kyc_submissions_retrieve": "Get a KYC submission",
    "kyc_submissions_approve": "Approve a KYC submission",
    "kyc_submissions_reject": "Reject a KYC submission",
    "organizations_list": "List organizations",
    "organizations_create": "Create an organization",
    "organizations_retrieve": "Get an organization",
    "organizations_update": "Update an organization",
    "organizations_invitations_list": "List invitations",
    "organizations_invitations_create": "Invite a member",
    "organizations_invitations_revoke": "Revoke an invitation",
    "organizations_kyb_approve": "Approve an organization (KYB)",
    "organizations_kyb_reject": "Reject an organization (KYB)",
    "organizations_kyb_submit": "Submit an organization for KYB",
    "organizations_leave": "Leave an organization",
    "organizations_members_list": "List members",
    "organizations_members_update": "Change a member's role",
    "organizations_members_remove": "Remove a member",
    "organizations_payout_accounts_list": "List payout accounts",
    "organizations_payout_accounts_create": "Add a payout account",
    "organizations_payout_accounts_archive": "Archive a payout account",
    "payment_intents_list": "List payment intents",
    "payment_intents_create": "Create a payment intent",
    "payment_intents_retrieve": "Get a payment intent",
    "payment_intents_cancel": "Cancel a payment intent",
    "payment_intents_simulate": "Simulate the payer's decision",
    "webhooks_receive": "Receive a gateway's webhook",
    "reconciliation_breaks_list": "List reconciliation breaks",
    "reconciliation_breaks_retrieve": "Get a reconciliation break",
    "reconciliation_breaks_assign": "Assign a reconciliation break",
    "reconciliation_breaks_resolve": "Resolve a reconciliation break",
    "reconciliation_coverage": "Get the days that statements cover",
    "reconciliation_external_accounts_list": "List external accounts",
    "reconciliation_external_accounts_create": "Add an external account",
    "reconciliation_external_accounts_retrieve": "Get an external account",
    "reconciliation_external_accounts_retire": "Retire an external account",
    "reconciliation_matches_list": "List matches",
    "reconciliation_matches_retrieve": "Get a match",
    "reconciliation_matches_take_back": "Take back a match",
    "reconciliation_proposals_list": "List proposed matches",
    "reconciliation_proposals_retrieve": "Get a proposed match",
    "reconciliation_proposals_confirm": "Confirm a proposed match",
    "reconciliation_proposals_reject": "Reject a proposed match",
    "reconciliation_lines_list": "List statement lines",
    "reconciliation_statements_list": "List imported statements",
    "reconciliation_statements_create": "Import statements",
    "reconciliation_statements_retrieve": "Get an imported statement",
    "reports_journal": "Export the journal",
    "reports_trial_balance": "Get the trial balance",
    "scheduled_transfers_list": "List scheduled transfers",
    "scheduled_transfers_create": "Schedule a transfer",
    "scheduled_transfers_retrieve": "Get a scheduled transfer",
    "scheduled_transfers_cancel": "Cancel a scheduled transfer",
    "scheduled_transfers_pause": "Pause a scheduled transfer",
    "scheduled_transfers_resume": "Resume a scheduled transfer",
    "scheduled_transfers_runs": "List the runs of a scheduled transfer",
    "seals_list": "List seals",
    "seals_retrieve": "Get a seal",
    "transactions_list": "List transactions",
    "transactions_retrieve": "Get a transaction",
    "transactions_entries": "List the entries of a transaction",
    "transactions_proof": "Get the proof of a transaction",
    "transactions_reverse": "Reverse a transaction",
    "transfers_create": "Create a transfer",
    "transfers_batch": "Create a batch of transfers",
    "users_erase": "Erase a customer's personal data",
    "users_me_retrieve": "Get the caller's profile",
    "users_me_update": "Update the caller's profile",
    "users_me_email": "Request a change of email address",
    "users_me_email_verify": "Confirm the new email address",
    "users_me_export": "Export the caller's data",
    "users_me_password": "Change the password",
    "users_me_phone": "Request a change of phone number",
    "users_me_phone_verify": "Confirm the new phone number",
    "second_factor_retrieve": "Get the state of the second factor",
    "second_factor_start": "Start to enrol an authenticator",
    "second_factor_remove": "Remove the second factor",
    "second_factor_confirm": "Confirm a new authenticator",
    "second_factor_recovery_codes": "Create new recovery codes",
    "users_me_sessions_list": "List sessions",
    "users_me_sessions_end": "End a session",
    "wallets_list": "List wallets",
    "wallets_create": "Open a wallet",
    "wallets_retrieve": "Get a wallet",
    "wallets_balance": "Get a wallet's balance",
    "wallets_close": "Close a wallet",
    "wallets_entries": "List a wallet's entries",
    "wallets_freeze": "Freeze a wallet",
    "monitors_list": "List a wallet's monitors",
    "monitors_create": "Create a monitor",
    "monitors_delete": "Delete a monitor",
    "wallets_policy": "Set a wallet's limits",
    "wallets_statement": "Get a wallet's statement",
    "wallets_unfreeze": "Unfreeze a wallet",
}

# Sample values by the name of a field. The ids are made up.
SAMPLES: Mapping[str, Any] = {
    "account": "clearing:simulator",
    "action": "wallet.frozen",
    "amount": "12.50",
    "address": "1 Main Street, Springfield",
    "as_of": "2026-11-25",
    "at": "2026-01-31T18:00:00Z",
    "booked_after": "2026-01-01",
    "booked_before": "2026-02-01",
    "business_day_rule": "FOLLOWING",
    "code": "123456",
    "country": "US",
    "created_after": "2026-01-01T00:00:00Z",
    "created_before": "2026-02-01T00:00:00Z",
    "currency": "USD",
    "current_password": "correct horse battery staple",
    "date_of_birth": "1990-05-17",
    "description": "Lunch",
    "destination_email": "bob@customer.example",
    "destination_phone": "+12025550123",
    "destination_wallet": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c02",
    "details": {"iban": "GR1601101250000000012300695"},
    "document_number": "C01X00T47",
    "effective_at": "2026-01-31T18:00:00Z",
    "email": "ann@customer.example",
    "email_code": False,
    "end_on": "2031-01-31",
    "entity_id": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c03",
    "entity_type": "wallet",
    "expires_at": "2031-01-31T09:00:00Z",
    "expires_in": 86_400,
    "first_name": "Ann",
    "frequency": "MONTHLY",
    "from": "2026-01-01",
    "identifier": "DE89370400440532013000",
    "last_name": "Miller",
    "legal_name": "Miller Ltd",
    "level": 1,
    "maximum": "25.00",
    "metadata": {"order": "4711"},
    "method": "iban",
    "min_age_days": 3,
    "minimum": "0.10",
    "name": "Shop",
    "new_password": "an entirely different passphrase",
    "owner": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c04",
    "password": "correct horse battery staple",
    "path": "/api/v1/transfers",
    "phone": "+12025550123",
    "quote": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c05",
    "rates": {"USD": "1.0837"},
    "reason": "Requested by the customer",
    "reference": "invoice-4711",
    "refresh": "kq3nVfKc0b0m5m3m2v8cO9m0yq1JdJvQ0o3l9mWc7a4",
    "return_url": "https://shop.example/thanks",
    "scopes": ["wallets:read"],
    "seal": 1,
    "source": "ecb",
    "source_wallet": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c01",
    "start_at": "2031-01-01T09:00:00Z",
    "tax_number": "12-3456789",
    "to": "2026-02-01",
    "token": "kq3nVfKc0b0m5m3m2v8cO9m0yq1JdJvQ0o3l9mWc7a4",
    "type": "transaction.posted",
    "valid_from": "2031-01-01T00:00:00Z",
    "wallet": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c01",
}
# Optional fields that an example has nevertheless, because a body without them would be refused or be less telling.
_SHOWN = {"credit_limit", "current_password", "description", "destination_wallet", "first_name", "fixed", "legal_name"}


def first_sentence(description: str) -> str | None:
    """Of a docstring, for operations without a summary of their own."""
    found = re.split(r"(?<=[a-z`)])[.:;](?:\s|$)", description.strip(), maxsplit=1)[0]
    return found[:MAX_SUMMARY] or None


def example_of(serializer: serializers.Serializer[Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A whole body that the serializer takes, and on the way a sample for each property of the schema."""
    example = {}
    for name, field in serializer.fields.items():
        described = schema["properties"].get(name)
        if described is None:
            continue
        value = _value(name, field, described)
        if value is not None and "$ref" not in described and not isinstance(field, serializers.BaseSerializer):
            described["example"] = value
        if value is not None and (field.required or name in _SHOWN):
            example[name] = value
    return example


def _value(name: str, field: Any, described: Mapping[str, Any]) -> Any:
    if isinstance(field, serializers.ListSerializer):
        child: Any = field.child
        return [example_of(child, {"properties": {name: {} for name in child.fields}})]
    choices = getattr(field, "choices", None)
    if name in SAMPLES and (not choices or SAMPLES[name] in choices):
        return SAMPLES[name]
    if choices:
        return str(next(iter(choices)))
    return described.get("example") or ("example" if isinstance(field, TextField) else None)


def add_texts(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The tags in their order; a tag without a text comes before the last."""
    used = {tag for methods in result["paths"].values() for operation in methods.values() for tag in operation["tags"]}
    known = [name for name in TAGS if name in used]
    ordered = [*known[:-1], *sorted(used - set(known)), *known[-1:]]
    result["tags"] = [{"name": name, "description": TAGS.get(name, "")} for name in ordered]
    return result
