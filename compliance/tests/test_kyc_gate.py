"""The gate that deposits, transfers and payouts ask."""

import pytest

from compliance.services import require_kyc
from compliance.tests.factories import approve, submit
from fintech_core.exceptions import KycRequired
from users.enums import KycGate
from users.models import User

pytestmark = pytest.mark.django_db

REQUIRED = {KycGate.DEPOSIT: 1, KycGate.TRANSFER_OUT: 1, KycGate.PAYOUT: 2, KycGate.RECEIVE: 0}


@pytest.mark.parametrize(("gate", "level"), [(name, level) for name, level in REQUIRED.items() if level])
def test_a_customer_without_a_level_is_refused(alice: User, gate: KycGate, level: int) -> None:
    with pytest.raises(KycRequired) as refusal:
        require_kyc(owner_id=alice.pk, gate=gate)

    assert (refusal.value.code, refusal.value.status) == ("kyc_required", 422)
    assert refusal.value.extensions == {"required_level": level}
    assert refusal.value.detail == f"KYC level {level} of the wallet's owner is required."


def test_a_customer_without_a_level_may_receive(alice: User) -> None:
    require_kyc(owner_id=alice.pk, gate=KycGate.RECEIVE)


def test_a_waiting_submission_opens_nothing(alice: User) -> None:
    submit(alice)

    with pytest.raises(KycRequired):
        require_kyc(owner_id=alice.pk, gate=KycGate.DEPOSIT)


def test_level_1_opens_deposits_and_transfers_but_no_payouts(alice: User, officer: User) -> None:
    approve(submit(alice), officer, level=1)

    require_kyc(owner_id=alice.pk, gate=KycGate.DEPOSIT)
    require_kyc(owner_id=alice.pk, gate=KycGate.TRANSFER_OUT)
    with pytest.raises(KycRequired) as refusal:
        require_kyc(owner_id=alice.pk, gate=KycGate.PAYOUT)
    assert refusal.value.extensions == {"required_level": 2}


def test_level_2_opens_payouts(alice: User, officer: User) -> None:
    approve(submit(alice, level=2), officer, level=2)

    require_kyc(owner_id=alice.pk, gate=KycGate.PAYOUT)


@pytest.mark.parametrize("gate", REQUIRED)
def test_a_wallet_without_an_owner_passes(gate: KycGate) -> None:
    require_kyc(owner_id=None, gate=gate)


def test_an_unknown_gate_is_a_bug_and_never_passes(alice: User) -> None:
    with pytest.raises(KeyError):
        require_kyc(owner_id=alice.pk, gate="teleport")
