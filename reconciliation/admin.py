"""Reconciliation in the admin: journals to read, a page to import a statement, what an operator does with breaks."""

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from fintech_core.admin.base import REASON_LENGTHS, ReadOnlyModelAdmin, actor_of_request, reason_action
from fintech_core.db import clock, work
from fintech_core.exceptions import DomainError
from fintech_core.http.body_limits import takes_large_body
from fintech_core.http.endpoints import LargeBody
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from reconciliation import services
from reconciliation.enums import BreakAction, StatementFormat
from reconciliation.models import (
    Break,
    ExternalAccount,
    Match,
    MatchedEntry,
    MatchedLine,
    Proposal,
    ReconciledAccount,
    Statement,
    StatementLine,
)
from reconciliation.parsing import ENCODINGS


def _may_reconcile(request: HttpRequest) -> bool:
    return bool(request.user.is_authenticated) and actor_of_request(request).can(Capability.RECONCILE)


class ImportForm(forms.Form):
    file = forms.FileField(widget=UnfoldAdminFileFieldWidget())
    format = forms.ChoiceField(choices=StatementFormat.choices, widget=UnfoldAdminSelectWidget())
    account = forms.ChoiceField(widget=UnfoldAdminSelectWidget())
    currency = forms.ChoiceField(widget=UnfoldAdminSelectWidget())
    encoding = forms.ChoiceField(
        choices=[("", "UTF-8 (of XML: as it declares)"), *((name, name.upper()) for name in ENCODINGS[1:])],
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )
    confirm_account = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget(),
        label="The accounts that the file names belong to this clearing account",
    )
    confirm_repeat = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget(),
        label="Movements with the same figures were imported before; these are others",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _offer_accounts(self)


class ExternalAccountForm(forms.Form):
    account = forms.ChoiceField(widget=UnfoldAdminSelectWidget())
    currency = forms.ChoiceField(widget=UnfoldAdminSelectWidget())
    identifier = forms.CharField(
        max_length=64,
        widget=UnfoldAdminTextInputWidget(),
        help_text="The IBAN or account number, as the bank's files write it.",
    )
    reason = forms.CharField(
        min_length=REASON_LENGTHS[0], max_length=REASON_LENGTHS[1], widget=UnfoldAdminTextareaWidget({"rows": 3})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _offer_accounts(self)


def _offer_accounts(form: forms.Form) -> None:
    for name, values in (("account", services.clearing_accounts()), ("currency", settings.CURRENCIES)):
        field = form.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - narrows the type
        field.choices = [(value, value) for value in values]


class FormPageAdmin(ReadOnlyModelAdmin):
    """A list with a page above it whose form makes one service call."""

    def has_reconcile_permission(self, request: HttpRequest) -> bool:
        return _may_reconcile(request)

    def form_page(
        self, request: HttpRequest, title: str, form_class: type[forms.Form], call: Callable[[dict[str, Any]], str]
    ) -> HttpResponse:
        """Show the form, or call with its answers: the message that comes back, or the refusal, is shown."""
        if not self.has_reconcile_permission(request):
            raise PermissionDenied
        form = form_class(request.POST, request.FILES) if request.method == "POST" else form_class()
        back = reverse(f"admin:reconciliation_{self.opts.model_name}_changelist")
        if form.is_valid():
            try:
                self.message_user(request, call(form.cleaned_data), messages.SUCCESS)
            except DomainError as refusal:
                form.add_error(None, f"{refusal.detail} ({refusal.code})")
            else:
                return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "back_url": back,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "reconciliation/form_page.html", context)


@admin.register(Statement)
class StatementAdmin(FormPageAdmin):
    list_display = (
        "statement_id",
        "account_code",
        "currency",
        "format",
        "from_date",
        "to_date",
        "line_count",
        "total",
        "created_at",
    )
    list_filter = ("account_code", "currency", "format")
    search_fields = ("=id", "=statement_id", "=file_digest")
    search_help_text = "The exact id of a statement, ours or the bank's, or a file's SHA-256"
    public_digests = ("file_digest", "lines_digest")
    ordering = ("-created_at", "-id")
    actions_list = ("import_statement",)

    @takes_large_body(LargeBody("STATEMENT_MAX_BYTES", allowed=_may_reconcile))
    @action(description="Import a statement", url_path="import", permissions=["reconcile"])
    def import_statement(self, request: HttpRequest) -> HttpResponse:
        actor = actor_of_request(request)

        def call(data: dict[str, Any]) -> str:
            account, raw = data.pop("account"), data.pop("file")
            encoding = data.pop("encoding") or None
            confirmed = {name: data.pop(name) for name in ("confirm_account", "confirm_repeat")}
            file = services.read_statements(raw=raw, encoding=encoding, **data)
            statements = work.unit_of_work(
                lambda: services.import_statements(
                    actor=actor, account_code=account, file=file, now=clock.now(), **confirmed
                )
            )
            return " ".join([f"{len(statements)} statements were imported.", *file.notes])

        return self.form_page(request, "Import a statement", ImportForm, call)


@admin.register(StatementLine)
class StatementLineAdmin(ReadOnlyModelAdmin):
    list_display = ("booking_date", "amount", "currency", "reference", "status", "account_code", "statement")
    list_filter = ("status", "account_code", "currency")
    list_select_related = ("statement",)
    search_fields = ("=id", "=reference", "=bank_reference", "=statement__id")
    search_help_text = "The exact id of a line or a statement, or a reference"
    ordering = ("-booking_date", "-id")


@admin.register(ReconciledAccount)
class ReconciledAccountAdmin(ReadOnlyModelAdmin):
    list_display = ("account_code", "currency", "last_run_at", "created_at")
    ordering = ("account_code", "currency", "id")


def _retire(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.retire_external_account(actor=actor, external_id=object_id, reason=reason)


@admin.register(ExternalAccount)
class ExternalAccountAdmin(FormPageAdmin):
    list_display = ("identifier", "account", "created_at", "retired_at")
    list_filter = ("account",)
    list_select_related = ("account",)
    search_fields = ("=id", "=identifier")
    ordering = ("-created_at", "-id")
    actions_list = ("add_external_account",)
    actions = (
        reason_action(
            "Retire",
            Capability.RECONCILE,
            _retire,
            explanation="No more statements of it are expected; a file of it needs confirmation again.",
        ),
    )

    @action(description="Add an external account", url_path="add-account", permissions=["reconcile"])
    def add_external_account(self, request: HttpRequest) -> HttpResponse:
        actor = actor_of_request(request)

        def call(data: dict[str, Any]) -> str:
            account = data.pop("account")
            added = work.unit_of_work(lambda: services.add_external_account(actor=actor, account_code=account, **data))
            return f"{added} was added."

        return self.form_page(request, "Add an external account", ExternalAccountForm, call)


def _take_back(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.take_back_match(actor=actor, match_id=object_id, reason=reason)


@admin.register(Match)
class MatchAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "account", "rule", "created_at", "taken_back_at", "reason")
    list_filter = ("rule", "account", ("taken_back_at", admin.EmptyFieldListFilter))
    list_select_related = ("account",)
    search_fields = ("=id", "=lines__line__id", "=entries__entry__id")
    search_help_text = "The exact id of a match, a line, or a ledger entry"
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "Take back",
            Capability.RECONCILE,
            _take_back,
            explanation="Its lines and entries are open again, and no run matches them so again.",
        ),
    )


def _confirm(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.confirm_proposal(actor=actor, proposal_id=object_id, reason=reason)


def _reject(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.reject_proposal(actor=actor, proposal_id=object_id, reason=reason)


@admin.register(Proposal)
class ProposalAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "account", "rule", "amount", "status", "created_at", "reason")
    list_filter = ("status", "rule", "account")
    list_select_related = ("account",)
    search_fields = ("=id",)
    search_help_text = "The exact id of a proposal"
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "Confirm",
            Capability.RECONCILE,
            _confirm,
            explanation="The lines and entries become a match, and their breaks end.",
        ),
        reason_action(
            "Reject",
            Capability.RECONCILE,
            _reject,
            explanation="They don't belong together: no run proposes or matches them so again.",
        ),
    )


@admin.register(MatchedLine)
class MatchedLineAdmin(ReadOnlyModelAdmin):
    list_display = ("match", "line", "live")
    list_select_related = ("match", "line")
    search_fields = ("=match__id", "=line__id")
    ordering = ("-id",)


@admin.register(MatchedEntry)
class MatchedEntryAdmin(ReadOnlyModelAdmin):
    list_display = ("match", "entry", "live")
    list_select_related = ("match", "entry")
    search_fields = ("=match__id", "=entry__id")
    ordering = ("-id",)


def _resolve(chosen: BreakAction, *, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.resolve_break(actor=actor, break_id=object_id, action=chosen, reason=reason, now=now)


def _take(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.assign_break(actor=actor, break_id=object_id, owner_id=actor.id, reason=reason, now=now)


@admin.register(Break)
class BreakAdmin(ReadOnlyModelAdmin):
    list_display = ("break_class", "difference", "account", "status", "age", "owner", "action", "resolution")
    list_filter = ("status", "break_class", "account", "action")
    list_select_related = ("account", "owner")
    search_fields = ("=id", "=line__id", "=entry__id", "=line__reference")
    search_help_text = "The exact id of a break, a line or an entry, or a line's reference"
    ordering = ("-created_at", "-id")
    actions = (
        reason_action("Assign to me", Capability.RECONCILE, _take),
        reason_action(
            "Post an adjustment",
            Capability.RECONCILE,
            partial(_resolve, BreakAction.POST_ADJUSTMENT),
            explanation="Posts the difference between the clearing account and suspense; a netted fee to fees.",
            sensitive=True,
        ),
        reason_action(
            "Write off",
            Capability.RECONCILE,
            partial(_resolve, BreakAction.WRITE_OFF),
            explanation="Posts the difference between the clearing account and fees.",
            sensitive=True,
        ),
        reason_action(
            "Ignore",
            Capability.RECONCILE,
            partial(_resolve, BreakAction.IGNORE),
            explanation="Posts nothing. The line and the entry are left alone from now on.",
            sensitive=True,
        ),
    )

    @admin.display(description="age in days", ordering="opened_at")
    def age(self, found: Break) -> int:
        return ((found.resolved_at or clock.now()) - found.opened_at).days
