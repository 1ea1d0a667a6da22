"""What every room's admin is built on: read-only pages, and list actions that ask for a reason and call one service.

It writes nothing itself and decides nothing: the service checks the capability again, on locked rows.

A room's admin looks like this:

    @admin.register(Wallet)
    class WalletAdmin(ReadOnlyModelAdmin):
        list_display = ["id", "currency", "status"]
        fields = ["id", "owner_user", "currency", "status", "balance", "held"]
        actions = [reason_action("Freeze", Capability.WALLETS_FREEZE, _freeze)]

    def _freeze(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
        return services.freeze_wallet(actor=actor, wallet_id=object_id, reason=reason, now=now)
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Protocol, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.text import slugify
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from fintech_core.admin.parameters import (
    NUL,
    OF_POPUPS,
    InvalidValue,
    filter_parameters,
    foreign_to_list,
    invalid_value_page,
    is_secret,
    record_refusal,
    refusal_page,
)
from fintech_core.db import clock, work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import indexed
from fintech_core.values.identifiers import InvalidIdentifier, normalise_email, normalise_phone
from fintech_core.wiring import wired

MAX_OBJECTS = 100
REASON_LENGTHS = (3, 500)  # as serializers.ReasonInput has them for the API
_CONFIRMED = "reason_confirmed"


def actor_of_request(request: HttpRequest) -> Actor:
    """The Actor of a logged-in admin request. The kernel knows no users, so what makes it is wired."""
    return wired().actor_of_admin_request(request)


def reauthentication(request: HttpRequest, *, answered: bool = True) -> forms.Form | None:
    """The form that proves who is there once more, or None where that was done a moment ago.

    With `answered=False` what the request says about it isn't looked at, and so doesn't count as a try.
    """
    return wired().reauthentication_form(request, answered=answered)


class ReadOnlyModelAdmin(ModelAdmin):
    """Read-only: no one adds, changes or deletes, superusers included.

    Who may look is Django's view permission, mirrored from the roles. The detail page shows `fields`; without them
    every column but those in `exclude` and the secret ones. A list is filtered by the parameters of its `list_filter`
    and of `extra_lookups`, and a request with any other is refused and audited (`admin_parameters`). Actions made by
    `reason_action` are offered to who has their capability.
    """

    actions_on_bottom = False
    show_full_result_count = False
    list_per_page = 50
    # Encrypted fields, found by a whole address or number: ("email", "phone"), ("owner_user__email",).
    personal_search: Sequence[str] = ()
    # Parameters that links to the list have besides those of its filters: ("wallet__id__exact",).
    extra_lookups: Sequence[str] = ()
    # Columns named like a secret that are none: digests of what the readers of the page have anyway.
    public_digests: Sequence[str] = ()

    @cached_property
    def own_parameters(self) -> frozenset[str]:
        return filter_parameters(self) | frozenset(self.extra_lookups)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in self.own_parameters

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Rows are found by their primary key alone: by another column a page would show whether a value exists."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            refusal = self._refusal(request, foreign_to_list(self, request))
            return refusal or super().changelist_view(request, extra_context)
        except InvalidValue:
            return invalid_value_page(request)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Django would redirect to the list without its filters, and at the second time blame the database."""
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise InvalidValue from error

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """None for an id that no row can have; of a key that is a text PostgreSQL would refuse the query."""
        return None if NUL in object_id else super().get_object(request, object_id, from_field)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Django's own history is never written; the audit log is."""
        raise PermissionDenied

    def _refusal(self, request: HttpRequest, names: Sequence[str]) -> HttpResponseBase | None:
        if not names:
            return None
        actor = actor_of_request(request)
        work.unit_of_work(lambda: record_refusal(actor=actor, model=self.model, names=names))
        return cast(HttpResponseBase, refusal_page(request, names))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        condition = personal_condition(self.personal_search, search_term)
        if condition is not None:
            return queryset.filter(condition), False
        return super().get_search_results(request, queryset, search_term)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        # Django opens its own transaction for a POST here, before it asks for permission.
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        if not self.has_view_permission(request):
            raise PermissionDenied
        refusal = self._refusal(request, [name for name in OF_POPUPS if name in request.GET])
        return refusal or super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        raise PermissionDenied

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[Any]:
        if self.fields:
            return list(self.fields)
        hidden = set(self.exclude or ())
        columns = [column for column in self.model._meta.concrete_fields if column.name not in hidden]
        return [column.name for column in columns if column.name in self.public_digests or not is_secret(column)]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[Any]:
        return self.get_fields(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actor = actor_of_request(request)
        return {name: entry for name, entry in actions.items() if _may_run(entry[0], actor)}

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        try:
            return super().response_action(request, queryset)
        except ValidationError:  # an id in the form that isn't one
            self.message_user(
                request,
                "The selection isn't valid. Nothing was changed.",
                messages.ERROR,
            )
            return None


def personal_condition(fields: Sequence[str], term: str) -> Q | None:
    """The condition that finds rows by a whole address or number, however it is spelled; None for any other term."""
    found = [
        Q(**indexed(field, normal))
        for field in fields
        if (normal := _normal_form(field.rpartition("__")[2], term)) is not None
    ]
    return reduce(or_, found) if found else None


def _normal_form(kind: str, term: str) -> str | None:
    try:
        return normalise_email(term) if kind == "email" else normalise_phone(term)
    except InvalidIdentifier:
        return None


def _may_run(action: Any, actor: Actor) -> bool:
    return not isinstance(action, ReasonAction) or actor.can(action.capability)


class ReasonedCall(Protocol):
    """One service call for one object. Runs in its own unit of work; raises DomainError to refuse."""

    def __call__(self, *, actor: Actor, object_id: Any, reason: str, now: datetime) -> object: ...


class ReasonForm(forms.Form):
    reason = forms.CharField(
        min_length=REASON_LENGTHS[0],
        max_length=REASON_LENGTHS[1],
        widget=UnfoldAdminTextareaWidget({"rows": 3, "autofocus": True}),
        help_text="Recorded in the audit log with the action. Don't enter personal data.",
    )


class ReasonAction:
    """What `reason_action` makes: a list action in Django's sense (callable, with a name and a description)."""

    def __init__(
        self,
        description: str,
        capability: Capability,
        call: ReasonedCall | Callable[..., object],
        explanation: str,
        form: type[ReasonForm],
        sensitive: bool,  # noqa: FBT001 - made by reason_action alone
    ) -> None:
        self.short_description = description
        self.capability = capability
        self.call = call
        self.explanation = explanation
        self.form = form
        self.sensitive = sensitive
        self.__name__ = slugify(description).replace("-", "_")

    def __call__(self, model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        actor = actor_of_request(request)
        if not actor.can(self.capability):
            raise PermissionDenied
        objects = list(queryset.order_by("pk")[: MAX_OBJECTS + 1])
        if len(objects) > MAX_OBJECTS:
            model_admin.message_user(
                request,
                f"At most {MAX_OBJECTS} at once. Nothing was changed.",
                messages.ERROR,
            )
            return None
        form = self.form(request.POST if _CONFIRMED in request.POST else None)
        # The reason first: a password that is tried counts, and shouldn't for a reason that is too short.
        again = reauthentication(request, answered=form.is_valid()) if self.sensitive else None
        if not form.is_valid() or (again is not None and not again.is_valid()):
            return self._ask(model_admin, request, objects, form, again)
        self._run(model_admin, request, actor, objects, form.cleaned_data)
        return None

    def _ask(
        self,
        model_admin: Any,
        request: HttpRequest,
        objects: list[Any],
        form: ReasonForm,
        again: forms.Form | None,
    ) -> TemplateResponse:
        context = {
            **model_admin.admin_site.each_context(request),
            "title": self.short_description,
            "opts": model_admin.model._meta,
            "objects": objects,
            "form": form,
            "again": again,
            "explanation": self.explanation,
            "action_name": self.__name__,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "confirmed_name": _CONFIRMED,
            "back_url": request.get_full_path(),
            "media": model_admin.media + form.media,
        }
        return TemplateResponse(request, "fintech_core/reason_action.html", context)

    def _run(
        self,
        model_admin: Any,
        request: HttpRequest,
        actor: Actor,
        objects: list[Any],
        answers: dict[str, Any],
    ) -> None:
        done = 0
        for instance in objects:
            refusal = _attempt(self.call, actor=actor, object_id=instance.pk, **answers)
            if refusal is None:
                done += 1
            else:
                model_admin.message_user(
                    request,
                    f"{instance}: {refusal.detail} ({refusal.code})",
                    messages.ERROR,
                )
        if done:
            model_admin.message_user(request, f"{self.short_description}: {done} done.", messages.SUCCESS)


def _attempt(call: Callable[..., object], *, actor: Actor, object_id: Any, **answers: Any) -> DomainError | None:
    """The refusal, or None when it was done. One object's refusal doesn't undo the others."""
    try:
        work.unit_of_work(lambda: call(actor=actor, object_id=object_id, now=clock.now(), **answers))
    except DomainError as refusal:
        return refusal
    return None


def reason_action(
    description: str,
    capability: Capability,
    call: ReasonedCall | Callable[..., object],
    *,
    explanation: str = "",
    form: type[ReasonForm] = ReasonForm,
    sensitive: bool = False,
) -> ReasonAction:
    """A list action for `ModelAdmin.actions` that asks for a reason on a page of its own, then acts.

    description: the text in the menu and the page's title ("Freeze"); its slug is the action's name ("freeze").
    capability:  who is offered the action; anybody else can't run it by a forged form either (403).
    call:        `call(actor=, object_id=, reason=, now=)` makes ONE service call for one object. It is run for each
                 selected object (at most 100, in the order of their keys) in a unit of work of its own, so one
                 object's refusal leaves the others done. A DomainError shows as an error message naming the object.
    explanation: a sentence on the page that says what will happen ("Debits are refused until it is unfrozen.").
    form:        a form with further questions; `call` gets its other answers by name besides the reason.
    sensitive:   the page also asks for the password and the second factor, unless they were given a moment ago
                 (settings.ADMIN_REAUTH_AFTER): for what takes rights, money or persons away, or gives them.

    Where the action has a choice, make one action for each ("Approve at level 1", "Approve at level 2").
    The reason has 3 to 500 characters.
    """
    return ReasonAction(description, capability, call, explanation, form, sensitive)
