"""HTTP of a person's data (one's own copy of it, and being forgotten), and of closing an organization."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from fintech_core.db import clock
from fintech_core.http import pagination
from fintech_core.http.endpoints import endpoint
from fintech_core.http.serializers import ReasonInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from offboarding.selectors import personal_data_of
from offboarding.serializers import CloseOrganizationInput, ErasureOutput, PersonalDataOutput
from offboarding.services.erasure import erase_user
from offboarding.services.exports import record_data_export
from offboarding.services.organizations import close_organization
from organizations.models import Organization
from organizations.selectors import shown_to
from organizations.serializers import OrganizationOutput
from organizations.viewsets import InOrganization
from transactions.ledger.selectors import transactions_visible_to, with_entries

_PAGE = [
    OpenApiParameter("limit", pagination.LIMIT_SCHEMA, description="How many transactions there are at most."),
    OpenApiParameter("cursor", pagination.CURSOR_SCHEMA, description="From `transactions.next`."),
]


@extend_schema(tags=["users"])
class PersonalDataViewSet(DomainViewSet):
    output = PersonalDataOutput

    @endpoint(access=Capability.DATA_EXPORT, problems=(400,))
    @extend_schema(operation_id="users_me_export", parameters=_PAGE, responses={200: PersonalDataOutput})
    def export(self, request: Request) -> HttpResponse:
        """What is stored of the caller: profile, sessions, keys, KYC, wallets, and a page of transactions. Audited."""
        self.checked_filters()
        return self.write(self._own_data, PersonalDataOutput)

    def _own_data(self) -> dict[str, Any]:
        user_id = record_data_export(actor=self.actor)
        rows = with_entries(transactions_visible_to(self.actor))
        page = pagination.paginate(rows, self.request, self.order)
        return {**personal_data_of(user_id, now=clock.now()), "transactions": page}

    @endpoint(access=Capability.USERS_ERASE, step_up=StepUpAction("Erase a person", of_staff=True), problems=(404, 409))
    @extend_schema(operation_id="users_erase", request=ReasonInput, responses={200: ErasureOutput})
    def erase(self, request: Request, pk: UUID) -> HttpResponse:
        """Forget a customer. The books stay; 409 names what has to end first. Compliance."""
        reason = self.validated(ReasonInput)["reason"]
        return self.write(
            lambda: erase_user(actor=self.actor, user_id=pk, reason=reason, now=clock.now()), ErasureOutput
        )


@extend_schema(tags=["organizations"])
class OrganizationClosingViewSet(InOrganization):
    output = OrganizationOutput
    serializer_class = OrganizationOutput

    @endpoint(
        access=Capability.ORGANIZATIONS_CLOSE,
        step_up=StepUpAction("Close the organization", of_staff=True, of_owners=True),
        problems=(409,),
    )
    @extend_schema(operation_id="organizations_close", request=CloseOrganizationInput, responses=OrganizationOutput)
    def close(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Close it for good, with its empty wallets and its memberships. Its only administrator, compliance or admins.

        409 `organization_in_use` names what has to end first.
        """
        data = self.validated(CloseOrganizationInput)

        def use_case() -> Organization:
            closed = close_organization(actor=self.actor, organization_id=organization_id, **data)
            return shown_to(self.actor, closed)

        return self.write(use_case, OrganizationOutput)
