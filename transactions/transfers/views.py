"""HTTP of transfers: one, or up to a thousand at once; for real, or as a dry run."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request

from fintech_core.exceptions import DomainError
from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.limits.ratelimit import Limit, Per, WithoutCache
from fintech_core.security.capabilities import Capability
from transactions.ledger import selectors
from transactions.ledger.models import Transaction
from transactions.ledger.serializers import TransactionOutput
from transactions.ledger.views import reload_with_entries
from transactions.transfers import confirmations
from transactions.transfers.serializers import (
    BatchInput,
    BatchOutput,
    BatchSimulationOutput,
    Simulation,
    SimulationOutput,
    TransferInput,
)
from transactions.transfers.services import outflows
from transactions.transfers.services.payees import count_of
from transactions.transfers.services.planning import TransferItem
from transactions.transfers.services.transfers import amounts_of, create_transfer, create_transfers, simulate_transfers


def _items(body: Any) -> int:
    """How many transfers a batch names, before anything of it is validated."""
    transfers = body.get("transfers") if isinstance(body, dict) else None
    return max(1, len(transfers)) if isinstance(transfers, list) else 1


# Also of dry runs: a thousand questions in one request are a thousand.
BATCH_ITEMS = Limit(name="batch_items", per=Per.PRINCIPAL, without_cache=WithoutCache.OPEN, weight=_items)


@extend_schema(tags=["transfers"])
class TransferViewSet(DomainViewSet):
    @endpoint(
        access=Capability.TRANSFERS_WRITE, key=IdempotencyKey.REQUIRED, step_up=confirmations.TRANSFER, problems=(404,)
    )
    @extend_schema(
        operation_id="transfers_create",
        request=TransferInput,
        responses={
            201: TransactionOutput,
            200: OpenApiResponse(SimulationOutput, "The answer to a `dry_run`."),
        },
    )
    def create(self, request: Request) -> HttpResponse:
        """Move money from one of the caller's wallets to another customer's. With `dry_run`, say what would happen."""
        data = self.validated(TransferInput)
        if data.pop("dry_run", False):
            item = TransferItem(**data)
            return self.dry_run(
                lambda: self._simulated([item], atomic=True), SimulationOutput, commit_first=self._count
            )
        return self.write(
            lambda: reload_with_entries(create_transfer(actor=self.actor, **data)), TransactionOutput, status=201
        )

    @endpoint(
        access=Capability.TRANSFERS_WRITE,
        key=IdempotencyKey.REQUIRED,
        limits=(BATCH_ITEMS,),
        step_up=confirmations.BATCH,
    )
    @extend_schema(
        operation_id="transfers_batch",
        request=BatchInput,
        responses={
            200: PolymorphicProxySerializer(
                "BatchAnswer", [BatchOutput, BatchSimulationOutput], resource_type_field_name=None
            )
        },
    )
    @action(detail=False, methods=["post"])
    def batch(self, request: Request) -> HttpResponse:
        """1 to 1,000 transfers in one posting: all or none (`atomic`), or each for itself (`independent`).

        Items are decided in order, each seeing the earlier ones. With `dry_run`, say what would happen.
        """
        data = self.validated(BatchInput)
        items, atomic = data["items"], data["atomic"]
        if data["dry_run"]:
            return self.dry_run(
                lambda: self._simulated(items, atomic=atomic),
                BatchSimulationOutput,
                commit_first=self._count,
            )
        return self.write(
            lambda: _with_entries(create_transfers(actor=self.actor, items=items, atomic=atomic)), BatchOutput
        )

    def _count(self, simulation: Simulation) -> Any:
        return count_of(actor=self.actor, outcomes=simulation.outcomes, tentative=True)

    def _simulated(self, items: Sequence[TransferItem], *, atomic: bool) -> Simulation:
        outcomes = simulate_transfers(actor=self.actor, items=items, atomic=atomic)
        needs_code = outflows.needs_code(actor=self.actor, amounts=amounts_of(items))
        return Simulation(outcomes, needs_code=needs_code, is_atomic=atomic)


def _with_entries(outcomes: Sequence[Transaction | DomainError]) -> list[Transaction | DomainError]:
    """The transactions read back together, the refusals as they are."""
    transactions = selectors.with_entries_by_id([outcome for outcome in outcomes if isinstance(outcome, Transaction)])
    return [transactions[outcome.pk] if isinstance(outcome, Transaction) else outcome for outcome in outcomes]
