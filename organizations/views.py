"""HTTP of organizations. A path names the organization first: it is looked up among those that the caller may see, and
what lies below it within it alone; anything else is 404.

No Idempotency-Key here: bodies and answers hold addresses and numbers, and answers to a key are stored.
"""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.db import clock
from fintech_core.http.endpoints import endpoint
from fintech_core.http.serializers import ReasonInput, StrictInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from organizations import selectors, services
from organizations.models import Organization
from organizations.serializers import (
    AcceptInput,
    InvitationInput,
    InvitationOutput,
    MemberFilter,
    MemberOutput,
    MemberPatch,
    MembershipOutput,
    OrganizationDetailOutput,
    OrganizationFilter,
    OrganizationInput,
    OrganizationOutput,
    OrganizationPatch,
    PayoutAccountFilter,
    PayoutAccountInput,
    PayoutAccountOutput,
    StaffOrganizationDetailOutput,
)
from organizations.viewsets import InOrganization
from users.limits import SEND_NETWORK, SEND_TO_EMAIL, VERIFY_NETWORK


@extend_schema(tags=["organizations"])
class OrganizationsViewSet(DomainViewSet):
    output = OrganizationOutput
    serializer_class = OrganizationOutput
    filter_input = OrganizationFilter

    def get_queryset(self) -> Any:
        return selectors.organizations_shown_to(self.actor)

    @endpoint(access=Capability.ORGANIZATIONS_READ)
    @extend_schema(operation_id="organizations_list")
    def list(self, request: Request) -> Response:
        """Those that the caller is a member of, or the one it acts in; staff see all."""
        return self.list_page()

    @endpoint(access=Capability.ORGANIZATIONS_CREATE, problems=(422,))
    @extend_schema(operation_id="organizations_create", request=OrganizationInput, responses={201: OrganizationOutput})
    def create(self, request: Request) -> HttpResponse:
        """Make one and be its administrator. Its tax number is compared with others when KYB is submitted."""
        data = self.validated(OrganizationInput)
        return self.write(
            lambda: services.create_organization(actor=self.actor, now=clock.now(), **data),
            OrganizationOutput,
            status=201,
        )


@extend_schema(tags=["organizations"])
class OrganizationViewSet(InOrganization):
    output = OrganizationOutput
    serializer_class = OrganizationOutput

    def get_queryset(self) -> Any:
        return selectors.organizations_shown_to(self.actor)

    @endpoint(access=Capability.ORGANIZATIONS_READ)
    @extend_schema(operation_id="organizations_retrieve", responses=OrganizationDetailOutput)
    def retrieve(self, request: Request, organization_id: UUID) -> Response:
        self.kwargs["pk"] = organization_id
        return self.retrieve_one(
            StaffOrganizationDetailOutput if selectors.reads_all(self.actor) else OrganizationDetailOutput
        )

    @endpoint(access=Capability.ORGANIZATIONS_WRITE, problems=(409,))
    @extend_schema(operation_id="organizations_update", request=OrganizationPatch, responses=OrganizationOutput)
    def partial_update(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Correct name, country or tax number: before KYB is submitted, or after it was rejected."""
        changes = self.validated(OrganizationPatch)
        return self._write(services.update_organization, changes=changes)

    @endpoint(access=Capability.ORGANIZATIONS_JOIN, step_up=StepUpAction("Leave an organization"), problems=(409,))
    @extend_schema(operation_id="organizations_leave", request=None, responses={204: None})
    def leave(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Stop being a member. 409 `last_admin` for the only administrator."""
        self.validated(StrictInput)
        return self.write(
            lambda: services.leave_organization(actor=self.actor, organization_id=organization_id, now=clock.now()),
            None,
            status=204,
        )

    @endpoint(access=Capability.ORGANIZATIONS_WRITE, problems=(409, 422))
    @extend_schema(operation_id="organizations_kyb_submit", request=None, responses=OrganizationOutput)
    def submit_kyb(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Submit the organization for review (KYB); needs a KYC level of the person who submits it.

        409 `tax_number_taken` while the number is under review or approved for another organization, and
        `tax_number_contested` after a rejection, while another one that was refused the number comes first.
        """
        self.validated(StrictInput)
        return self._write(services.submit_kyb)

    @endpoint(
        access=Capability.KYB_DECIDE,
        step_up=StepUpAction("Approve an organization's KYB", of_staff=True),
        problems=(409,),
    )
    @extend_schema(operation_id="organizations_kyb_approve", request=None, responses=OrganizationOutput)
    def approve_kyb(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Its wallets count as KYC level 2 from now on. Compliance officers, never members."""
        self.validated(StrictInput)
        return self._write(services.approve_kyb)

    @endpoint(
        access=Capability.KYB_DECIDE,
        step_up=StepUpAction("Reject an organization's KYB", of_staff=True),
        problems=(409,),
    )
    @extend_schema(operation_id="organizations_kyb_reject", request=ReasonInput, responses=OrganizationOutput)
    def reject_kyb(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Refuse, or take an approval back. Compliance officers, never members."""
        return self._write(services.reject_kyb, **self.validated(ReasonInput))

    def _write(self, service: Any, **arguments: Any) -> HttpResponse:
        organization_id = self.organization_id

        def use_case() -> Organization:
            written = service(actor=self.actor, organization_id=organization_id, now=clock.now(), **arguments)
            return selectors.shown_to(self.actor, written)

        return self.write(use_case, OrganizationOutput)


@extend_schema(tags=["organizations"])
class MemberViewSet(InOrganization):
    output = MemberOutput
    serializer_class = MemberOutput
    filter_input = MemberFilter

    def get_queryset(self) -> Any:
        return selectors.members_of(self.organization_id)

    @endpoint(access=Capability.MEMBERS_READ)
    @extend_schema(operation_id="organizations_members_list")
    def list(self, request: Request, organization_id: UUID) -> Response:
        return self.list_page()

    @endpoint(access=Capability.MEMBERS_WRITE, step_up=StepUpAction("Change the role of a member"), problems=(409,))
    @extend_schema(operation_id="organizations_members_update", request=MemberPatch, responses=MemberOutput)
    def partial_update(self, request: Request, organization_id: UUID, pk: UUID) -> HttpResponse:
        """Give a member another role. 409 `last_admin` for the only administrator."""
        data = self.validated(MemberPatch)
        return self.write(
            lambda: services.change_member_role(
                actor=self.actor, organization_id=organization_id, member_id=pk, now=clock.now(), **data
            ),
            MemberOutput,
        )

    @endpoint(access=Capability.MEMBERS_WRITE, step_up=StepUpAction("Remove a member"), problems=(409,))
    @extend_schema(operation_id="organizations_members_remove", responses={204: None})
    def destroy(self, request: Request, organization_id: UUID, pk: UUID) -> HttpResponse:
        """Remove a member, who gets a message. 409 `last_admin` for the only administrator."""
        return self.write(
            lambda: services.remove_member(
                actor=self.actor, organization_id=organization_id, member_id=pk, now=clock.now()
            ),
            None,
            status=204,
        )


@extend_schema(tags=["organizations"])
class InvitationViewSet(InOrganization):
    output = InvitationOutput
    serializer_class = InvitationOutput

    def get_queryset(self) -> Any:
        return selectors.invitations_of(self.organization_id)

    @endpoint(access=Capability.MEMBERS_READ)
    @extend_schema(operation_id="organizations_invitations_list")
    def list(self, request: Request, organization_id: UUID) -> Response:
        return self.list_page()

    @endpoint(
        access=Capability.MEMBERS_WRITE,
        limits=(SEND_NETWORK, SEND_TO_EMAIL),
        step_up=StepUpAction("Invite a member"),
        problems=(409, 422),
    )
    @extend_schema(
        operation_id="organizations_invitations_create", request=InvitationInput, responses={201: InvitationOutput}
    )
    def create(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Mail an invitation, good for seven days and one use; an earlier one to the address is revoked."""
        data = self.validated(InvitationInput)
        return self.write(
            lambda: services.create_invitation(
                actor=self.actor, organization_id=organization_id, now=clock.now(), **data
            ),
            InvitationOutput,
            status=201,
        )

    @endpoint(access=Capability.MEMBERS_WRITE, problems=(409,))
    @extend_schema(operation_id="organizations_invitations_revoke", responses={204: None})
    def destroy(self, request: Request, organization_id: UUID, pk: UUID) -> HttpResponse:
        return self.write(
            lambda: services.revoke_invitation(
                actor=self.actor, organization_id=organization_id, invitation_id=pk, now=clock.now()
            ),
            None,
            status=204,
        )


@extend_schema(tags=["organizations"])
class AcceptInvitationViewSet(DomainViewSet):
    output = MembershipOutput
    serializer_class = MembershipOutput

    @endpoint(access=Capability.ORGANIZATIONS_JOIN, limits=(VERIFY_NETWORK,), problems=(409, 422))
    @extend_schema(operation_id="invitations_accept", request=AcceptInput, responses={201: MembershipOutput})
    def create(self, request: Request) -> HttpResponse:
        """Become a member, by the token and a log-in with the invited address, verified. 422 `invitation_invalid`."""
        data = self.validated(AcceptInput)
        return self.write(lambda: services.accept_invitation(actor=self.actor, **data), MembershipOutput, status=201)


@extend_schema(tags=["organizations"])
class PayoutAccountViewSet(InOrganization):
    output = PayoutAccountOutput
    serializer_class = PayoutAccountOutput
    filter_input = PayoutAccountFilter

    def get_queryset(self) -> Any:
        return selectors.payout_accounts_of(self.organization_id)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        archived = filters.get("archived")
        return queryset if archived is None else queryset.filter(archived_at__isnull=archived == "false")

    @endpoint(access=Capability.PAYOUT_ACCOUNTS_READ)
    @extend_schema(operation_id="organizations_payout_accounts_list")
    def list(self, request: Request, organization_id: UUID) -> Response:
        return self.list_page()

    @endpoint(
        access=Capability.PAYOUT_ACCOUNTS_WRITE, step_up=StepUpAction("Add a payout account"), problems=(409, 422)
    )
    @extend_schema(
        operation_id="organizations_payout_accounts_create",
        request=PayoutAccountInput,
        responses={201: PayoutAccountOutput},
    )
    def create(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Add one, or put one in the place of another. Nothing is paid out to it before `usable_from`."""
        data = self.validated(PayoutAccountInput)
        return self.write(
            lambda: services.add_payout_account(
                actor=self.actor, organization_id=organization_id, now=clock.now(), **data
            ),
            PayoutAccountOutput,
            status=201,
        )

    @endpoint(
        access=Capability.PAYOUT_ACCOUNTS_WRITE, step_up=StepUpAction("Archive a payout account"), problems=(409,)
    )
    @extend_schema(operation_id="organizations_payout_accounts_archive", responses={204: None})
    def destroy(self, request: Request, organization_id: UUID, pk: UUID) -> HttpResponse:
        """Archive it: nothing is paid out to it any more."""
        return self.write(
            lambda: services.archive_payout_account(
                actor=self.actor, organization_id=organization_id, account_id=pk, now=clock.now()
            ),
            None,
            status=204,
        )
