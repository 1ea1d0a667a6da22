"""HTTP of seals, and of proofs that a transaction is under one."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from transactions.ledger import selectors
from transactions.seals import proofs
from transactions.seals.models import Seal
from transactions.seals.serializers import ProofQuery, SealOutput, TransactionProofOutput


@extend_schema(tags=["seals"])
class SealViewSet(DomainViewSet):
    """Any user may keep copies: a seal discloses nothing about balances."""

    order: ClassVar = ("-number",)
    lookup_value_converter = "int"
    output = SealOutput
    serializer_class = SealOutput

    def get_queryset(self) -> Any:
        return Seal.objects.all()

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="seals_list")
    def list(self, request: Request) -> Response:
        """All seals, newest first."""
        return self.list_page()

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="seals_retrieve")
    def retrieve(self, request: Request, pk: int) -> Response:
        """One seal by its number."""
        return self.retrieve_one()


@extend_schema(tags=["transactions"])
class TransactionProofViewSet(DomainViewSet):
    serializer_class = TransactionProofOutput

    def get_queryset(self) -> Any:
        return selectors.with_entries(selectors.transactions_visible_to(self.actor))

    @endpoint(access=Capability.TRANSACTIONS_READ, problems=(400, 409, 422))
    @extend_schema(operation_id="transactions_proof", parameters=[ProofQuery], responses=TransactionProofOutput)
    def proof(self, request: Request, pk: UUID) -> Response:
        """Proof that the caller's entries are under a seal, to be checked without this server."""
        number = self.validated(ProofQuery, dict(request.query_params.items())).get("seal")
        proven = proofs.prove_transaction(actor=self.actor, transaction=self.get_object(), number=number)
        return Response({"transaction": proven.transaction_id, "proofs": proven.proofs})
