"""People, sessions, API keys and pending registrations in the admin: looked at, never edited.

Hashes of secrets stay out; who reads addresses and names is written down.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminSelectWidget

from fintech_core.admin.base import ReadOnlyModelAdmin, ReasonForm, actor_of_request, reason_action
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from users import services
from users.enums import STAFF_ROLES, Role
from users.models import ApiKey, FamiliarNetwork, Registration, Session, StepUpChallenge, TotpDevice, User

# Groups mirror the roles (users.roles); editing one here would be undone by the next migrate.
admin.site.unregister(Group)


def _deactivate(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.deactivate_user(actor=actor, user_id=object_id, reason=reason, now=now)


def _end_sessions(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.end_sessions(actor=actor, user_id=object_id, reason=reason, now=now)


def _revoke_key(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.revoke_key_of_any_user(actor=actor, key_id=object_id, reason=reason, now=now)


def _reset_second_factor(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.reset_second_factor(actor=actor, user_id=object_id, reason=reason, now=now)


class RoleForm(ReasonForm):
    field_order = ("role", "reason")
    role = forms.ChoiceField(
        choices=[(role.value, role.label) for role in Role if role in STAFF_ROLES], widget=UnfoldAdminSelectWidget
    )


def _change_role(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime, role: str) -> object:
    return services.set_role(actor=actor, user_id=object_id, role=Role(role), reason=reason, now=now)


@admin.register(User)
class UserAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "role", "is_active", "kyc_status", "kyc_level", "created_at")
    list_filter = ("role", "is_active", "kyc_status", "kyc_level")
    search_fields = ("=id",)
    personal_search = ("email", "phone")
    search_help_text = "An id, or a whole email address or phone number"
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "email_verified_at",
        "phone_verified_at",
        "email_code_log_in",
        "role",
        "kyc_status",
        "kyc_level",
        "is_active",
        "created_at",
        "last_login",
    )
    actions = (
        reason_action(
            "Deactivate",
            Capability.USERS_MANAGE,
            _deactivate,
            explanation="No log-in any more; every session ends at once. Wallets stay as they are.",
            sensitive=True,
        ),
        reason_action("End sessions", Capability.USERS_MANAGE, _end_sessions, sensitive=True),
        reason_action(
            "Change role",
            Capability.USERS_MANAGE,
            _change_role,
            explanation="Of staff, to another role of staff. Every session of theirs ends.",
            form=RoleForm,
            sensitive=True,
        ),
        reason_action(
            "Reset second factor",
            Capability.USERS_MANAGE,
            _reset_second_factor,
            explanation="For a lost authenticator: takes it and the recovery codes away and ends every session. "
            "Customers then enrol anew; staff are given one by `manage.py reset_second_factor`.",
            sensitive=True,
        ),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        """Addresses, number and name for those who may read them, which leaves an audit row."""
        may = actor_of_request(request).can(Capability.USERS_READ_PERSONAL)
        return [*services.PERSONAL_FIELDS, *self.fields] if may else list(self.fields)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        user = super().get_object(request, object_id, from_field)
        actor = actor_of_request(request)
        if user is not None and self.has_view_permission(request, user) and actor.can(Capability.USERS_READ_PERSONAL):
            unit_of_work(lambda: services.record_view(actor=actor, user_id=user.pk))
        return user


@admin.register(Session)
class SessionAdmin(ReadOnlyModelAdmin):
    """User agent and address of a session are shown to its owner alone, by the API."""

    list_display = ("id", "user", "kind", "created_at", "last_used_at", "expires_at", "ended_at", "end_reason")
    list_filter = ("kind", "end_reason")
    list_select_related = ("user",)
    search_fields = ("=id", "=user__id")
    personal_search = ("user__email", "user__phone")
    search_help_text = "An id, or the user's whole email address or phone number"
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "user",
        "kind",
        "created_at",
        "last_used_at",
        "authenticated_at",
        "expires_at",
        "ended_at",
        "end_reason",
    )


@admin.register(TotpDevice)
class TotpDeviceAdmin(ReadOnlyModelAdmin):
    """Who has a second factor, and since when. Its secret is never shown."""

    list_display = ("id", "user", "confirmed", "created_at", "confirmed_at")
    list_filter = ("confirmed",)
    list_select_related = ("user",)
    search_fields = ("=id", "=user__id")
    search_help_text = "An id"
    ordering = ("-created_at", "-id")
    fields = ("id", "user", "confirmed", "created_at", "confirmed_at")


@admin.register(StepUpChallenge)
class StepUpChallengeAdmin(ReadOnlyModelAdmin):
    """Which sensitive requests waited for a code, and whether it came. Not what they were: that is a digest."""

    list_display = ("id", "user", "channel", "created_at", "passed_at", "spent_at")
    list_filter = ("channel",)
    list_select_related = ("user",)
    search_fields = ("=id", "=user__id", "=credential_id")
    search_help_text = "An id: of a challenge, a user, a session"
    ordering = ("-created_at", "-id")
    fields = ("id", "user", "credential_id", "channel", "created_at", "expires_at", "passed_at", "spent_at")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyModelAdmin):
    list_display = ("prefix", "user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("=prefix",)
    search_help_text = "The exact prefix: what a key shows before its dot"
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "prefix",
        "name",
        "scopes",
        "user",
        "organization_id",
        "created_by",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    actions = (
        reason_action(
            "Revoke",
            Capability.USERS_MANAGE,
            _revoke_key,
            explanation="The key is refused from now on, for good.",
            sensitive=True,
        ),
    )


@admin.register(FamiliarNetwork)
class FamiliarNetworkAdmin(ReadOnlyModelAdmin):
    """From how many networks a user logs in, and when last; the networks themselves are digests."""

    list_display = ("id", "user_id", "last_seen_at")
    search_fields = ("=user__id",)
    search_help_text = "The user's id"
    ordering = ("-last_seen_at", "-id")
    fields = ("id", "user_id", "last_seen_at")
    readonly_fields = fields


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "created_at", "expires_at")
    search_fields = ("=id",)
    personal_search = ("email",)
    search_help_text = "An id, or the whole email address"
    ordering = ("-created_at", "-id")
    fields = ("id", "created_at", "expires_at")
