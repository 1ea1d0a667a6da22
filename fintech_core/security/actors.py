"""Who acts. Authentication makes an Actor; services and selectors are given it and never look at the request."""

import uuid
from dataclasses import dataclass, field
from enum import StrEnum

from fintech_core.db import ids
from fintech_core.exceptions import PermissionDenied
from fintech_core.security.capabilities import Capability


class ActorKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """The principal of one request, task or command.

    `name` says which job a system actor is. `scopes` narrows an API key; None means no narrowing. Memberships come in
    with the actor, so that lower rooms never look them up. `network` is a keyed digest of where the request came from
    (client_address.py), `wide_network` one of the /48 around it; b"" for jobs, and the latter for IPv4. `step_up_id` is
    what a step-up code confirmed for this request (step_up.py).
    """

    kind: ActorKind
    id: uuid.UUID
    name: str = ""
    user_id: uuid.UUID | None = None
    organization_id: uuid.UUID | None = None
    member_role: str | None = None
    roles: frozenset[str] = frozenset()
    capabilities: frozenset[Capability] = field(default=frozenset(), repr=False)
    scopes: frozenset[str] | None = None
    credential_id: uuid.UUID | None = None
    request_id: str = ""
    is_staff: bool = False
    network: bytes = field(default=b"", repr=False)
    wide_network: bytes = field(default=b"", repr=False)
    step_up_id: uuid.UUID | None = None

    @property
    def owner_id(self) -> uuid.UUID | None:
        """Whose money the actor reads and moves: the organization's that it acts in, else its own; None for jobs."""
        return self.organization_id or self.user_id

    @property
    def principal_id(self) -> uuid.UUID:
        """The person who acts, by whichever credential; a job's own id."""
        return self.user_id or self.id

    @classmethod
    def system(cls, name: str) -> "Actor":
        """A job of ours, for example `Actor.system("beat.sweep_webhook_events")`. It has every capability."""
        return cls(kind=ActorKind.SYSTEM, id=ids.NIL, name=name, capabilities=frozenset(Capability))

    def can(self, capability: Capability) -> bool:
        return capability in self.capabilities

    def require(self, capability: Capability) -> None:
        """Raise PermissionDenied (403) unless the actor has the capability."""
        if not self.can(capability):
            raise PermissionDenied(f"This needs the capability {capability}.")
