"""Start page, error pages, favicon, and the policy that each kind of answer carries."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from fintech_core.http import api_documents, middleware, problems
from fintech_core.http.front.application import _OF_EVERY_ANSWER

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROGRAM = {"Accept": "application/json"}
NOTHING = {"default-src": "'none'", "frame-ancestors": "'none'"}


class Browser(Client):
    """Closes what it was sent: a static file is one that is open."""

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        response.text_sent = body_of(response)
        response.close()
        return response


def body_of(response: Any) -> str:
    return b"".join(response.streaming_content).decode() if response.streaming else response.content.decode()


@pytest.fixture
def browser() -> Client:
    return Browser(headers=BROWSER, raise_request_exception=False)


def directives(response: Any) -> dict[str, str]:
    """Of the answer's Content-Security-Policy, by name."""
    parts = [part.strip().partition(" ") for part in response["Content-Security-Policy"].split(";")]
    return {name: values for name, _, values in parts}


def test_every_link_of_the_start_page_leads_somewhere(db: None, browser: Client) -> None:
    page = browser.get("/")

    links = re.findall(r'href="([^"]+)"', page.content.decode())
    assert page.status_code == 200
    assert "<script" not in page.content.decode()
    assert {"/api/docs", "/api/redoc", "/api/schema", "/api/errors", "/admin/", "/ready?strict=1"} <= set(links)
    answers = {link: browser.get(link).status_code for link in links if not link.startswith("/ready")}
    assert {link: status for link, status in answers.items() if status not in {200, 302}} == {}


@pytest.mark.parametrize("path", ["/nowhere", "/admin-nowhere", "/checkout/", "/static/none.css"])
def test_a_browser_gets_a_page_with_a_way_back_where_there_is_nothing(db: None, browser: Client, path: str) -> None:
    page = browser.get(path)

    assert page.status_code == 404
    assert page["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>Page not found</h1>" in page.content.decode()
    assert 'href="/"' in page.content.decode()
    assert page["X-Request-Id"] in page.content.decode()


@pytest.mark.parametrize(
    ("path", "accept"), [("/nowhere", PROGRAM), ("/api/v1/nowhere", BROWSER), ("/webhooks/v1/a/b", BROWSER)]
)
def test_a_program_gets_the_problem_document(db: None, browser: Client, path: str, accept: dict[str, str]) -> None:
    answer = browser.get(path, headers=accept)

    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


Handler = Callable[[HttpRequest], HttpResponse]
ERRORS: list[tuple[int, str, Handler]] = [
    (400, "Bad request", lambda request: problems.bad_request(request, SuspiciousOperation())),
    (403, "Not allowed", lambda request: problems.permission_denied(request, PermissionDenied())),
    (403, "Not allowed", problems.csrf_failure),
    (500, "An error on our side", problems.server_error),
]


@pytest.mark.parametrize(("status", "title", "handler"), ERRORS)
def test_the_other_errors_have_pages_too(status: int, title: str, handler: Handler) -> None:
    page = handler(RequestFactory().get("/admin/users", headers=BROWSER))
    document = handler(RequestFactory().get("/admin/users", headers=PROGRAM))

    assert page.status_code == document.status_code == status
    assert f"<h1>{title}</h1>" in page.content.decode()
    assert 'href="/admin/"' in page.content.decode()
    assert document["Content-Type"] == "application/problem+json"


def test_a_page_of_the_admin_without_its_database_is_503_and_says_when_to_come_back() -> None:
    context = middleware.RequestContextMiddleware(lambda request: HttpResponse())

    page = context.process_exception(RequestFactory().get("/admin/", headers=BROWSER), OperationalError())

    assert page is not None
    assert (page.status_code, page.has_header("Retry-After")) == (503, True)
    assert "<h1>Out of service for a moment</h1>" in page.content.decode()


@pytest.mark.parametrize(
    "path", ["/api/v1/wallets", "/api/v1/nowhere", "/health", "/api/schema", "/static/fintech_core/page.css"]
)
def test_what_is_no_page_may_load_nothing(db: None, browser: Client, path: str) -> None:
    assert directives(browser.get(path)) == NOTHING


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/errors"])
def test_plain_pages_run_no_script(db: None, browser: Client, path: str) -> None:
    policy = directives(browser.get(path))

    assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
    assert "script-src" not in policy


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc", "/admin/login/"])
def test_the_documentation_and_the_admin_keep_what_they_need(db: None, browser: Client, path: str) -> None:
    page = browser.get(path)

    assert page.status_code == 200
    assert "script-src 'self' 'unsafe-eval' 'unsafe-inline'" in page["Content-Security-Policy"]
    assert re.findall(r'(?:src|href)="(https?:[^"]+)"', page.content.decode()) == []


def test_redoc_asks_no_other_server_for_its_logo(db: None, browser: Client) -> None:
    script = browser.get("/api/redoc.js")

    assert script["Content-Type"] == "text/javascript; charset=utf-8"
    assert api_documents._REDOC_LOGO not in script.content.decode()
    assert "redocly logo" in script.content.decode()  # the place that is patched is still there
    assert 'src:"data:,"' in script.content.decode()


def test_a_browser_that_asks_for_the_favicon_gets_it(db: None, browser: Client) -> None:
    icon = browser.get("/favicon.ico", follow=True)

    assert icon.status_code == 200
    assert icon.text_sent.startswith("<svg ")


ALWAYS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
ANSWERS = [
    ("/", {}, 200),
    ("/nowhere", {}, 404),
    ("/health", {}, 200),
    ("/api/v1/wallets", {}, 401),
    ("/api/v1/wallets", {"Idempotency-Key": "a,b"}, 400),  # refused before anything else looks at the request
    ("/api/v1/wallets", {"Transfer-Encoding": "chunked"}, 411),
    ("/api/docs", {}, 200),
    ("/admin/login/", {}, 200),
    ("/static/fintech_core/page.css", {}, 200),
]


@pytest.mark.parametrize(("path", "headers", "status"), ANSWERS)
def test_every_answer_has_the_headers_of_security_and_none_of_cors(
    db: None, browser: Client, path: str, headers: dict[str, str], status: int
) -> None:
    answer = browser.get(path, headers={"Origin": "https://elsewhere.example", **headers})

    assert answer.status_code == status
    assert {name: answer[name] for name in ALWAYS} == ALWAYS
    assert directives(answer)["frame-ancestors"] == "'none'"
    assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []


def test_answers_of_the_front_have_the_same_headers(db: None, browser: Client) -> None:
    answer = browser.get("/health")

    assert ALWAYS.items() <= dict(_OF_EVERY_ANSWER).items()
    of_front = dict(_OF_EVERY_ANSWER)
    assert directives(answer) == directives(of_front) == NOTHING  # django-csp writes them in any order
    del of_front["Content-Security-Policy"]
    assert {name: answer[name] for name in of_front} == of_front


def test_no_other_site_may_ask_first(db: None, browser: Client) -> None:
    ask = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}

    answer = browser.options("/api/v1/transfers", headers=ask)

    assert answer.status_code in {401, 405}
    assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []


def test_with_https_on_plain_requests_are_redirected_and_answers_have_hsts(db: None, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True
    browser = Browser(headers=BROWSER)

    plain = browser.get("/api/v1/wallets")
    healthy = browser.get("/health")
    answer = browser.get("/api/v1/wallets", secure=True)

    assert (plain.status_code, plain["Location"]) == (301, "https://testserver/api/v1/wallets")
    assert healthy.status_code == 200
    assert answer["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
