"""HTTP of the books for accountants: trial balance and general journal. Staff only."""

from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace

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
from transactions.statements import books, journal_format, json_format, services
from transactions.statements.serializers import JournalInput, JournalOutput, TrialBalanceInput, TrialBalanceOutput


@extend_schema(tags=["reports"])
class ReportViewSet(DomainViewSet):
    @endpoint(access=Capability.REPORTS_READ, problems=(400, 422))
    @extend_schema(operation_id="reports_trial_balance", parameters=[TrialBalanceInput], responses=TrialBalanceOutput)
    def trial_balance(self, request: Request) -> Response:
        """Debits, credits and balance of every account, by currency. The balances add up to zero."""
        asked = self.validated(TrialBalanceInput, request.query_params.dict())
        at: datetime = asked["at"] if "at" in asked else clock.now()
        final = is_final(at)
        rows = books.trial_balance(at=at, currency=asked.get("currency"), each=asked["customers"] == "each")
        parameters = {"at": at.isoformat(), "currency": asked.get("currency", ""), "customers": asked["customers"]}
        self._trace("trial_balance", parameters)
        return Response(TrialBalanceOutput({"at": at, "may_change": not final, "currencies": _by_currency(rows)}).data)

    @endpoint(access=Capability.REPORTS_READ, problems=(400, 429))
    @extend_schema(
        operation_id="reports_journal",
        parameters=[JournalInput],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): JournalOutput},
    )
    def journal(self, request: Request) -> HttpResponseBase:
        """Every entry posted in [from, to), streamed; the totals are at its end. At most 366 days."""
        asked = self.validated(JournalInput, request.query_params.dict())
        start, end = asked["start"], min(asked["end"], clock.now())
        as_csv = asked["format"] == "csv"

        def begin() -> Iterator[bytes]:
            self._trace("journal", {"from": start.isoformat(), "to": end.isoformat(), "format": asked["format"]})
            lines = books.journal(start=start, end=end)
            if as_csv:
                return journal_format.journal_csv(lines)
            return journal_format.journal_json(lines, start=start, end=end)

        return exports.stream(
            begin,
            request=request,
            principal=self.actor.principal_id,
            content_type=spreadsheets.CONTENT_TYPE if as_csv else json_format.CONTENT_TYPE,
            filename=f"journal-{asked['start']:%Y-%m-%d}-{asked['end']:%Y-%m-%d}.csv" if as_csv else None,
        )

    def _trace(self, report: str, parameters: dict[str, str]) -> None:
        unit_of_work(
            lambda: services.record_export(
                actor=self.actor, report=report, entity_type="report", entity_id=report, parameters=parameters
            )
        )


def _by_currency(rows: list[books.AccountTotal]) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(
            currency=currency,
            debits=debits,
            credits=credits,
            accounts=[row for row in rows if row.currency == currency],
        )
        for currency, (debits, credits) in books.sums(rows).items()
    ]
