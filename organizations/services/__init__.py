"""The use cases of organizations. Each locks the organization first and runs inside the caller's unit of work."""

from organizations.services.claims import TaxNumberContested, TaxNumberTaken
from organizations.services.closing import (
    OrganizationClosed,
    end_organization,
    erase_closed_organizations,
    lock_to_close,
    obstacles_to_closing,
)
from organizations.services.common import AlreadyMember, LastAdmin, TooManyInOrganization
from organizations.services.invitations import (
    InvitationInvalid,
    accept_invitation,
    create_invitation,
    end_invitations_of,
    forget_invitations,
    invitation_content,
    purge_invitation_addresses,
    revoke_invitation,
)
from organizations.services.kyb import approve_kyb, reject_kyb, start_kyb_review, submit_kyb
from organizations.services.members import (
    appoint_admin,
    change_member_role,
    leave_organization,
    refuse_without_an_admin,
    remove_member,
)
from organizations.services.organizations import create_organization, update_organization
from organizations.services.payout_accounts import add_payout_account, archive_payout_account

__all__ = [
    "AlreadyMember",
    "InvitationInvalid",
    "LastAdmin",
    "OrganizationClosed",
    "TaxNumberContested",
    "TaxNumberTaken",
    "TooManyInOrganization",
    "accept_invitation",
    "add_payout_account",
    "appoint_admin",
    "approve_kyb",
    "archive_payout_account",
    "change_member_role",
    "create_invitation",
    "create_organization",
    "end_invitations_of",
    "end_organization",
    "erase_closed_organizations",
    "forget_invitations",
    "invitation_content",
    "leave_organization",
    "lock_to_close",
    "obstacles_to_closing",
    "purge_invitation_addresses",
    "refuse_without_an_admin",
    "reject_kyb",
    "remove_member",
    "revoke_invitation",
    "start_kyb_review",
    "submit_kyb",
    "update_organization",
]
