"""Every route, pages included, is asked with verbs that it doesn't know: never a 500."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client

from tests.api_routes import routes
from tests.cast import client_for
from users.models import User

SOME_ID = "018f0000-0000-7000-8000-000000000000"


def paths() -> Iterator[str]:
    for route, _ in routes():
        path = re.sub(r"\(\?P<\w+>[^()]*\)", "x", route)
        path = re.sub(r"<int:\w+>", "1", path)
        path = re.sub(r"<(?:\w+:)?\w+>", SOME_ID, path)
        yield "/" + re.sub(r"[\^$\\]|\(\?:[^()]*\)", "", path)


PATHS = sorted(set(paths()))


@pytest.mark.django_db
def test_odd_verbs_are_no_500_for_strangers() -> None:
    client = Client(raise_request_exception=False)

    failed = {
        (verb, path, status)
        for path in PATHS
        for verb in ("OPTIONS", *(() if path.startswith(("/admin", "/api/v1")) else ("PROPFIND", "PUT", "TRACE")))
        if (status := client.generic(verb, path).status_code) >= 500
    }

    assert len(PATHS) > 100
    assert failed == set()


def test_options_are_no_500_for_those_who_may_read(auditor: User) -> None:
    client = client_for(auditor)
    client.raise_request_exception = False

    failed = {
        (path, status)
        for path in PATHS
        if path.startswith("/api/")
        and SOME_ID not in path
        and (status := client.generic("OPTIONS", path).status_code) >= 500
    }

    assert failed == set()
