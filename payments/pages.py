"""The checkout page: what a person who pays by the simulator sees. Plain HTML, no script, state from our database.

The signed token in the address is the permission; no log-in, since the payer needn't be our customer.
"""

from contextlib import suppress
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import InvalidTransition
from fintech_core.security.actors import Actor
from fintech_core.values.money import exponent_of, format_amount
from payments import selectors, services
from payments.checkout import intent_id_of
from payments.enums import IntentStatus, SimulatorOutcome
from payments.gateways import enabled_gateway
from payments.gateways.simulator import NAME as SIMULATOR
from payments.models import PaymentIntent
from payments.services.simulator import PaymentAlreadyDecided

# What the page says, by state: (headline, sentence, look).
_WORDS = {
    IntentStatus.REQUIRES_PAYMENT: ("Confirm your payment", "Choose how this simulated payment ends.", "open"),
    IntentStatus.PROCESSING: (
        "Your payment is being confirmed",
        "This page looks again every two seconds. You may also leave it.",
        "waiting",
    ),
    IntentStatus.SUCCEEDED: ("Payment received", "The money is in the wallet.", "good"),
    IntentStatus.FAILED: ("Payment declined", "No money was moved.", "bad"),
    IntentStatus.CANCELED: ("Payment canceled", "There is nothing to pay here any more.", "bad"),
    IntentStatus.REQUIRES_REVIEW: (
        "Your payment is being reviewed",
        "The money arrived, and a person looks at it before it is credited.",
        "waiting",
    ),
    IntentStatus.PARTIALLY_REFUNDED: ("Payment partly refunded", "A part of the money went back.", "good"),
    IntentStatus.REFUNDED: ("Payment refunded", "The money went back.", "good"),
}


class DecisionForm(forms.Form):
    outcome = forms.ChoiceField(choices=SimulatorOutcome.choices)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, token: str) -> HttpResponseBase:
    intent = _intent_or_404(token)
    if request.method == "POST":
        form = DecisionForm(request.POST)
        if form.is_valid() and len(request.POST.getlist("outcome")) == 1:
            _decide(intent, SimulatorOutcome(form.cleaned_data["outcome"]))
        return redirect("checkout", token=token)  # so that a reload pays nothing twice
    return _page(request, intent)


def _intent_or_404(token: str) -> PaymentIntent:
    intent_id = intent_id_of(token)
    intent = selectors.intent_by_id(intent_id) if intent_id is not None else None
    if intent is None or intent.gateway != SIMULATOR or enabled_gateway(SIMULATOR) is None:
        raise Http404
    return intent


def _decide(intent: PaymentIntent, outcome: SimulatorOutcome) -> None:
    actor = Actor.system("payments.checkout")
    # A second click, or canceled meanwhile: the page that follows shows its state.
    with suppress(PaymentAlreadyDecided, InvalidTransition):
        unit_of_work(lambda: services.simulate_payment(actor=actor, intent_id=intent.pk, outcome=outcome))


def _page(request: HttpRequest, intent: PaymentIntent) -> HttpResponse:
    status = IntentStatus.CANCELED if intent.is_due(clock.now()) else IntentStatus(intent.status)
    headline, sentence, look = _WORDS[status]
    context: dict[str, Any] = {
        "intent": intent,
        "amount": format_amount(intent.amount, exponent_of(intent.currency)),
        "headline": headline,
        "sentence": sentence,
        "look": look,
        "can_pay": status is IntentStatus.REQUIRES_PAYMENT,
        "is_waiting": status is IntentStatus.PROCESSING,
    }
    return render(request, "payments/checkout.html", context)
