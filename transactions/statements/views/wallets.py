"""HTTP of a wallet's reads: balance now and at an instant, entries, statements."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.db import clock
from fintech_core.db.finality import is_final
from fintech_core.db.work import unit_of_work
from fintech_core.http import exports, spreadsheets
from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from transactions.ledger import selectors
from transactions.ledger.serializers import WalletEntryOutput
from transactions.statements import camt053, csv_format, json_format, pdf_format, services
from transactions.statements.document import Line, Statement, checked, require_at_most
from transactions.statements.selectors import balance_at, balance_effective_at, find_statement, lines_of
from transactions.statements.serializers import (
    BalanceInput,
    BalanceOutput,
    EntryFilter,
    StatementInput,
    StatementOutput,
    balance_answer,
)
from wallet.models import Wallet
from wallet.selectors import wallets_visible_to, with_figures

MAX_STREAMED_LINES = 100_000
Render = Callable[[Statement, Iterable[Line]], Iterator[bytes]]
# format: content type, file name's ending, how many lines it may have, how it is written
FORMATS: dict[str, tuple[str, str, int, Render]] = {
    "json": (json_format.CONTENT_TYPE, "json", MAX_STREAMED_LINES, json_format.render),
    "csv": (spreadsheets.CONTENT_TYPE, "csv", MAX_STREAMED_LINES, csv_format.render),
    "pdf": (pdf_format.CONTENT_TYPE, "pdf", pdf_format.MAX_LINES, pdf_format.render),
    "camt053": (camt053.CONTENT_TYPE, "xml", MAX_STREAMED_LINES, camt053.render),
}


class _WalletReads(DomainViewSet):
    """A wallet that the caller may see, or 404."""

    def get_queryset(self) -> Any:
        return wallets_visible_to(self.actor).select_related("owner_user", "owner_organization")


@extend_schema(tags=["wallets"])
class WalletBalanceViewSet(_WalletReads):
    def get_queryset(self) -> Any:
        return with_figures(super().get_queryset(), clock.now())

    @endpoint(access=Capability.WALLETS_READ, problems=(400,))
    @extend_schema(operation_id="wallets_balance", parameters=[BalanceInput], responses=BalanceOutput)
    def retrieve(self, request: Request, pk: UUID) -> Response:
        """Balance, held and available now; with `at` or `effective_at` the balance at that instant."""
        asked = self.validated(BalanceInput, request.query_params.dict())
        wallet = self.get_object()
        answer = balance_answer({"wallet": wallet.pk, "currency": wallet.currency, **_figures(wallet, **asked)})
        return Response(BalanceOutput(answer).data)


def _figures(wallet: Any, at: Any = None, effective_at: Any = None) -> dict[str, Any]:
    if effective_at is not None:
        found = balance_effective_at(wallet, effective_at)
        return {"balance": found.balance, "effective_at": effective_at, "may_change": True}
    if at is not None:
        final = is_final(at)
        found = balance_at(wallet, at)
        return {
            "balance": found.balance,
            "sequence": found.sequence,
            "as_of": found.as_of,
            "at": at,
            "may_change": not final,
        }
    return {
        "balance": wallet.balance,
        "held": wallet.held_now,
        "available": wallet.available_now,
        "sequence": wallet.sequence,
        "as_of": wallet.last_posted_at,
        "may_change": True,
    }


@extend_schema(tags=["wallets"])
class WalletEntriesViewSet(_WalletReads):
    output = WalletEntryOutput
    serializer_class = WalletEntryOutput
    filter_input = EntryFilter

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_entries(queryset, filters)

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="wallets_entries")
    def list(self, request: Request, pk: UUID) -> Response:
        """The wallet's entries along its gapless sequence: pages stay put while others are added."""
        order = "sequence" if self.checked_filters()["order"] == "asc" else "-sequence"
        return self.list_page(selectors.entries_of_wallet(self.get_object()), order=(order,))


@extend_schema(tags=["wallets"])
class WalletStatementViewSet(_WalletReads):
    @endpoint(access=Capability.TRANSACTIONS_READ, problems=(400, 422, 429))
    @extend_schema(
        operation_id="wallets_statement",
        parameters=[StatementInput],
        responses={
            (200, "application/json"): StatementOutput,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
            (200, "application/xml"): OpenApiTypes.STR,
        },
    )
    def retrieve(self, request: Request, pk: UUID) -> HttpResponseBase:
        """The entries posted in [from, to) between opening and closing balance, streamed. At most 366 days."""
        asked = self.validated(StatementInput, request.query_params.dict())
        wallet: Wallet = self.get_object()
        content_type, ending, limit, render = FORMATS[asked["format"]]

        def begin() -> Iterator[bytes]:
            statement = find_statement(wallet, start=asked["start"], end=asked["end"])
            require_at_most(statement, limit)
            if asked["format"] == "camt053":
                camt053.require_representable(statement)
            self._trace(wallet, asked)
            return render(statement, checked(statement, lines_of(statement, actor=self.actor)))

        days = f"{asked['start']:%Y-%m-%d}-{asked['end']:%Y-%m-%d}"
        filename = None if asked["format"] == "json" else f"statement-{wallet.currency}-{days}.{ending}"
        return exports.stream(
            begin, request=request, principal=self.actor.principal_id, content_type=content_type, filename=filename
        )

    def _trace(self, wallet: Wallet, asked: dict[str, Any]) -> None:
        """An export by staff leaves an audit row, committed before the first byte."""
        if wallet.owner_id == self.actor.owner_id:
            return
        parameters = {"from": asked["start"].isoformat(), "to": asked["end"].isoformat(), "format": asked["format"]}
        unit_of_work(
            lambda: services.record_export(
                actor=self.actor,
                report="statement",
                entity_type="wallet",
                entity_id=wallet.pk,
                parameters=parameters,
            )
        )
