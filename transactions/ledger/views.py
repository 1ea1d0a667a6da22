"""HTTP of the journal: history, reversal."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.serializers import ReasonInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from transactions.ledger import selectors, services
from transactions.ledger.models import Transaction
from transactions.ledger.serializers import EntryOutput, TransactionFilter, TransactionOutput


def reload_with_entries(transaction: Transaction) -> Transaction:
    """The transaction with its entries, as the answer shows it."""
    return selectors.with_entries_by_id([transaction])[transaction.pk]


@extend_schema(tags=["transactions"])
class TransactionViewSet(DomainViewSet):
    output = TransactionOutput
    serializer_class = TransactionOutput
    filter_input = TransactionFilter

    def get_queryset(self) -> Any:
        return selectors.with_entries(selectors.transactions_visible_to(self.actor))

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_transactions(queryset, dict(filters), actor=self.actor)

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="transactions_list")
    def list(self, request: Request) -> Response:
        """History, newest first."""
        return self.list_page()

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="transactions_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="transactions_entries", responses=EntryOutput(many=True))
    @action(detail=True, methods=["get"])
    def entries(self, request: Request, pk: UUID) -> Response:
        """All legs; of other people's wallets only direction, amount and currency."""
        rows = self.get_object().entries.all()
        return Response(EntryOutput(rows, many=True, context={"actor": self.actor}).data)

    @endpoint(
        access=Capability.TRANSACTIONS_REVERSE,
        key=IdempotencyKey.REQUIRED,
        step_up=StepUpAction("Reverse a transaction", of_staff=True),
    )
    @extend_schema(operation_id="transactions_reverse", request=ReasonInput, responses={201: TransactionOutput})
    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, pk: UUID) -> HttpResponse:
        """Undo a transaction by a new, mirrored one. Operators."""
        data = self.validated(ReasonInput)
        transaction_id = self.get_object().pk
        return self.write(
            lambda: reload_with_entries(
                services.reverse_transaction(actor=self.actor, transaction_id=transaction_id, **data)
            ),
            TransactionOutput,
            status=201,
        )
