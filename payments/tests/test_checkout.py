"""The checkout page: a signed address, two buttons, no script, and the state of our database."""

import re
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.test import Client

from fintech_core.db import ids
from payments.checkout import checkout_url, intent_id_of
from payments.models import SimulatorPayment
from payments.tests.factories import books, deliver, event, open_intent
from tests.cast import clock_at
from users.models import User

pytestmark = pytest.mark.django_db


def path_of(intent: Any) -> str:
    return urlsplit(checkout_url(intent.pk)).path


def csrf_of(page: Any) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())
    assert found is not None
    return found[1]


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def test_a_person_sees_the_amount_and_two_buttons(alice: User, browser: Client) -> None:
    intent = open_intent(alice, "1234.50")

    page = browser.get(path_of(intent))

    text = page.content.decode()
    assert page.status_code == 200
    assert page["Content-Type"] == "text/html; charset=utf-8"
    assert "1234.50 <small>USD</small>" in text
    assert re.findall(r'name="outcome" value="(\w+)"', text) == ["succeeded", "failed"]
    assert "<script" not in text
    assert not re.search(r"\son\w+=", text)
    assert "no-store" in page["Cache-Control"]
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("outcome", "kind", "end"), [("succeeded", "succeeded", "received"), ("failed", "failed", "declined")]
)
def test_a_person_decides_and_sees_how_it_goes_on(
    alice: User, browser: Client, outcome: str, kind: str, end: str
) -> None:
    intent = open_intent(alice, return_url="https://shop.example/thanks?order=1&x=2")
    path, before = path_of(intent), books()
    token = csrf_of(browser.get(path))

    answer = browser.post(path, {"outcome": outcome, "csrfmiddlewaretoken": token})
    waiting = browser.get(path).content.decode()

    assert (answer.status_code, answer["Location"]) == (302, path)
    assert "being confirmed" in waiting
    assert 'href="https://shop.example/thanks?order=1&amp;x=2"' in waiting
    assert 'http-equiv="refresh"' in waiting
    assert "<button" not in waiting
    assert SimulatorPayment.objects.get().status == outcome
    assert books() == before

    deliver(event(intent.pk, kind=f"payment.{kind}"))
    done = browser.get(path).content.decode()

    assert f"Payment {end}" in done
    assert 'http-equiv="refresh"' not in done


def test_a_second_click_decides_nothing(alice: User, browser: Client) -> None:
    intent = open_intent(alice)
    path = path_of(intent)
    token = csrf_of(browser.get(path))
    browser.post(path, {"outcome": "succeeded", "csrfmiddlewaretoken": token})

    again = browser.post(path, {"outcome": "failed", "csrfmiddlewaretoken": token})

    assert (again.status_code, again["Location"]) == (302, path)
    assert list(SimulatorPayment.objects.values_list("status", flat=True)) == ["succeeded"]


def test_a_post_without_the_csrf_token_is_refused(alice: User, browser: Client) -> None:
    intent = open_intent(alice)

    response = browser.post(path_of(intent), {"outcome": "succeeded"})

    assert response.status_code == 403
    assert SimulatorPayment.objects.count() == 0


@pytest.mark.parametrize("body", [{}, {"outcome": "paid"}, {"outcome": ""}])
def test_a_click_on_nothing_decides_nothing(alice: User, body: dict[str, str]) -> None:
    intent = open_intent(alice)

    response = Client().post(path_of(intent), body)

    assert response.status_code == 302
    assert SimulatorPayment.objects.count() == 0


def test_a_bad_token_is_not_found(alice: User, browser: Client) -> None:
    path = path_of(open_intent(alice))
    other = signing.Signer(salt="another page").sign(ids.uuid7().hex)
    unknown = path_of(type("Absent", (), {"pk": ids.uuid7()}))

    paths = [path[:-1] + ("A" if path[-1] != "A" else "B"), "/checkout/x", f"/checkout/{other}", unknown]

    assert [browser.get(bad).status_code for bad in paths] == [404] * 4


def test_a_link_is_good_as_long_as_its_intent_by_the_clock_of_the_database(
    alice: User, browser: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PAYMENT_INTENT_LIFETIME = timedelta(days=3)
    intent = open_intent(alice)
    path = path_of(intent)
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + timedelta(days=30).total_seconds())  # a process that is wrong

    with clock_at(intent.expires_at - timedelta(seconds=1)):
        before = browser.get(path)
    with clock_at(intent.expires_at):
        after = browser.get(path)
        browser.post(path, {"outcome": "succeeded", "csrfmiddlewaretoken": csrf_of(before)})

    assert (before.status_code, after.status_code) == (200, 200)
    assert "Confirm your payment" in before.content.decode()
    assert "Payment canceled" in after.content.decode()
    assert "<button" not in after.content.decode()
    assert not SimulatorPayment.objects.exists()


def test_a_link_of_one_intent_has_one_address(alice: User) -> None:
    intent = open_intent(alice)

    assert checkout_url(intent.pk) == checkout_url(intent.pk)
    assert intent_id_of(path_of(intent).rpartition("/")[2]) == intent.pk


def test_the_page_is_gone_while_the_simulator_is_off(alice: User, browser: Client, settings: Any) -> None:
    path = path_of(open_intent(alice))
    settings.SIMULATOR_ENABLED = False

    assert browser.get(path).status_code == 404
    assert Client().post(path, {"outcome": "succeeded"}).status_code == 404
    assert SimulatorPayment.objects.count() == 0


def test_two_decisions_in_one_request_are_none(alice: User, browser: Client) -> None:
    path = path_of(open_intent(alice))
    token = csrf_of(browser.get(path))

    answer = browser.post(path, {"outcome": ["succeeded", "failed"], "csrfmiddlewaretoken": token})

    assert (answer.status_code, answer["Location"]) == (302, path)
    assert not SimulatorPayment.objects.exists()
