"""The public documents: made once, the same for all clients, and cheap from then on."""

import gzip
import json
import threading
import time
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from fintech_core.http import api_documents, documents
from fintech_core.http.documents import Document, Once
from tests.cast import Client

pytestmark = pytest.mark.django_db
PATHS = ["/api/schema", "/api/docs", "/api/redoc", "/api/redoc.js"]
ONCE = {
    "/api/schema": "SCHEMAS",
    "/api/docs": "DOCS_PAGE",
    "/api/redoc": "REDOC_PAGE",
    "/api/redoc.js": "REDOC_SCRIPT",
}
every_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As in a process that has just started; the names of what was made since."""
    made: list[str] = []
    for name in ONCE.values():
        once: Once = getattr(api_documents, name)

        def make(name: str = name, once: Once = once) -> Any:
            made.append(name)
            time.sleep(0.02)
            return once.all()

        monkeypatch.setattr(api_documents, name, Once(make))
    return made


@every_path
def test_parallel_first_calls_get_the_same_bytes_and_one_of_them_makes_them(
    path: str, anonymous: Client, fresh: list[str], django_db_blocker: Any
) -> None:
    once: Once = getattr(api_documents, ONCE[path])
    together = threading.Barrier(4)
    found: list[Any] = []

    def first() -> None:
        together.wait()
        found.append(once.all())

    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert all(each is found[0] for each in found)
    assert fresh == [ONCE[path]]
    answer = anonymous.get(path)
    assert (answer.status_code, fresh) == (200, [ONCE[path]])


@every_path
def test_the_second_call_makes_nothing_and_asks_the_database_nothing(
    path: str, anonymous: Client, fresh: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = anonymous.get(path)
    monkeypatch.setattr(SchemaGenerator, "get_schema", None)

    with CaptureQueriesContext(connection) as queries:
        second = anonymous.get(path)

    assert (second.status_code, second.content, len(queries), fresh) == (200, first.content, 0, [ONCE[path]])


@every_path
def test_who_has_it_gets_a_304_without_a_body(path: str, anonymous: Client) -> None:
    first = anonymous.get(path)

    again = anonymous.get(path, headers={"If-None-Match": first["ETag"]})
    other = anonymous.get(path, headers={"If-None-Match": '"other"'})

    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert (again["Vary"], again["Cache-Control"]) == (first["Vary"], "no-cache")
    assert not again.has_header("Content-Security-Policy")  # it would take the place of the page's own
    assert (other.status_code, other.content) == (200, first.content)


@every_path
@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True), ("br, gzip;q=0.5", True), ("GZIP , br", True), ("gzip; q=1.0", True),
        ("", False), ("gzip;q=0", False), ("gzip;q=0.000", False), ("br", False), ("x-gzip-like", False),
    ],
)  # fmt: skip
def test_it_is_compressed_for_who_takes_that(path: str, accepted: str, zipped: bool, anonymous: Client) -> None:
    plain = anonymous.get(path)

    answer = anonymous.get(path, headers={"Accept-Encoding": accepted})

    assert answer.get("Content-Encoding") == ("gzip" if zipped else None)
    assert (gzip.decompress(answer.content) if zipped else answer.content) == plain.content
    assert (answer["ETag"] == plain["ETag"]) is not zipped
    assert {"Accept", "Accept-Encoding"} <= set(answer["Vary"].split(", "))
    assert answer["Content-Length"] == str(len(answer.content))


@pytest.mark.parametrize(
    ("accept", "query", "content_type"),
    [
        ("*/*", "", "application/vnd.oai.openapi; charset=utf-8"),
        ("application/yaml", "", "application/yaml; charset=utf-8"),
        ("application/vnd.oai.openapi+json", "", "application/vnd.oai.openapi+json; charset=utf-8"),
        ("application/json", "", "application/json; charset=utf-8"),
        ("application/json; indent=1", "", "application/json; charset=utf-8"),
        ("*/*", "?format=json", "application/vnd.oai.openapi+json; charset=utf-8"),
        ("*/*", "?format=yaml", "application/vnd.oai.openapi; charset=utf-8"),
        ("text/html", "", "application/vnd.oai.openapi; charset=utf-8"),
    ],
)
def test_the_schema_comes_in_the_format_that_is_asked_for_and_is_what_the_code_says(
    accept: str, query: str, content_type: str, anonymous: Client
) -> None:
    answer = anonymous.get(f"/api/schema{query}", headers={"Accept": accept})

    json_, yaml_ = (api_documents.SCHEMAS.get(f"application/{name}").plain for name in ("json", "yaml"))
    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
    assert answer.content == (json_ if "json" in content_type else yaml_)


def test_both_formats_say_what_the_code_says() -> None:
    json_, yaml_ = (api_documents.SCHEMAS.get(f"application/{name}").plain for name in ("json", "yaml"))

    generated = SchemaGenerator().get_schema(request=None, public=True)

    assert json.loads(json_) == json.loads(json.dumps(generated))
    assert yaml_ == OpenApiYamlRenderer().render(generated)


def test_parameters_of_who_came_first_are_in_no_page(anonymous: Client, fresh: list[str]) -> None:
    for path in ("/api/docs", "/api/redoc"):
        page = anonymous.get(f"{path}?version=mallory&lang=mallory").content.decode()

        assert "mallory" not in page
        assert '"/api/schema"' in page


def test_a_document_that_could_not_be_made_is_made_by_the_next_call() -> None:
    answers = iter([RuntimeError("no"), {"": Document.of(b"x", "text/plain")}])

    def make() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    once = documents.Once(make)
    with pytest.raises(RuntimeError):
        once.all()

    assert once.get("").plain == b"x"
