"""What views of paths below `organizations/{id}` are built on, in this room and above it."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request

from fintech_core.exceptions import NotFound
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.actors import Actor
from organizations.selectors import acting_within


class InOrganization(DomainViewSet):
    """Below `organizations/{id}`: a member acts in that organization, with the header or without it."""

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        if isinstance(request.auth, Actor):
            request.auth = acting_within(request.auth, self.kwargs["organization_id"])

    @property
    def organization_id(self) -> UUID:
        organization_id: UUID = self.kwargs["organization_id"]
        return organization_id

    def get_object(self) -> Any:
        instance = self.get_queryset().filter(pk=self.kwargs["pk"]).first() if "pk" in self.kwargs else None
        if instance is None:
            raise NotFound
        return instance
