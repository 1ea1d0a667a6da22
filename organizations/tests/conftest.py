"""The cast of this room: Acme is alice's, with bob for its finances and carol who looks on; Evil Inc is mallory's.

Imports stand inside: Django isn't set up yet when this is loaded. The intruders' connections are for constraints.
"""

from typing import Any

import pytest

from tests.intruders import app, forge, intruder_connections, owner, stage

__all__ = ["app", "forge", "intruder_connections", "owner", "stage"]


@pytest.fixture
def carol(db: None) -> Any:
    from tests.cast import customer

    return customer("carol")


@pytest.fixture
def acme(alice: Any, bob: Any, carol: Any) -> Any:
    from organizations.tests.factories import approve_kyb, organization_of

    return approve_kyb(organization_of(alice, finance=bob, viewer=carol))


@pytest.fixture
def evil(mallory: Any) -> Any:
    from organizations.tests.factories import approve_kyb, organization_of

    return approve_kyb(organization_of(mallory, "Evil Inc"))


@pytest.fixture
def till(acme: Any) -> Any:
    """Acme's wallet with 100.00 USD."""
    from organizations.tests.factories import wallet_for

    return wallet_for(acme, "100.00")


def _client_in(user: Any, organization: Any) -> Any:
    from organizations.tests.factories import client_in

    return client_in(user, organization)


@pytest.fixture
def alice_in_acme(alice: Any, acme: Any) -> Any:
    return _client_in(alice, acme)


@pytest.fixture
def bob_in_acme(bob: Any, acme: Any) -> Any:
    return _client_in(bob, acme)


@pytest.fixture
def carol_in_acme(carol: Any, acme: Any) -> Any:
    return _client_in(carol, acme)


@pytest.fixture
def mallory_in_evil(mallory: Any, evil: Any) -> Any:
    return _client_in(mallory, evil)
