"""Views of the frame: health, readiness, the page of error codes, the feed of events."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.exceptions import ValidationFailed, error_classes
from fintech_core.http import pagination
from fintech_core.http.endpoints import endpoint
from fintech_core.http.problems import FRAME_CODES
from fintech_core.http.serializers import IdField, PatternField, StrictInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.ops import health
from fintech_core.outbox import event_types
from fintech_core.outbox import events as outbox
from fintech_core.outbox.models import OutboxEvent
from fintech_core.security.capabilities import Capability

_Health = inline_serializer("Health", {"status": serializers.ChoiceField(choices=["ok"])})
_Ready = inline_serializer(
    "Readiness",
    {
        "status": serializers.ChoiceField(choices=["ok", "degraded"]),
        "checks": inline_serializer(
            "ReadinessChecks",
            {
                name: serializers.ChoiceField(choices=health.CHECK_RESULTS)
                for name in ("database", "migrations", "ledger_base", "clock", "cache", "worker")
            },
        ),
    },
)


class HealthView(APIView):
    """The process is alive. Touches nothing."""

    authentication_classes = ()
    throttle_classes = ()

    @endpoint(access=Capability.PUBLIC)
    @extend_schema(responses={200: _Health}, tags=["operations"], auth=[])
    def get(self, request: Request) -> HttpResponse:
        return JsonResponse({"status": "ok"})


class ReadyView(APIView):
    """Whether this process can serve (503 if not), and how its surroundings do (503 only with `?strict=1`)."""

    authentication_classes = ()
    throttle_classes = ()

    @endpoint(access=Capability.PUBLIC)
    @extend_schema(
        parameters=[OpenApiParameter("strict", str, enum=["1"], description="503 for any failing check")],
        responses={200: _Ready, 503: _Ready},
        tags=["operations"],
        auth=[],
    )
    def get(self, request: Request) -> HttpResponse:
        checks = health.readiness()
        strict = request.query_params.get("strict")
        if strict not in {None, "1"}:
            raise ValidationFailed([{"field": "strict", "code": "invalid_choice", "message": "1, or left out."}])
        serving = all(checks.values()) if strict else health.can_serve(checks)
        body = {
            "status": "ok" if all(checks.values()) else "degraded",
            "checks": {name: "ok" if fine else "failing" for name, fine in checks.items()},
        }
        response = JsonResponse(body, status=200 if serving else 503)
        if not serving:
            response["Retry-After"] = "2"
        return response


def start_page(request: HttpRequest) -> HttpResponse:
    """Where a person finds what this server has."""
    return render(request, "fintech_core/start.html")


def favicon(request: HttpRequest) -> HttpResponse:
    """For browsers that request it by default, for example next to JSON."""
    return HttpResponseRedirect(static("fintech_core/favicon.svg"))


def error_codes(request: HttpRequest) -> HttpResponse:
    """Every error code with its status and meaning: where the `type` of a problem document points."""
    rows = {cls.code: (int(cls.status), cls.title) for cls in error_classes() if cls.code != "error"}
    rows |= {code: (status, "") for code, status in FRAME_CODES.items() if code not in rows}
    return render(request, "fintech_core/error_codes.html", {"rows": sorted(rows.items())})


class EventFilter(StrictInput):
    type = PatternField(r"\A[a-z_]+\.[a-z_]+\Z", required=False, max_length=64)
    entity_type = PatternField(r"\A[a-z_]+\Z", required=False, max_length=64)
    entity_id = IdField(required=False)


class EventOutput(serializers.ModelSerializer[OutboxEvent]):
    id = serializers.UUIDField(source="event_id", read_only=True)
    cursor = serializers.SerializerMethodField(help_text="`?cursor=` this for what came after the event.")

    class Meta:
        model = OutboxEvent
        fields: ClassVar = ["id", "type", "entity_type", "entity_id", "payload", "created_at", "cursor"]
        read_only_fields = fields

    def get_cursor(self, instance: OutboxEvent) -> str:
        return pagination.cursor_after(instance, outbox.ORDER)


@extend_schema(tags=["events"])
class EventViewSet(DomainViewSet):
    """What happened to the caller's things, oldest first: a feed that a client polls from its last cursor."""

    order: ClassVar = outbox.ORDER
    output = EventOutput
    serializer_class = EventOutput
    filter_input = EventFilter

    def get_queryset(self) -> Any:
        return outbox.events_visible_to(self.actor)

    @endpoint(access=event_types.OPENS_THE_FEED)
    @extend_schema(operation_id="events_list")
    def list(self, request: Request) -> Response:
        """Settled events of the types that the caller may read, oldest first.

        Store the last one's `cursor` and pass it next time: none is ever missed.
        """
        return self.list_page()
