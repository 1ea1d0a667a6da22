"""Log-ins from given networks."""

from dataclasses import replace
from typing import Any

from fintech_core.db.work import unit_of_work
from fintech_core.http.client_address import network_of, wide_network_of
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest
from tests.cast import anonymous_client
from users.authentication import anonymous as nobody
from users.services import lockout
from users.tests.helpers import AUTH

TOKEN, LOGIN = f"{AUTH}/token", "/admin/login/"
WRONG = "not the password at all"
HOME, OFFICE, ATTACKER = "192.0.2.10", "192.0.2.20", "203.0.113.66"


def attempt(email: str, password: str = WRONG, *, at: str = ATTACKER, **headers: str) -> Any:
    return anonymous_client().post(TOKEN, {"email": email, "password": password}, REMOTE_ADDR=at, headers=headers)


def actor_at(address: str) -> Actor:
    wide = wide_network_of(address)
    return replace(
        nobody("auth.log_in"),
        network=keyed_digest("network", network_of(address)),
        wide_network=keyed_digest("network", wide) if wide else b"",
    )


def flood(email: str, failures: int = lockout.TRIES_EVERYWHERE) -> None:
    """Failures for one address, ten from each of an attacker's networks: what the view does first, and no more."""
    for number in range(failures):
        actor = actor_at(f"203.0.113.{number // lockout.TRIES_HERE}")
        unit_of_work(lambda actor=actor: lockout.count_try(actor=actor, address=email))
