"""The places of familiar networks: what a stolen session can't take from its owner, and that a network has one."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security import crypto
from tests.cast import PASSWORD, client_for
from users.enums import EndReason
from users.models import FamiliarNetwork, Session, User
from users.selectors import is_familiar_network
from users.services import attempts, lockout
from users.tests.helpers import AUTH
from users.tests.networks import ATTACKER, HOME, OFFICE, actor_at, attempt, flood

pytestmark = pytest.mark.django_db
ORGANIZATION = {"legal_name": "Acme", "country": "US", "tax_number": "12-3456789"}
NEEDS_NO_CODE: dict[EndReason, tuple[str, dict[str, str], int]] = {
    EndReason.LOGOUT: (f"{AUTH}/logout/all", {}, 204),
    EndReason.ROLE_CHANGED: ("/api/v1/organizations", ORGANIZATION, 201),
}


@pytest.mark.parametrize("way", NEEDS_NO_CODE)
def test_a_thief_of_a_session_does_not_lock_its_owner_out_at_home(alice: User, way: EndReason) -> None:
    """By ending the owner's session, which takes no step-up code, and then a flood."""
    assert attempt(alice.email, PASSWORD, at=HOME).status_code == 200
    owners = Session.objects.get(user=alice)
    thief = client_for(alice)
    thief.confirms = False
    path, body, status = NEEDS_NO_CODE[way]

    assert thief.post(path, body, REMOTE_ADDR=ATTACKER).status_code == status
    flood(alice.email)

    owners.refresh_from_db()
    assert owners.end_reason == way
    assert attempt(alice.email, PASSWORD, at=OFFICE).status_code == 429
    assert attempt(alice.email, PASSWORD, at=HOME).status_code == 200


def remember(user: User, *places: str) -> None:
    for place in places:
        unit_of_work(lambda place=place: lockout.remember_network(actor=actor_at(place), user_id=user.pk))


def key(number: int) -> str:
    return f"{number}:{base64.b64encode(bytes([number]) * 32).decode()}"


def test_a_network_has_one_place_while_the_keys_of_digests_rotate(alice: User, settings: Any) -> None:
    places = [f"198.51.100.{number}" for number in range(attempts.FAMILIAR_NETWORKS)]
    settings.PII_INDEX_KEYS = f"{key(1)},{key(2)}"
    remember(alice, *places[:4])

    settings.PII_INDEX_KEYS = f"{key(2)},{key(1)}"
    remember(alice, *places)

    rows = FamiliarNetwork.objects.filter(user=alice)
    assert {bytes(row.network) for row in rows} == {bytes(actor_at(place).network) for place in places}
    assert rows.count() == attempts.FAMILIAR_NETWORKS
    settings.PII_INDEX_KEYS = key(2)
    assert all(is_familiar_network(user_id=alice.pk, network=actor_at(place).network) for place in places)


def test_a_network_in_use_stays_familiar_where_there_are_more_than_places(alice: User) -> None:
    """From before there were five places."""
    now = clock.now()
    for number in range(attempts.FAMILIAR_NETWORKS + 2):
        FamiliarNetwork.objects.create(
            user=alice,
            network=crypto.keyed_digest("network", f"198.51.100.{number}"),
            last_seen_at=now - timedelta(days=number),
        )

    remember(alice, f"198.51.100.{attempts.FAMILIAR_NETWORKS + 1}", HOME)

    newest = FamiliarNetwork.objects.filter(user=alice).order_by("-last_seen_at")[0]
    assert bytes(newest.network) == bytes(actor_at(f"198.51.100.{attempts.FAMILIAR_NETWORKS + 1}").network)
    assert FamiliarNetwork.objects.filter(user=alice).count() == attempts.FAMILIAR_NETWORKS + 2
