"""HTTP of seals. Proofs are an action of the transaction that they are about (views/ledger.py)."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.capabilities import Capability
from fintech_core.viewsets import DomainViewSet
from transactions.models import Seal
from transactions.serializers.seals import SealOutput


@extend_schema(tags=["seals"])
class SealViewSet(DomainViewSet):
    """Anybody with an account may keep copies: a seal tells nothing of anybody's money."""

    access: ClassVar = {"list": Capability.TRANSACTIONS_READ, "retrieve": Capability.TRANSACTIONS_READ}
    order: ClassVar = ("-number",)
    lookup_value_converter = "int"
    output = SealOutput
    serializer_class = SealOutput

    def get_queryset(self) -> Any:
        return Seal.objects.all()

    @extend_schema(operation_id="seals_list")
    def list(self, request: Request) -> Response:
        """All seals, newest first."""
        return self.list_page()

    @extend_schema(operation_id="seals_retrieve")
    def retrieve(self, request: Request, pk: int) -> Response:
        """One seal by its number."""
        return self.retrieve_one()
