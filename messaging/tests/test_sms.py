"""SMS.RU against a local server that speaks its wire format; the other providers; the deployment's checks."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from fintech_core.ops.checks import production_settings
from messaging import sms
from messaging.sms import Delivery, Outcome, smsru

PHONE = "+79255070602"
NUMBER = PHONE[1:]
OK = {
    "status": "OK",
    "status_code": 100,
    "sms": {NUMBER: {"status": "OK", "status_code": 100, "sms_id": "000000-10000000"}},
    "balance": 4122.56,
}


class Server:
    """SMS.RU as its documentation describes it: HTTP 200, a JSON document."""

    def __init__(self) -> None:
        self.answer: bytes = json.dumps(OK).encode()
        self.status = 200
        self.pause = 0.0
        self.requests: list[tuple[str, str, dict[str, list[str]]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.requests.append((self.path, self.headers["Content-Type"], parse_qs(body)))
                time.sleep(outer.pause)
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    made = Server()
    settings.SMS_PROVIDER, settings.SMSRU_API_ID, settings.SMSRU_URL = "smsru", "KEY", made.url
    yield made
    made.http.shutdown()
    made.http.server_close()


def send() -> Delivery:
    return sms.provider().send(phone=PHONE, text="Code 123456, не говорите", lifetime=timedelta(minutes=10))


def test_a_message_is_one_posted_form(server: Server) -> None:
    assert send() == Delivery(Outcome.SENT, 100, "000000-10000000")

    ((path, content_type, form),) = server.requests
    assert (path, content_type) == ("/sms/send", "application/x-www-form-urlencoded")
    assert form == {
        "api_id": ["KEY"],
        "json": ["1"],
        "to": [NUMBER],
        "msg": ["Code 123456, не говорите"],
        "ttl": ["10"],
    }


def test_sender_and_test_switch_go_along_where_they_are_set(server: Server, settings: Any) -> None:
    settings.SMSRU_FROM, settings.SMS_TEST_MODE = "FINTECH", True

    send()

    form = server.requests[0][2]
    assert (form["from"], form["test"]) == (["FINTECH"], ["1"])


def whole(code: int) -> dict[str, Any]:
    return {"status": "ERROR", "status_code": code, "status_text": "…"}


def one(code: int) -> dict[str, Any]:
    return {**OK, "sms": {NUMBER: {"status": "ERROR", "status_code": code, "status_text": f"about {NUMBER}"}}}


@pytest.mark.parametrize(
    ("answer", "delivery"),
    [
        *((whole(code), Delivery(Outcome.REFUSED, code)) for code in (200, 201, 204, 206, 300, 301, 203, 210, 212)),
        *((one(code), Delivery(Outcome.REFUSED, code)) for code in (202, 207, 209, 230, 231, 232, 233)),
        *((maker(code), Delivery(Outcome.LATER, code)) for code in (220, 500) for maker in (whole, one)),
        ({**OK, "sms": {}}, Delivery(Outcome.UNKNOWN)),
        ({**OK, "sms": []}, Delivery(Outcome.UNKNOWN)),
        ({"status": "OK"}, Delivery(Outcome.UNKNOWN)),
        ({**OK, "status_code": "100"}, Delivery(Outcome.UNKNOWN)),
        ([], Delivery(Outcome.UNKNOWN)),
        (None, Delivery(Outcome.UNKNOWN)),
        (
            {**OK, "sms": {NUMBER: {"status_code": 100, "sms_id": "x" * 65}}},
            Delivery(Outcome.SENT, 100, ""),
        ),
    ],
)
def test_what_its_answers_mean(server: Server, answer: Any, delivery: Delivery) -> None:
    server.answer = json.dumps(answer).encode()

    assert send() == delivery
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, b"\xff"), (502, b"{}"), (302, b"")])
def test_an_answer_that_is_none_is_unknown(server: Server, status: int, body: bytes) -> None:
    server.status, server.answer = status, body

    assert send() == Delivery(Outcome.UNKNOWN)


def test_a_timeout_is_unknown_and_asked_once(server: Server, monkeypatch: Any) -> None:
    monkeypatch.setattr(smsru, "_TIMEOUT", httpx.Timeout(0.2, connect=0.2))
    server.pause = 0.6

    assert send() == Delivery(Outcome.UNKNOWN)
    assert len(server.requests) == 1


def test_an_unreachable_server_took_nothing(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()

    assert send() == Delivery(Outcome.LATER)


def test_the_timeouts_are_ten_and_three_seconds() -> None:
    assert httpx.Timeout(10, connect=3) == smsru._TIMEOUT


def test_without_a_provider_every_message_is_refused(settings: Any) -> None:
    settings.SMS_PROVIDER = "none"

    assert send() == Delivery(Outcome.REFUSED)


def test_the_console_shows_the_message(settings: Any, capsys: Any) -> None:
    settings.SMS_PROVIDER = "console"

    assert send() == Delivery(Outcome.SENT)
    assert capsys.readouterr().out == f"--- SMS to {PHONE} ---\nCode 123456, не говорите\n---\n"


@pytest.mark.django_db
def test_in_test_mode_nothing_goes_to_test_numbers(server: Server, settings: Any) -> None:
    from django.utils import timezone

    from fintech_core.db.work import unit_of_work
    from messaging import tasks
    from messaging.models import Message
    from messaging.services import messages
    from tests.cast import SYSTEM

    settings.SMS_TEST_MODE = True
    context = {"what": "x", "at": "y"}
    for phone in ("+79999123456", PHONE):
        queued = unit_of_work(
            lambda phone=phone: messages.send_sms(
                actor=SYSTEM, template="credential_changed", phone=phone, context=context, now=timezone.now()
            )
        )
        tasks.send_message(str(queued.pk))

    assert list(Message.objects.values_list("state", flat=True)) == ["sent", "sent"]
    assert [form["to"] for _, _, form in server.requests] == [[NUMBER]]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"SMS_TEST_MODE": True}, "fintech.E014"),
        ({"SMS_PROVIDER": "console"}, "fintech.E015"),
        ({"SMS_PROVIDER": "smsru", "SMSRU_API_ID": ""}, "fintech.E016"),
        ({"SMSRU_URL": "http://sms.ru"}, "fintech.E017"),
    ],
)
def test_a_deployment_with_known_or_shown_codes_is_refused(settings: Any, changes: dict[str, Any], error: str) -> None:
    settings.SMS_PROVIDER, settings.SMSRU_API_ID = "smsru", "KEY"
    assert not {found.id for found in production_settings(None)} & {f"fintech.E01{n}" for n in range(4, 8)}

    for name, value in changes.items():
        setattr(settings, name, value)

    assert error in {found.id for found in production_settings(None)}
