"""Inputs and outputs of payments."""

import re
from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import URLValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import (
    IdField,
    InstantField,
    MoneyInput,
    MoneyOutput,
    StrictInput,
    TextField,
    shown_at,
)
from payments.enums import IntentStatus, ReviewReason, SimulatorOutcome
from payments.gateways import enabled_gateway, enabled_names
from payments.models import PaymentIntent


@extend_schema_field({"type": "string", "example": "simulator"})
class GatewayField(TextField):
    """The name of a gateway that is offered here."""

    def schema_constraints(self) -> json_schema.Fragment:
        return {"enum": list(settings.PAYMENT_GATEWAYS)}

    default_error_messages: ClassVar = {"invalid_choice": "Not one of the gateways that are offered here: {offered}."}

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if enabled_gateway(name) is None:
            self.fail("invalid_choice", offered=", ".join(enabled_names()) or "none")
        return name


class UrlField(TextField):
    """An address of the web, in ASCII: a name, `localhost` or an IPv4 address, perhaps a port and a path."""

    default_error_messages: ClassVar = {"invalid": "Enter a valid URL, like https://shop.example/thanks."}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if re.search(json_schema.WEB_ADDRESS, text) is None:
            self.fail("invalid")
        return text

    def schema_constraints(self) -> json_schema.Fragment:
        return {"pattern": json_schema.WEB_ADDRESS}


class CreateIntentInput(MoneyInput):
    wallet = IdField(help_text="One of the caller's own.")
    gateway = GatewayField()
    return_url = UrlField(
        required=False,
        max_length=2000,
        validators=[URLValidator(schemes=["http", "https"])],
        help_text="Where the checkout page leads back to; http or https.",
    )


class CancelIntentInput(StrictInput):
    reason = TextField(
        required=False,
        min_length=3,
        max_length=500,
        help_text="Required of operators, who cancel another's payment; an owner's isn't kept.",
    )


class SimulateInput(StrictInput):
    outcome = serializers.ChoiceField(choices=SimulatorOutcome.choices)


class IntentFilter(StrictInput):
    status = serializers.ChoiceField(choices=IntentStatus.choices, required=False)
    wallet = IdField(required=False)
    created_after = InstantField(required=False, help_text="Inclusive.")
    created_before = InstantField(required=False, help_text="Exclusive.")


class IntentOutput(serializers.ModelSerializer[PaymentIntent]):
    wallet = serializers.UUIDField(source="wallet_id", read_only=True)
    amount = MoneyOutput()
    checkout_url = serializers.SerializerMethodField(
        help_text="Our page where a person pays, good until `expires_at`; null once there is nothing to pay."
    )
    expires_at = serializers.DateTimeField(
        read_only=True, help_text="While it is unpaid: when it is canceled. Later once the payer has decided."
    )
    transaction = serializers.UUIDField(source="transaction_id", read_only=True, allow_null=True)
    review_reason = serializers.ChoiceField(
        choices=ReviewReason.choices, allow_blank=True, read_only=True, help_text="Empty unless it is under review."
    )

    class Meta:
        model = PaymentIntent
        fields: ClassVar = [
            "id",
            "wallet",
            "amount",
            "currency",
            "gateway",
            "status",
            "checkout_url",
            "return_url",
            "transaction",
            "review_reason",
            "failure_reason",
            "expires_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_checkout_url(self, intent: PaymentIntent) -> str | None:
        gateway = enabled_gateway(intent.gateway)
        if gateway is None or intent.status != IntentStatus.REQUIRES_PAYMENT or intent.is_due(shown_at(self)):
            return None
        return gateway.checkout_url(intent.pk)


class WebhookReceiptOutput(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["stored"])
