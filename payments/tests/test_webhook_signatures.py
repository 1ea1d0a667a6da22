"""How a webhook is authenticated: before its body is read, and by a comparison that takes as long for any signature."""

import ast
import hmac
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from fintech_core.db import ids
from payments.gateways import simulator
from payments.gateways.simulator import SimulatorGateway
from payments.models import WebhookEvent
from payments.tests.factories import event, send, signature

pytestmark = pytest.mark.django_db


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of `hmac` decides, and on the whole of both texts."""
    body = event(ids.uuid7())
    headers = signature(body)
    forged = {**headers, "webhook-signature": "v1," + "A" * 43 + "="}
    compared: list[tuple[bytes, bytes]] = []

    def compare_digest(expected: bytes, given: bytes) -> bool:
        compared.append((expected, given))
        return hmac.compare_digest(expected, given)

    monkeypatch.setattr(simulator, "hmac", SimpleNamespace(compare_digest=compare_digest))
    answers = [send(body, forged).status_code, send(body, headers).status_code]

    assert answers == [400, 200]
    right = headers["webhook-signature"].encode()
    assert compared == [(right, forged["webhook-signature"].encode()), (right, right)]


def test_no_signature_is_compared_by_equality() -> None:
    [function] = ast.parse(inspect.getsource(simulator._is_signed)).body

    assert [node for node in ast.walk(function) if isinstance(node, ast.Compare)] == []


@pytest.mark.parametrize("spoilt", ["webhook-signature", "webhook-timestamp", "webhook-id"])
def test_no_part_of_a_body_is_read_before_it_is_authentic(monkeypatch: pytest.MonkeyPatch, spoilt: str) -> None:
    read: list[bytes] = []
    parse_event = SimulatorGateway.parse_event

    def recorded(self: SimulatorGateway, body: bytes) -> Any:
        read.append(body)
        return parse_event(self, body)

    monkeypatch.setattr(SimulatorGateway, "parse_event", recorded)
    body = event(ids.uuid7())

    assert send(body, {**signature(body), spoilt: "1"}).status_code == 400
    assert (read, WebhookEvent.objects.count()) == ([], 0)
    assert send(body).status_code == 200
    assert read == [body]
