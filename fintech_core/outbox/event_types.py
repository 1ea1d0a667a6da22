"""The types of events, which actions publish them, and who may read each of them in the feed.

The feed shows what other routes show as well, so each type names the capabilities of the route that shows the same
thing: `own` opens it to the customer whom it concerns (in an organization by the member's role, for an API key by its
scopes), `all` to staff. A type that isn't declared can't be published, and is shown to no one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fintech_core.security.capabilities import Capability


@dataclass(frozen=True, slots=True)
class Readers:
    """With which capability an actor reads events about their own things, and with which those about all owners'."""

    own: Capability
    all: Capability


_WALLET = Readers(Capability.WALLETS_READ, Capability.WALLETS_READ_ALL)
_MONEY = Readers(Capability.TRANSACTIONS_READ, Capability.TRANSACTIONS_READ_ALL)
_PAYMENT = Readers(Capability.PAYMENTS_READ, Capability.PAYMENTS_READ_ALL)
_KYC = Readers(Capability.KYC_READ, Capability.KYC_READ_ALL)
_ORGANIZATION = Readers(Capability.ORGANIZATIONS_READ, Capability.ORGANIZATIONS_READ_ALL)
_MEMBERS = Readers(Capability.MEMBERS_READ, Capability.ORGANIZATIONS_READ_ALL)
_PAYOUT_ACCOUNT = Readers(Capability.PAYOUT_ACCOUNTS_READ, Capability.ORGANIZATIONS_READ_ALL)


READERS: Mapping[str, Readers] = {
    **dict.fromkeys(
        [
            "wallet.opened",
            "wallet.frozen",
            "wallet.unfrozen",
            "wallet.closed",
            "wallet.policy_changed",
            "wallet.monitor_crossed",
        ],
        _WALLET,
    ),
    **dict.fromkeys(["transaction.posted", "transaction.reversed"], _MONEY),
    **dict.fromkeys(["hold.created", "hold.captured", "hold.voided", "hold.extended", "hold.expired"], _MONEY),
    **dict.fromkeys(
        [
            "schedule.created",
            "schedule.paused",
            "schedule.resumed",
            "schedule.canceled",
            "schedule.run_posted",
            "schedule.run_retrying",
            "schedule.run_refused",
        ],
        _MONEY,
    ),
    **dict.fromkeys(
        [
            "payment_intent.requires_payment",
            "payment_intent.processing",
            "payment_intent.succeeded",
            "payment_intent.failed",
            "payment_intent.canceled",
            "payment_intent.requires_review",
            "payment_intent.partially_refunded",
            "payment_intent.refunded",
        ],
        _PAYMENT,
    ),
    "kyc.decided": _KYC,
    **dict.fromkeys(
        [
            "organization.created",
            "organization.updated",
            "organization.kyb_submitted",
            "organization.kyb_review_started",
            "organization.kyb_approved",
            "organization.kyb_rejected",
            "organization.closed",
        ],
        _ORGANIZATION,
    ),
    **dict.fromkeys(
        [
            "organization_member.joined",
            "organization_member.role_changed",
            "organization_member.removed",
            "organization_member.left",
            "organization_invitation.created",
            "organization_invitation.revoked",
        ],
        _MEMBERS,
    ),
    **dict.fromkeys(["payout_account.added", "payout_account.archived"], _PAYOUT_ACCOUNT),
}

# An action publishes the event of its own name, where there is one. Two have another name than their event.
_EVENT_OF_ACTION = {"kyc.approved": "kyc.decided", "kyc.rejected": "kyc.decided"}
# Published without an audit row, from the statement that they report: the ledger's for every posting and for every
# owner of a leg, a monitor's for every crossing. An action of the same name publishes nothing by itself.
WITHOUT_AUDIT_ROW = frozenset({"transaction.posted", "transaction.reversed", "wallet.monitor_crossed"})


def event_of(action: str) -> str | None:
    """The type of the event that this action of the audit log publishes; None for an action that publishes none."""
    name = _EVENT_OF_ACTION.get(action, action)
    return name if name in READERS and name not in WITHOUT_AUDIT_ROW else None


# What opens the feed's route: any right to read anything in it.
OPENS_THE_FEED = frozenset(capability for readers in READERS.values() for capability in (readers.own, readers.all))


def readable_types(capabilities: Collection[Capability]) -> tuple[list[str], list[str]]:
    """The types that these capabilities read about one's own things alone, and about all owners' things."""
    of_all = [name for name, readers in READERS.items() if readers.all in capabilities]
    own = [name for name, readers in READERS.items() if readers.own in capabilities and name not in of_all]
    return own, of_all
