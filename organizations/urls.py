"""Routes of organizations, below /api/v1/."""

from django.urls import path

from organizations.views import (
    AcceptInvitationViewSet,
    InvitationViewSet,
    MemberViewSet,
    OrganizationsViewSet,
    OrganizationViewSet,
    PayoutAccountViewSet,
)

_ONE = "organizations/<uuid:organization_id>"

urlpatterns = [
    path(
        "organizations",
        OrganizationsViewSet.as_view({"get": "list", "post": "create"}),
        name="organizations",
    ),
    path(
        _ONE,
        OrganizationViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="organization",
    ),
    path(f"{_ONE}/leave", OrganizationViewSet.as_view({"post": "leave"}), name="organization-leave"),
    path(f"{_ONE}/kyb/submit", OrganizationViewSet.as_view({"post": "submit_kyb"}), name="organization-kyb-submit"),
    path(f"{_ONE}/kyb/approve", OrganizationViewSet.as_view({"post": "approve_kyb"}), name="organization-kyb-approve"),
    path(f"{_ONE}/kyb/reject", OrganizationViewSet.as_view({"post": "reject_kyb"}), name="organization-kyb-reject"),
    path(f"{_ONE}/members", MemberViewSet.as_view({"get": "list"}), name="organization-members"),
    path(
        f"{_ONE}/members/<uuid:pk>",
        MemberViewSet.as_view({"patch": "partial_update", "delete": "destroy"}),
        name="organization-member",
    ),
    path(
        f"{_ONE}/invitations",
        InvitationViewSet.as_view({"get": "list", "post": "create"}),
        name="organization-invitations",
    ),
    path(
        f"{_ONE}/invitations/<uuid:pk>",
        InvitationViewSet.as_view({"delete": "destroy"}),
        name="organization-invitation",
    ),
    path("invitations/accept", AcceptInvitationViewSet.as_view({"post": "create"}), name="invitation-accept"),
    path(
        f"{_ONE}/payout-accounts",
        PayoutAccountViewSet.as_view({"get": "list", "post": "create"}),
        name="organization-payout-accounts",
    ),
    path(
        f"{_ONE}/payout-accounts/<uuid:pk>",
        PayoutAccountViewSet.as_view({"delete": "destroy"}),
        name="organization-payout-account",
    ),
]
