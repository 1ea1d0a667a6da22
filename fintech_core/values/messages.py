"""A queued message as rooms above `messaging` see it, which decide by its template what it says (wiring.py)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """What the request knew. `kind` is "email" or "sms", `recipient` a normalised address or an E.164 number."""

    kind: str
    template: str
    recipient: str
    context: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MessageContent:
    """What is sent: the template that is rendered, which may be another one than was queued, and its context."""

    template: str
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRule:
    """How messages of one template are decided, in the worker's transaction."""

    content: Callable[[QueuedMessage], MessageContent | None]
    """Called in the transaction that takes a try; None withholds the message for good."""

    lock: Callable[[QueuedMessage], object] | None = None
    """Locks what `content` and `sent` write. It is called before the message's row is written (ARCHITECTURE.md)."""

    sent: Callable[[QueuedMessage], object] | None = None
    """Called in the transaction that marks the message as sent."""

    retry_refused: bool = False
    """Whether a message whose recipient was refused for good is tried again until it expires."""
