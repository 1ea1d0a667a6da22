"""What the message with a step-up code says of a scheduled transfer (PSD2 RTS, article 5)."""

from collections.abc import Mapping
from typing import Any

from fintech_core.security.actors import Actor
from fintech_core.security.step_up import StepUpAction
from transactions.schedules.serializers import CreateScheduleInput
from transactions.transfers.confirmations import amount_text, payee_text, validated


def _schedule(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    data = validated(CreateScheduleInput, body)
    often = f"{data['frequency'].lower()} from {data['start_at']:%Y-%m-%d}"
    return f"{amount_text(data['amount'], data['currency'])} to {payee_text(data['destination'])}, {often}"


SCHEDULE = StepUpAction("Scheduled transfer", _schedule)
