"""What an endpoint declares: found where it was written, and refused where it is missing."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from fintech_core.http.endpoints import (
    UNDECLARED,
    Endpoint,
    IdempotencyKey,
    LargeBody,
    endpoint,
    endpoint_at,
    endpoint_behind,
    endpoint_called,
    endpoint_of,
)
from fintech_core.http.serializers import ReasonInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.limits.ratelimit import Limit, Per
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction

FILE = LargeBody("STATEMENT_MAX_BYTES")
SENSITIVE = StepUpAction("Something sensitive")
NETWORK = Limit(name="send_network", per=Per.NETWORK)


@extend_schema(tags=["things"])
class ThingViewSet(DomainViewSet):
    @endpoint(access=Capability.WALLETS_READ)
    @extend_schema(operation_id="things_list")
    def list(self, request: Request) -> Response:
        return Response([])

    def retrieve(self, request: Request, pk: int) -> Response:
        raise AssertionError("it declares nothing, so nobody may call it")

    @endpoint(
        access=Capability.WALLETS_WRITE,
        key=IdempotencyKey.REQUIRED,
        limits=(NETWORK,),
        step_up=SENSITIVE,
        body=FILE,
        problems=(409,),
    )
    @extend_schema(operation_id="things_move", request=ReasonInput)
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: int) -> HttpResponse:
        raise AssertionError


class InheritingViewSet(ThingViewSet):
    def list(self, request: Request) -> Response:
        raise AssertionError("overridden without a declaration")


class PlainView(APIView):
    @endpoint(access=Capability.PUBLIC)
    def get(self, request: Request) -> Response:
        return Response({})


def called_by(view: type[DomainViewSet], actions: dict[str, str], method: str = "get") -> Any:
    """The answer to a caller who has every capability."""
    request = APIRequestFactory().generic(method, "/")
    force_authenticate(request, token=Actor.system("tests"))
    return view.as_view(actions)(request, **({"pk": 1} if "retrieve" in actions.values() else {}))


def test_a_declaration_is_found_by_view_and_action_with_all_its_parts() -> None:
    assert endpoint_of(ThingViewSet, "move") == Endpoint(
        access=Capability.WALLETS_WRITE,
        key=IdempotencyKey.REQUIRED,
        limits=(NETWORK,),
        step_up=SENSITIVE,
        body=FILE,
        problems=(409,),
    )
    assert endpoint_of(ThingViewSet, "list") == Endpoint(access=Capability.WALLETS_READ)
    assert endpoint_of(ThingViewSet, "list").key is IdempotencyKey.IGNORED


def test_a_subclass_inherits_a_declaration_until_it_overrides_the_action() -> None:
    assert endpoint_of(InheritingViewSet, "move") is endpoint_of(ThingViewSet, "move")
    assert endpoint_of(InheritingViewSet, "list") is UNDECLARED


@pytest.mark.parametrize("name", ["retrieve", "destroy", "endpoint", "", None])
def test_what_declares_nothing_is_undeclared(name: str | None) -> None:
    assert endpoint_of(ThingViewSet, name) is UNDECLARED


def test_a_callback_is_asked_by_method() -> None:
    callback = ThingViewSet.as_view({"get": "list", "post": "move"})

    assert endpoint_behind(callback, "POST") is endpoint_of(ThingViewSet, "move")
    assert endpoint_behind(callback, "GET") is endpoint_of(ThingViewSet, "list")
    assert endpoint_behind(callback, "PUT") is UNDECLARED
    assert endpoint_behind(PlainView.as_view(), "GET") is endpoint_of(PlainView, "get")
    assert endpoint_behind(lambda request: None, "GET") is UNDECLARED


def test_head_is_what_get_declares() -> None:
    assert endpoint_called(PlainView(), APIRequestFactory().head("/")) is endpoint_of(PlainView, "get")
    assert endpoint_called(PlainView(), APIRequestFactory().post("/")) is UNDECLARED


def test_a_path_leads_to_its_declaration_and_parameters() -> None:
    wallet_id = "018f0000-0000-7000-8000-000000000000"

    declared, parameters = endpoint_at(method="post", path=f"/api/v1/wallets/{wallet_id}/freeze/")

    assert declared.access is Capability.WALLETS_FREEZE
    assert {name: str(value) for name, value in parameters.items()} == {"pk": wallet_id}
    assert endpoint_at(method="POST", path="/api/v1/nothing") == (UNDECLARED, {})


@pytest.mark.django_db
def test_no_caller_may_call_an_action_that_declares_nothing() -> None:
    assert called_by(ThingViewSet, {"get": "list"}).status_code == 200

    for view, actions in ((ThingViewSet, {"get": "retrieve"}), (InheritingViewSet, {"get": "list"})):
        answer = called_by(view, actions)
        assert (answer.status_code, json.loads(answer.content)["code"]) == (403, "permission_denied")
