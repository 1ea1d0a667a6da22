"""Refusals as clients see them: problem documents (RFC 9457)."""

import json
from typing import Any


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The whole problem document, checked for its frame."""
    document = json.loads(response.content)
    assert (response.status_code, document.get("code")) == (status, code), document
    assert response["Content-Type"] == "application/problem+json"
    assert document["status"] == status
    assert document["type"].endswith(f"#{code}")
    assert document["trace_id"] == response["X-Request-Id"]
    assert set(document) >= {"type", "title", "status", "code", "detail", "trace_id"}
    return document


def problem(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["code"]
