"""The settings of each stage of a change of keys."""

import base64
import secrets
from collections.abc import Callable

Stage = dict[str, str]


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def ring_stages() -> list[Stage]:
    """The old key alone, the new one behind, the new one in front, the new one alone."""
    found = []
    keys = {name: {number: f"{number}:{new_key()}" for number in (1, 2)} for name in ("PII_KEYS", "PII_INDEX_KEYS")}
    for order in ((1,), (1, 2), (2, 1), (2,)):
        found.append({name: ",".join(keys[name][number] for number in order) for name in keys})
    return found


def slot_stages(current: str, accepted: str, make: Callable[[], str] = new_key) -> list[Stage]:
    """The same for a secret with a second one that is accepted besides."""
    old, new = make(), make()
    return [{current: a, accepted: b} for a, b in ((old, ""), (old, new), (new, old), (new, ""))]
