"""Organizations that are made, submitted for verification and decided."""

from typing import Any

from organizations.models import Organization
from tests.cast import Client, client_for
from users.models import User

URL = "/api/v1/organizations"
NUMBER = "7707083893"
BODY = {"legal_name": "Romashka LLC", "country": "RU", "tax_number": NUMBER}


def made_by(user: User, **changes: str) -> Organization:
    answer = client_for(user).post(URL, {**BODY, **changes})
    assert answer.status_code == 201, answer.content
    return Organization.objects.get(pk=answer.json()["id"])


def submit(user: User, organization: Organization) -> Any:
    return client_for(user).post(f"{URL}/{organization.pk}/kyb/submit")


def decide(officer: Client, organization: Organization, decision: str) -> Any:
    body = {} if decision == "approve" else {"reason": "not theirs"}
    return officer.post(f"{URL}/{organization.pk}/kyb/{decision}", body)


def statuses() -> list[str]:
    return list(Organization.objects.order_by("created_at", "pk").values_list("kyb_status", flat=True))
