"""The admin's cookie leads to a row of `users.Session`: without a live row the request is anonymous.

Django's own session says who logged in; whether that still holds is asked of the row at every request, as it is for
access tokens. Sits between Django's AuthenticationMiddleware and django-otp's.
"""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from users import services
from users.authentication import actor_of_user, current_request_id
from users.models import Session
from users.selectors import live_admin_session

SESSION_ID = "ledger_session_id"  # in Django's session


class AdminSessionMiddleware:
    """Sets `request.user` to AnonymousUser when the session row is missing, ended or idle.

    Otherwise sets `request.admin_session` and `request.credential_id`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponseBase:
        # Lazy as Django's: the API never asks for it, and pays nothing.
        request.user = SimpleLazyObject(partial(_living_user, request, request.user))
        return self.get_response(request)


def actor_of_request(request: Any) -> Actor:
    """The Actor of a logged-in request to the admin."""
    is_known = request.user.is_authenticated  # looks the user up, which sets `request.credential_id`
    credential_id = getattr(request, "credential_id", None) if is_known else None
    return actor_of_user(user=request.user, request_id=current_request_id(), credential_id=credential_id)


def _living_user(request: Any, user: Any) -> Any:
    if not user.is_authenticated:
        return AnonymousUser()
    session = _session_of(request, user.pk)
    if session is None:
        request.session.flush()
        return AnonymousUser()
    unit_of_work(lambda: services.touch_admin_session(session=session))
    request.admin_session, request.credential_id = session, session.pk
    return session.user


def _session_of(request: Any, user_id: uuid.UUID) -> Session | None:
    try:
        session_id = uuid.UUID(request.session.get(SESSION_ID, ""))
    except ValueError:
        return None
    return live_admin_session(session_id=session_id, user_id=user_id)
