"""Who a wallet belongs to: a person or an organization, for use cases that treat both alike (erasure, closing)."""

import uuid
from dataclasses import dataclass

from django.db.models import Q


@dataclass(frozen=True, slots=True)
class Owner:
    """Made by `person` or `organization`; `column` is the foreign key of a wallet that names the owner."""

    column: str
    id: uuid.UUID

    @classmethod
    def person(cls, user_id: uuid.UUID) -> "Owner":
        return cls("owner_user_id", user_id)

    @classmethod
    def organization(cls, organization_id: uuid.UUID) -> "Owner":
        return cls("owner_organization_id", organization_id)

    @property
    def is_organization(self) -> bool:
        return self.column == "owner_organization_id"

    def owns(self, wallet: str = "") -> Q:
        """The condition that a wallet is the owner's. `wallet` is the way to it from the filtered model, "wallet__"."""
        return Q(**{f"{wallet}{self.column}": self.id})

    def lacks(self, wallet: str = "") -> Q:
        """The opposite, which holds for wallets of other owners of either kind and of the system as well."""
        return Q(**{f"{wallet}{self.column}__isnull": True}) | ~self.owns(wallet)
