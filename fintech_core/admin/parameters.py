"""What the query string of an admin's list may ask for, and which columns no page of the admin shows.

Django compares any column of the model, and of models that are related to it, with whatever the query string says
(`?password__startswith=a`): anyone who may open a list could read a column that no page shows, character by character.
Here a list takes the parameters of its own filters and refuses all others. It decides; `admin_base` answers.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.admin import FieldListFilter
from django.contrib.admin.options import IS_POPUP_VAR, TO_FIELD_VAR
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import IGNORED_PARAMS, PAGE_VAR
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext
from unfold.admin import ModelAdmin

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.http import problems
from fintech_core.security.actors import Actor
from fintech_core.security.encrypted_fields import EncryptedTextField

# Parameters of Django's pop-up windows, which no page of ours opens; `_to_field` names a column to find rows by.
OF_POPUPS = (TO_FIELD_VAR, IS_POPUP_VAR)
_OF_EVERY_LIST = {*IGNORED_PARAMS, PAGE_VAR}.difference(OF_POPUPS)  # search, order, page and the like
_SECRET_NAME = re.compile(r"(?:^|_)(?:password|secret|token|salt|hash|digest|otp|user_agent)(?:_|$)")
_PLAIN_NAME = re.compile(r"\w{1,100}", re.ASCII)
_MOST_NAMES = 10
NUL = "\x00"  # PostgreSQL has no text with it


class InvalidValue(Exception):
    """A filter of the list has a value that it can't have."""


def is_secret(column: Any) -> bool:
    """Whether the column holds a secret, a digest, a ciphertext or raw bytes, by its class or by its name."""
    return isinstance(column, EncryptedTextField | models.BinaryField) or bool(_SECRET_NAME.search(column.name))


def filter_parameters(model_admin: ModelAdmin) -> frozenset[str]:
    """The names that the links of the list's filters and dates have: `status__exact`, `account__id__exact`."""
    of_dates = [f"{model_admin.date_hierarchy}__{part}" for part in ("year", "month", "day")]
    of_filters = [name for entry in model_admin.list_filter for name in _names_of(model_admin, entry)]
    return frozenset([*of_filters, *(of_dates if model_admin.date_hierarchy else ())])


def _names_of(model_admin: ModelAdmin, entry: Any) -> Iterable[Any]:
    """Asked of the filter itself, made as Django's ChangeList makes it; the names depend on no request."""
    request = HttpRequest()
    if isinstance(entry, type):
        return entry(request, {}, model_admin.model, model_admin).expected_parameters()
    path, make = entry if isinstance(entry, tuple | list) else (entry, FieldListFilter.create)
    field = get_fields_from_path(model_admin.model, path)[-1]
    return make(field, request, {}, model_admin.model, model_admin, field_path=path).expected_parameters()


def foreign_to_list(model_admin: ModelAdmin, request: HttpRequest) -> list[str]:
    """The parameters of the request that the list doesn't have, and those whose value can't be looked up at all."""
    return [
        name
        for name, values in request.GET.lists()
        if any(NUL in value for value in values)
        or not (name in _OF_EVERY_LIST or model_admin.lookup_allowed(name, values[-1], request))
    ]


def record_refusal(*, actor: Actor, model: type[models.Model], names: Iterable[str]) -> None:
    """The audit row of a refused request: which parameters, never their values."""
    record_and_publish(
        actor,
        "admin.parameters_refused",
        EntityRef("admin_list", model._meta.label_lower),
        after={"parameters": list(_harmless(names))},
    )


def refusal_page(request: HttpRequest, names: Iterable[str]) -> Any:
    """400, with the reason."""
    text = gettext("This list can't be filtered by: %(names)s. Use the search and the filters of its page.")
    return _page(request, text % {"names": ", ".join(_harmless(names))})


def invalid_value_page(request: HttpRequest) -> Any:
    return _page(request, gettext("A filter of this list has a value that is not valid."))


def _page(request: HttpRequest, text: str) -> Any:
    return problems.answer(request, problems.plain("bad_request", 400, text), text)


def _harmless(names: Iterable[str]) -> Iterator[str]:
    """Names as they may be shown and stored: no more than a few, and nothing that isn't the name of a parameter."""
    for name in list(names)[:_MOST_NAMES]:
        yield name if _PLAIN_NAME.fullmatch(name) else "?"
