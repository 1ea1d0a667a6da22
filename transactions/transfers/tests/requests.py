"""Transfers as requests that are sent later."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.cast import client_for
from users.models import User
from wallet.models import Wallet

URL = "/api/v1/transfers"


def post(user: User, source: Wallet, destination: Wallet, amount: str, key: str | None = None) -> Callable[[], Any]:
    client = client_for(user)
    body = {
        "source_wallet": str(source.pk),
        "destination_wallet": str(destination.pk),
        "amount": amount,
        "currency": source.currency,
    }
    return lambda: client.post(URL, body, key=key or str(uuid.uuid4()))


def statuses(responses: Sequence[Any]) -> Counter[int]:
    return Counter(getattr(response, "status_code", 0) for response in responses)
