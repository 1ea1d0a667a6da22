"""Limits per network, principal and destination: counted, answered with 429, and what holds while the cache is away."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.http import HttpResponse
from django.test import Client as Browser
from drf_spectacular.generators import SchemaGenerator

from fintech_core.exceptions import RateLimited
from fintech_core.http import client_address
from fintech_core.limits import counters, ratelimit
from fintech_core.limits.models import AttemptBudget
from fintech_core.limits.ratelimit import Limit, Per, WithoutCache
from tests.cast import PASSWORD, Client, anonymous_client, client_for
from users import limits
from users.limits import REGISTER_NETWORK, SEND_NETWORK, SEND_TO_EMAIL, SEND_TO_PHONE, VERIFY_NETWORK
from users.models import Registration, User

pytestmark = pytest.mark.django_db
ME, TOKEN, REGISTER = "/api/v1/users/me", "/api/v1/auth/token", "/api/v1/auth/register"
HEADER = "HTTP_CLIENTADDRESS"
MANY = (1000, 3600)


@pytest.fixture(autouse=True)
def _cache_is_asked() -> Iterator[None]:
    """No test meets the pause that a cache that was away in another one left."""
    ratelimit.forget_failure()
    yield
    ratelimit.forget_failure()


@pytest.fixture
def rates(settings: Any) -> Any:
    """`rates(api_network=(2, 3600))`: windows of an hour, so that none ends while a test counts."""

    def change(**limits: tuple[int, int]) -> None:
        settings.RATE_LIMITS = {**dict.fromkeys(settings.RATE_LIMITS, MANY), **limits}

    return change


@pytest.fixture
def cache_is_down(settings: Any) -> None:
    """Valkey's port is closed."""
    settings.REDIS_URL = "redis://127.0.0.1:9/0"


def refused(answer: Any, code: str = "rate_limited") -> int:
    """The seconds to wait of a 429 that has the contract's shape."""
    assert (answer.status_code, answer.json()["code"]) == (429, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "code", "detail", "trace_id"}
    assert answer["X-Request-Id"] == answer.json()["trace_id"]
    return int(answer["Retry-After"])


def statuses(count: int, ask: Any) -> list[int]:
    return [ask().status_code for _ in range(count)]


# --- Per network ------------------------------------------------------------------------------------------------------


def test_everything_below_api_counts_for_the_network(anonymous: Client, rates: Any) -> None:
    rates(api_network=(4, 3600))

    first = [
        anonymous.get(ME).status_code,
        anonymous.get("/api/v1/nothing/here").status_code,
        anonymous.get("/api/errors").status_code,
        anonymous.post(TOKEN, {}).status_code,
    ]
    assert first == [401, 404, 200, 400]

    assert 1 <= refused(anonymous.get(ME)) <= 3600
    refused(anonymous.get("/api/v1/nothing/here"))
    refused(anonymous.post(REGISTER, {"email": "a@b.example", "password": PASSWORD}))
    assert not Registration.objects.exists()


def test_health_and_webhooks_are_not_counted(anonymous: Client, rates: Any) -> None:
    rates(api_network=(1, 3600))
    assert anonymous.get(ME).status_code == 401

    assert statuses(3, lambda: anonymous.get("/api/health/")) == [200] * 3
    assert statuses(3, lambda: anonymous.get("/health")) == [200] * 3
    assert statuses(3, lambda: anonymous.post("/webhooks/v1/simulator", {})) == [400] * 3


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP", "True-Client-IP"])
def test_a71_rotating_headers_change_nothing(anonymous: Client, rates: Any, header: str) -> None:
    rates(api_network=(3, 3600))

    answers = [anonymous.get(ME, headers={header: f"203.0.113.{number}"}) for number in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 3
    assert all(refused(answer) > 0 for answer in answers[3:])


@pytest.mark.parametrize("limited", [TOKEN, REGISTER])
def test_a71_nor_where_one_logs_in_or_registers(anonymous: Client, rates: Any, limited: str) -> None:
    rates(log_in_network=(3, 3600), register_network=(3, 3600))

    answers = [
        anonymous.post(
            limited,
            {"email": f"nobody{number}@customer.example", "password": PASSWORD},
            headers={"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"},
            HTTP_X_REAL_IP=f"203.0.113.{number}",
        )
        for number in range(5)
    ]

    assert [answer.status_code == 429 for answer in answers] == [False] * 3 + [True] * 2


def test_behind_a_proxy_each_client_counts_for_itself(anonymous: Client, rates: Any, settings: Any) -> None:
    rates(api_network=(2, 3600))
    settings.TRUSTED_PROXY_ADDRESS_HEADER = HEADER

    def ask(address: str) -> int:
        return anonymous.get(ME, HTTP_CLIENTADDRESS=address, HTTP_X_FORWARDED_FOR="203.0.113.9").status_code

    assert [ask("198.51.100.4") for _ in range(3)] == [401, 401, 429]
    assert ask("198.51.100.5") == 401
    assert [ask(f"2001:db8:1:2::{number}") for number in range(1, 4)] == [401, 401, 429]
    assert ask("2001:db8:1:3::1") == 401


def test_a71_a_trusted_header_that_is_no_address_gives_no_counters_of_its_own(
    anonymous: Client, rates: Any, settings: Any
) -> None:
    rates(api_network=(2, 3600))
    settings.TRUSTED_PROXY_ADDRESS_HEADER = HEADER

    lists = [anonymous.get(ME, HTTP_CLIENTADDRESS=f"203.0.113.{number}, 198.51.100.4") for number in range(4)]
    unreadable = [anonymous.get(ME, HTTP_CLIENTADDRESS=f"203.0.113.{number}:80") for number in range(4)]

    assert [answer.status_code for answer in lists] == [400] * 4
    assert [answer.status_code for answer in unreadable] == [401, 401, 429, 429]


LIMITS_OF_NETWORKS = [
    limit for limit in vars(limits).values() if isinstance(limit, Limit) and limit.per is Per.NETWORK
] + [ratelimit.API_NETWORK, ratelimit.LOG_IN_NETWORK]


@pytest.mark.parametrize("limit", LIMITS_OF_NETWORKS, ids=lambda limit: limit.name)
def test_a_host_with_a_48_has_four_networks_and_not_65536(rates: Any, rf: Any, limit: Limit) -> None:
    """Whatever is limited per network, it counts by both widths."""
    rates(**{limit.name: (2, 3600)})

    def ask(address: str) -> str:
        def view(request: Any) -> HttpResponse:
            try:
                ratelimit.count_network(limit)
            except RateLimited:
                return HttpResponse("limited")
            return HttpResponse("passed")

        return client_address.ClientAddressMiddleware(view)(rf.get("/", REMOTE_ADDR=address)).content.decode()

    assert [ask("2001:db8:9:1::1") for _ in range(3)] == ["passed", "passed", "limited"]
    found = [ask(f"2001:db8:9:{number:x}::1") for number in range(2, 10)]
    assert found == ["passed"] * 6 + ["limited"] * 2
    assert ask("2001:db8:10::1") == "passed"


# --- Per principal ----------------------------------------------------------------------------------------------------


def test_a_principal_is_limited_across_sessions_and_others_are_not(alice: User, bob: User, rates: Any) -> None:
    rates(api_principal=(3, 3600))
    first, second = client_for(alice), client_for(alice)

    assert [client.get(ME).status_code for client in (first, second, first)] == [200] * 3
    refused(second.get(ME))
    refused(first.get("/api/v1/wallets"))

    assert client_for(bob).get(ME).status_code == 200


def test_what_is_forbidden_counts_too(alice_client: Client, rates: Any) -> None:
    rates(api_principal=(2, 3600))

    assert statuses(3, lambda: alice_client.get("/api/v1/audit-logs")) == [403, 403, 429]


def test_a_refused_write_does_nothing(alice_client: Client, alice: User, rates: Any) -> None:
    rates(api_principal=(1, 3600))
    alice_client.get(ME)

    refused(alice_client.patch(ME, {"first_name": "Changed"}))

    assert User.objects.get(pk=alice.pk).first_name == "Alice"


@pytest.mark.django_db(transaction=True)
def test_the_count_is_atomic(alice: User, rates: Any) -> None:
    """Of forty requests at once exactly ten pass: DRF's own throttles read and write, and let more through."""
    from django.db import connection

    rates(api_principal=(10, 3600))
    clients = [client_for(alice) for _ in range(8)]

    def ask(client: Client) -> list[int]:
        try:
            return statuses(5, lambda: client.get(ME))
        finally:
            connection.close()

    with ThreadPoolExecutor(len(clients)) as pool:
        found = Counter(status for answer in pool.map(ask, clients) for status in answer)

    assert found == {200: 10, 429: 30}


def test_a_counter_ends_by_itself_and_counts_once_per_call(settings: Any) -> None:
    rate = (10, 60)

    found = [counters.count("things", subject, rate=rate, number=1)[0] for subject in (b"alice", b"alice", b"bob")]

    assert found == [1, 2, 1]
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        lifetimes = [client.ttl(key) for key in client.keys("*")]
    assert len(lifetimes) == 2
    assert all(60 <= seconds <= 65 for seconds in lifetimes)


def test_a_window_has_one_end_for_a_subject_and_another_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted once per second for three windows: each of them has 60 seconds, and the counts begin anew."""
    begin, now = 1_800_000_000, [0]
    monkeypatch.setattr(counters.time, "time", lambda: now[0] + 0.9)
    ends: dict[bytes, list[int]] = {b"alice": [], b"bob": []}
    for now[0] in range(begin, begin + 180):
        for subject, found in ends.items():
            found.append(counters.window_end(subject, 60))

    for found in ends.values():
        assert all(0 <= end - (begin + second) < 60 for second, end in enumerate(found))
        assert [number for end, number in sorted(Counter(found).items())][1:-1] == [60, 60]
        assert len({end % 60 for end in found}) == 1
    assert set(ends[b"alice"]).isdisjoint(ends[b"bob"])
    assert counters.window_end(b"alice", 1) == now[0]


# --- Per destination --------------------------------------------------------------------------------------------------


def test_one_address_gets_so_many_messages_however_it_is_spelled(anonymous: Client, rates: Any) -> None:
    rates(send_destination=(3, 3600))
    spellings = [
        "carol@customer.example",
        " Carol@Customer.Example ",
        "CAROL@customer.example",
        "carol@CUSTOMER.example",
    ]

    answers = [anonymous.post(REGISTER, {"email": spelling, "password": PASSWORD}) for spelling in spellings]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    refused(answers[3])
    assert anonymous.post(REGISTER, {"email": "dave@customer.example", "password": PASSWORD}).status_code == 201
    assert Registration.objects.count() == 4


def test_known_and_unknown_addresses_are_limited_alike(anonymous: Client, alice: User, rates: Any) -> None:
    rates(send_destination=(2, 3600))

    found = {}
    for email in (alice.email, "nobody@customer.example"):
        answers = [anonymous.post(REGISTER, {"email": email, "password": PASSWORD}) for _ in range(3)]
        found[email] = [(answer.status_code, sorted(answer.headers)) for answer in answers]

    assert found[alice.email] == found["nobody@customer.example"]
    assert [status for status, _ in found[alice.email]] == [201, 201, 429]


@pytest.mark.parametrize("body", [[], "x", None, {"email": 5}, {"email": ["a@b.example"]}, {"email": "nobody"}, {}])
def test_what_names_no_destination_is_refused_as_before(anonymous: Client, rates: Any, body: Any) -> None:
    rates(send_destination=(1, 3600))

    assert statuses(2, lambda: anonymous.post(REGISTER, body)) == [400, 400]


def test_a_body_that_is_no_json_stays_malformed(anonymous: Client) -> None:
    answer = anonymous.generic("POST", REGISTER, "{", content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


@pytest.mark.usefixtures("anonymous")
def test_the_cache_holds_neither_addresses_nor_networks(cluster: Any, settings: Any) -> None:
    anonymous_client().post(REGISTER, {"email": "seeded-value@customer.example", "password": PASSWORD})

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        keys = client.keys("*")
        shown = b" ".join([*keys, *(client.dump(key) or b"" for key in keys)])
    assert len(keys) >= 3
    assert b"seeded" not in shown
    assert b"127.0.0.1" not in shown


# --- The cache is down ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cache_is_down")
def test_money_and_reads_go_on_without_the_cache(alice_client: Client, rates: Any) -> None:
    rates(api_network=(1, 3600), api_principal=(1, 3600))

    assert statuses(3, lambda: alice_client.get(ME)) == [200] * 3
    assert not AttemptBudget.objects.exists()


@pytest.mark.usefixtures("cache_is_down")
def test_log_ins_are_counted_in_the_database_without_the_cache(anonymous: Client, rates: Any) -> None:
    rates(log_in_network=(3, 3600), register_network=(3, 3600), verify_network=(3, 3600))
    asks = {
        TOKEN: {"email": "nobody@customer.example", "password": "not the password at all"},
        REGISTER: {"email": "carol@customer.example", "password": PASSWORD},
        "/api/v1/auth/email/verify": {"token": "x"},
    }

    for path, body in asks.items():
        answers = [anonymous.post(path, body, headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(5)]
        assert [answer.status_code == 429 for answer in answers] == [False] * 3 + [True] * 2, path
        assert 3590 <= refused(answers[4]) <= 3600


@pytest.mark.usefixtures("cache_is_down")
def test_destinations_are_counted_in_the_database_without_the_cache(anonymous: Client, rates: Any) -> None:
    rates(send_destination=(2, 3600))

    found = statuses(3, lambda: anonymous.post(REGISTER, {"email": "carol@customer.example", "password": PASSWORD}))

    assert found == [201, 201, 429]
    assert Registration.objects.count() == 2


@pytest.mark.usefixtures("cache_is_down")
def test_a_cache_that_is_down_costs_no_time(anonymous: Client, rates: Any) -> None:
    rates()
    started = time.monotonic()

    statuses(10, lambda: anonymous.get(ME))

    assert time.monotonic() - started < 5


def test_a_cache_that_hangs_is_waited_for_once(anonymous: Client, rates: Any, settings: Any) -> None:
    """A server that accepts and never answers: the first request pays the timeout, the next ones don't ask it."""
    rates()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings.REDIS_URL = where
        started = time.monotonic()

        assert statuses(4, lambda: anonymous.get(ME)) == [401] * 4

        assert time.monotonic() - started < ratelimit.CACHE_PAUSE
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


@pytest.mark.usefixtures("cache_is_down")
def test_the_cache_is_asked_again_after_a_pause(anonymous: Client, rates: Any, monkeypatch: Any) -> None:
    asked = []
    monkeypatch.setattr(counters, "count", lambda *_, **__: asked.append(1) or (1, 60))
    monkeypatch.setattr(ratelimit, "_cache_asked_again_at", [time.monotonic() + 1000])
    anonymous.get(ME)
    assert asked == []

    monkeypatch.setattr(ratelimit, "_cache_asked_again_at", [time.monotonic() - 1])
    anonymous.get(ME)
    assert asked == [1]


# --- The admin's log-in page ------------------------------------------------------------------------------------------


def page(answer: Any) -> int:
    assert answer.status_code == 429
    assert answer["Content-Type"].startswith("text/html")
    assert "Too many requests" in answer.content.decode()
    return int(answer["Retry-After"])


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/login/?next=/admin/"])
def test_log_ins_to_the_admin_are_limited_per_network(officer: User, rates: Any, path: str) -> None:
    rates(log_in_network=(2, 3600))
    browser = Browser()

    for number in range(2):
        body = {"username": f"nobody{number}@staff.example", "password": "not the password at all"}
        assert browser.post(path, body).status_code == 200
    answer = browser.post(path, {"username": officer.email, "password": PASSWORD}, HTTP_X_FORWARDED_FOR="203.0.113.1")

    assert 1 <= page(answer) <= 3600
    assert "_auth_user_id" not in browser.session
    assert browser.get(path).status_code == 200


@pytest.mark.usefixtures("cache_is_down")
def test_log_ins_to_the_admin_are_limited_without_the_cache(officer: User, rates: Any) -> None:
    rates(log_in_network=(1, 3600))
    browser = Browser()
    body = {"username": officer.email, "password": "not the password at all"}

    assert browser.post("/admin/login/", body).status_code == 200
    assert page(browser.post("/admin/login/", body)) > 3590


# --- The declaration --------------------------------------------------------------------------------------------------


def test_every_log_in_limit_falls_back_to_the_database_and_the_general_limits_open() -> None:
    closed = {REGISTER_NETWORK, SEND_NETWORK, VERIFY_NETWORK, SEND_TO_EMAIL, SEND_TO_PHONE, ratelimit.LOG_IN_NETWORK}

    assert {limit.without_cache for limit in closed} == {WithoutCache.DATABASE}
    assert ratelimit.API_NETWORK.without_cache is WithoutCache.OPEN
    assert ratelimit.API_PRINCIPAL.without_cache is WithoutCache.OPEN
    assert Limit(name="any", per=Per.NETWORK).without_cache is WithoutCache.DATABASE


def test_every_operation_of_the_schema_says_429_with_retry_after() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    silent = {
        f"{method} {path}"
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if "Retry-After" not in operation["responses"].get("429", {}).get("headers", {})
    }

    assert silent == {"get /health", "get /api/health", "get /ready", "post /webhooks/v1/{gateway}"}


@pytest.mark.parametrize("text", ["", "5", "5/", "/m", "0/m", "5/0m", "-5/m", "5/m ", "5/w", "5 per minute", "5.5/m"])
def test_a_rate_that_cannot_be_read_stops_the_process(text: str) -> None:
    from django.core.exceptions import ImproperlyConfigured

    from fintech_core.settings import rate

    with pytest.raises(ImproperlyConfigured):
        rate(text)


@pytest.mark.parametrize(
    ("text", "pair"), [("30/m", (30, 60)), ("5/15m", (5, 900)), ("1/s", (1, 1)), ("9/2d", (9, 172800))]
)
def test_a_rate_is_a_number_in_a_time(text: str, pair: tuple[int, int]) -> None:
    from fintech_core.settings import rate

    assert rate(text) == pair
