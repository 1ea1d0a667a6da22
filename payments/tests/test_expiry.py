"""Payment intents end: by their time, or by an operator; and money that arrives afterwards is booked all the same."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import IntegrityError
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from payments import services, tasks
from payments.enums import IntentStatus
from payments.models import PaymentIntent
from payments.tests.factories import balance_of, books, deliver, event, open_intent
from tests.cast import Client, actor_for, browser_for
from tests.wallets import wallet_of
from users.models import User
from wallet.models import Blocker
from wallet.services import WalletInUse, close_wallet

pytestmark = pytest.mark.django_db
PATH = "/api/v1/payment-intents"
ZERO = Decimal(0)


@pytest.fixture
def due(alice: User, settings: Any) -> PaymentIntent:
    """An intent whose time is over from the start; the job hasn't come by."""
    settings.PAYMENT_INTENT_LIFETIME = timedelta(0)
    return open_intent(alice)


@pytest.fixture
def processing(alice: User) -> PaymentIntent:
    """The payer has decided; the provider has said nothing final."""
    intent = open_intent(alice)
    deliver(event(intent.pk, kind="payment.processing"))
    return reloaded(intent)


def reloaded(intent: PaymentIntent) -> PaymentIntent:
    return PaymentIntent.objects.get(pk=intent.pk)


def close(user: User) -> None:
    wallet = wallet_of(user).pk
    unit_of_work(lambda: close_wallet(actor=actor_for(user), wallet_id=wallet, reason="Bye", now=timezone.now()))


def test_an_intent_and_its_claim_have_a_day(alice: User) -> None:
    intent = open_intent(alice)

    assert intent.expires_at - intent.created_at == configured.PAYMENT_INTENT_LIFETIME == timedelta(hours=24)
    assert Blocker.objects.get(ref=intent.pk).expires_at == intent.expires_at


def test_a_decided_payment_has_longer(processing: PaymentIntent) -> None:
    assert processing.status == "processing"
    assert processing.expires_at - processing.updated_at == configured.PAYMENT_PROCESSING_LIFETIME == timedelta(days=7)
    assert Blocker.objects.get(ref=processing.pk).expires_at == processing.expires_at


def test_what_is_due_is_over_before_the_job_comes(
    alice: User, due: PaymentIntent, alice_client: Client, client: Any
) -> None:
    shown = alice_client.get(f"{PATH}/{due.pk}").json()
    paid = alice_client.post(f"{PATH}/{due.pk}/simulate", {"outcome": "succeeded"})

    assert (shown["status"], shown["checkout_url"]) == ("requires_payment", None)
    assert (paid.status_code, paid.json()["code"]) == (409, "invalid_transition")
    close(alice)
    assert wallet_of(alice).status == "CLOSED"


def test_the_job_cancels_what_is_due_once_and_nothing_else(alice: User, due: PaymentIntent, settings: Any) -> None:
    settings.PAYMENT_INTENT_LIFETIME = timedelta(hours=1)
    open_one = open_intent(alice)

    tasks.expire_intents()
    tasks.expire_intents()

    assert (reloaded(due).status, reloaded(due).failure_reason) == ("canceled", "expired")
    assert reloaded(open_one).status == "requires_payment"
    assert list(Blocker.objects.values_list("ref", flat=True)) == [open_one.pk]
    row = AuditLog.objects.get(action="payment_intent.canceled")
    assert (row.actor_kind, row.actor_name, row.entity_id) == ("system", "payments.expire_intents", str(due.pk))
    assert OutboxEvent.objects.filter(type="payment_intent.canceled", entity_id=due.pk).count() == 1


def test_the_job_ends_a_payment_that_the_provider_never_settled(alice: User, settings: Any) -> None:
    settings.PAYMENT_PROCESSING_LIFETIME = timedelta(0)
    intent = open_intent(alice)
    deliver(event(intent.pk, kind="payment.processing"))

    tasks.expire_intents()

    assert (reloaded(intent).status, Blocker.objects.count()) == ("canceled", 0)


@pytest.mark.parametrize("job_came_by", [False, True])
def test_money_that_arrives_after_its_time_is_credited(alice: User, due: PaymentIntent, *, job_came_by: bool) -> None:
    if job_came_by:
        tasks.expire_intents()

    deliver(event(due.pk))

    assert (reloaded(due).status, reloaded(due).failure_reason) == ("succeeded", "")
    assert books() == (1, Decimal(-25), ZERO, Decimal(25))
    tasks.expire_intents()
    assert reloaded(due).status == "succeeded"


@pytest.mark.parametrize("job_came_by", [False, True])
def test_money_that_arrives_after_the_wallet_was_closed_goes_to_suspense(
    alice: User, due: PaymentIntent, *, job_came_by: bool
) -> None:
    close(alice)
    if job_came_by:
        tasks.expire_intents()

    deliver(event(due.pk))

    assert (reloaded(due).status, reloaded(due).review_reason) == ("requires_review", "wallet_closed")
    assert books() == (1, Decimal(-25), Decimal(25), ZERO)
    tasks.expire_intents()
    assert reloaded(due).status == "requires_review"  # an officer ends it, no clock


def test_a_review_keeps_the_wallet_open_for_as_long_as_it_takes(processing: PaymentIntent) -> None:
    deliver(event(processing.pk, amount="24.00"))

    assert reloaded(processing).status == "requires_review"
    assert Blocker.objects.get(ref=processing.pk).expires_at is None


def test_its_owner_does_not_cancel_what_was_decided_and_an_operator_does_with_a_reason(
    alice: User, processing: PaymentIntent, alice_client: Client, operator_client: Client
) -> None:
    path = f"{PATH}/{processing.pk}/cancel"
    own = alice_client.post(path, {"reason": "changed my mind"}, key="new")
    silent = operator_client.post(path, key="new")

    done = operator_client.post(path, {"reason": "The provider lost it."}, key="new")

    assert (own.status_code, own.json()["code"]) == (409, "invalid_transition")
    assert (silent.status_code, silent.json()["errors"][0]["field"]) == (400, "reason")
    assert (done.status_code, done.json()["status"]) == (200, "canceled")
    row = AuditLog.objects.get(action="payment_intent.canceled")
    assert (row.actor_id, row.reason) == (operator_client.user.pk, "The provider lost it.")
    assert Blocker.objects.count() == 0
    deliver(event(processing.pk))
    assert balance_of(alice) == 25  # booked all the same


@pytest.mark.parametrize("who", ["auditor_client", "officer_client"])
def test_other_staff_cancel_nothing(alice: User, who: str, request: pytest.FixtureRequest) -> None:
    intent = open_intent(alice)

    refused = request.getfixturevalue(who).post(f"{PATH}/{intent.pk}/cancel", {"reason": "because"}, key="new")

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert reloaded(intent).status == "requires_payment"


def test_a_settled_payment_is_canceled_by_no_one(alice: User, operator: User, operator_client: Client) -> None:
    intent = open_intent(alice)
    deliver(event(intent.pk))

    refused = operator_client.post(f"{PATH}/{intent.pk}/cancel", {"reason": "too late"}, key="new")

    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_transition")


def test_an_operator_cancels_in_the_admin(processing: PaymentIntent, operator: User, officer: User) -> None:
    form = {"action": "cancel_the_payment", "_selected_action": [str(processing.pk)], "reason_confirmed": "1"}
    url = "/admin/payments/paymentintent/"

    browser_for(officer).post(url, {**form, "reason": "Not mine to do"})
    assert reloaded(processing).status == "processing"
    done = browser_for(operator).post(url, {**form, "reason": "The provider lost it"}, follow=True)

    assert "Cancel the payment: 1 done." in done.content.decode()
    assert reloaded(processing).status == "canceled"
    assert AuditLog.objects.get(action="payment_intent.canceled").reason == "The provider lost it"


def test_an_abandoned_checkout_does_not_block_an_erasure(
    alice: User, due: PaymentIntent, officer_client: Client
) -> None:
    erased = officer_client.post(f"/api/v1/users/{alice.pk}/erase", {"reason": "asked to be forgotten"})

    assert (erased.status_code, erased.json()["wallets_closed"]) == (200, 1)


def test_the_job_takes_a_batch_of_what_is_due_by_then(due: PaymentIntent) -> None:
    assert unit_of_work(lambda: services.expire_due_intents(now=due.created_at - timedelta(seconds=1))) == 0
    assert unit_of_work(lambda: services.expire_due_intents(now=timezone.now(), limit=1)) == 1


def test_a_return_address_is_blanked_of_an_erased_person_alone(alice: User, officer_client: Client) -> None:
    intent = open_intent(alice, return_url="https://shop.example/alice")

    with pytest.raises(IntegrityError, match="a text is erased whole or kept"):
        unit_of_work(lambda: PaymentIntent.objects.filter(pk=intent.pk).update(return_url="https://else.example"))
    with pytest.raises(IntegrityError, match="a text is erased whole or kept"):
        unit_of_work(lambda: PaymentIntent.objects.filter(pk=intent.pk).update(return_url=""))
    erased = officer_client.post(f"/api/v1/users/{alice.pk}/erase", {"reason": "asked to be forgotten"})
    assert erased.status_code == 409  # the intent is open
    unit_of_work(lambda: services.cancel_intent(actor=actor_for(alice), intent_id=intent.pk, now=timezone.now()))
    assert officer_client.post(f"/api/v1/users/{alice.pk}/erase", {"reason": "asked"}).status_code == 200
    assert PaymentIntent.objects.filter(pk=intent.pk).update(return_url="") == 1


# --- After the end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["canceled", "expired", "failed"])
def test_a_late_payment_under_review_keeps_the_wallet_and_the_person(
    alice: User, operator: User, officer_client: Client, end: str
) -> None:
    """Its claim went when the intent ended: the review puts it back, until staff say where the money belongs."""
    intent = ended(alice, end)
    assert not Blocker.objects.exists()

    deliver(event(intent.pk, amount="24.00"))

    assert reloaded(intent).status == "requires_review"
    assert list(Blocker.objects.values_list("ref", "wallet_id", "expires_at")) == [
        (intent.pk, wallet_of(alice).pk, None)
    ]
    with pytest.raises(WalletInUse):
        close(alice)
    erase = f"/api/v1/users/{alice.pk}/erase"
    blocked = officer_client.post(erase, {"reason": "asked to be forgotten"})
    assert (blocked.status_code, blocked.json()["obstacles"]) == (
        409,
        [{"kind": "payment_review", "id": str(intent.pk)}, {"kind": "claim", "id": str(wallet_of(alice).pk)}],
    )
    resolve(operator, intent, IntentStatus.SUCCEEDED)
    assert (balance_of(alice), Blocker.objects.count()) == (Decimal("24.00"), 0)


def ended(user: User, end: str) -> PaymentIntent:
    """An intent of which nothing more is awaited."""
    intent = open_intent(user)
    if end == "canceled":
        unit_of_work(lambda: services.cancel_intent(actor=actor_for(user), intent_id=intent.pk, now=timezone.now()))
    elif end == "expired":
        later = intent.expires_at + timedelta(seconds=1)
        unit_of_work(lambda: services.expire_due_intents(now=later))
    else:
        deliver(event(intent.pk, kind="payment.failed"))
    return reloaded(intent)


def resolve(operator: User, intent: PaymentIntent, outcome: IntentStatus) -> None:
    unit_of_work(
        lambda: services.resolve_review(
            actor=actor_for(operator), intent_id=intent.pk, outcome=outcome, reason="Checked", now=timezone.now()
        )
    )


def test_a_payment_that_came_after_the_closing_waits_for_staff_and_then_the_person_is_erased(
    alice: User, operator: User, officer_client: Client
) -> None:
    """A closed wallet carries no claim; the review is in the erasure's way, and staff can always end it."""
    intent = ended(alice, "canceled")
    close(alice)
    deliver(event(intent.pk))
    assert (reloaded(intent).review_reason, Blocker.objects.count()) == ("wallet_closed", 0)

    erase = f"/api/v1/users/{alice.pk}/erase"
    blocked = officer_client.post(erase, {"reason": "asked to be forgotten"})

    assert blocked.json()["obstacles"] == [{"kind": "payment_review", "id": str(intent.pk)}]
    resolve(operator, intent, IntentStatus.REFUNDED)
    assert officer_client.post(erase, {"reason": "asked to be forgotten"}).status_code == 200


def test_being_processed_revives_no_intent_whose_wallet_is_closed(
    alice: User, due: PaymentIntent, officer_client: Client
) -> None:
    close(alice)

    ignored = deliver(event(due.pk, kind="payment.processing"))

    assert (ignored.status, ignored.error) == ("IGNORED", "wallet_closed")
    assert reloaded(due).status == "requires_payment"
    assert reloaded(due).expires_at == due.expires_at
    tasks.expire_intents()
    assert (reloaded(due).status, Blocker.objects.count()) == ("canceled", 0)
    assert officer_client.post(f"/api/v1/users/{alice.pk}/erase", {"reason": "asked"}).status_code == 200


def test_being_processed_gives_a_late_intent_its_time_while_the_wallet_is_open(alice: User, due: PaymentIntent) -> None:
    deliver(event(due.pk, kind="payment.processing"))

    again = reloaded(due)
    assert (again.status, Blocker.objects.get().expires_at) == ("processing", again.expires_at)
    with pytest.raises(WalletInUse):
        close(alice)
