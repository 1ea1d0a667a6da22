"""Reconciliation in the admin: journals to read, a page to import a statement, what an operator does with breaks."""

import uuid
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
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from fintech_core import clock, db
from fintech_core.actors import Actor
from fintech_core.admin_base import ReadOnlyModelAdmin, actor_of_request, reason_action
from fintech_core.body_limits import LargeBody, takes_large_body
from fintech_core.capabilities import Capability
from fintech_core.exceptions import DomainError
from reconciliation import services
from reconciliation.enums import BreakAction, StatementFormat
from reconciliation.models import (
    Break,
    Match,
    MatchedEntry,
    MatchedLine,
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, values in (("account", services.clearing_accounts()), ("currency", settings.CURRENCIES)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101 - narrows the type
            field.choices = [(value, value) for value in values]


@admin.register(Statement)
class StatementAdmin(ReadOnlyModelAdmin):
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
    ordering = ("-created_at", "-id")
    actions_list = ("import_statement",)

    def has_import_permission(self, request: HttpRequest) -> bool:
        return _may_reconcile(request)

    @takes_large_body(LargeBody("STATEMENT_MAX_BYTES", allowed=_may_reconcile))
    @action(description="Import a statement", url_path="import", permissions=["import"])
    def import_statement(self, request: HttpRequest) -> HttpResponse:
        if not self.has_import_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST, request.FILES) if request.method == "POST" else ImportForm()
        back = reverse("admin:reconciliation_statement_changelist")
        if form.is_valid() and self._import(request, form):
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": "Import a statement",
            "opts": self.model._meta,
            "form": form,
            "back_url": back,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "reconciliation/import_statement.html", context)

    def _import(self, request: HttpRequest, form: ImportForm) -> bool:
        data = form.cleaned_data
        actor = actor_of_request(request)
        try:
            file = services.read_statements(
                format=data["format"],
                raw=data["file"],
                currency=data["currency"],
                encoding=data["encoding"] or None,
            )
            statements = db.unit_of_work(
                lambda: services.import_statements(
                    actor=actor, account_code=data["account"], file=file, now=clock.now()
                )
            )
        except DomainError as refusal:
            form.add_error(None, f"{refusal.detail} ({refusal.code})")
            return False
        self.message_user(
            request, " ".join([f"{len(statements)} statements were imported.", *file.notes]), messages.SUCCESS
        )
        return True


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


@admin.register(Match)
class MatchAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "account", "rule", "created_at")
    list_filter = ("rule", "account")
    list_select_related = ("account",)
    search_fields = ("=id", "=lines__line__id", "=entries__entry__id")
    search_help_text = "The exact id of a match, a line, or a ledger entry"
    ordering = ("-created_at", "-id")


@admin.register(MatchedLine)
class MatchedLineAdmin(ReadOnlyModelAdmin):
    list_display = ("match", "line")
    list_select_related = ("match", "line")
    search_fields = ("=match__id", "=line__id")
    ordering = ("-id",)


@admin.register(MatchedEntry)
class MatchedEntryAdmin(ReadOnlyModelAdmin):
    list_display = ("match", "entry")
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
        ),
        reason_action(
            "Write off",
            Capability.RECONCILE,
            partial(_resolve, BreakAction.WRITE_OFF),
            explanation="Posts the difference between the clearing account and fees.",
        ),
        reason_action(
            "Ignore",
            Capability.RECONCILE,
            partial(_resolve, BreakAction.IGNORE),
            explanation="Posts nothing. The line and the entry are left alone from now on.",
        ),
    )

    @admin.display(description="age in days", ordering="opened_at")
    def age(self, found: Break) -> int:
        return ((found.resolved_at or clock.now()) - found.opened_at).days
