"""Who is there, once more: what a sensitive deed in the admin asks when the last proof is some minutes old."""

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from fintech_core.admin.base import actor_of_request
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work, unit_of_work_with_trace
from fintech_core.exceptions import TooManyAttempts
from fintech_core.limits import budgets
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest
from users import services
from users.credentials import MAX_PASSWORD_LENGTH
from users.selectors import confirmed_device

SCOPE = "reauthentication"
TRIES = 5
WINDOW = timedelta(minutes=15)
MAX_OTP_LENGTH = 64
PREFIX = "again"
WRONG = "The password or the code is wrong, or it was tried too often."
REFUSALS = (
    services.InvalidCredentials,
    services.SecondFactorRequired,
    services.SecondFactorInvalid,
    services.SecondFactorEnrolmentRequired,
    TooManyAttempts,
)
OTP_ATTRIBUTES = {"autocomplete": "one-time-code", "spellcheck": "false"}


def form_for(request: Any, *, answered: bool) -> forms.Form | None:
    """None while the session's last proof is fresh; else the form, bound where the request answers it and may."""
    if clock.now() - request.admin_session.authenticated_at < settings.ADMIN_REAUTH_AFTER:
        return None
    return ReauthenticationForm(request, answered=answered)


class ReauthenticationForm(forms.Form):
    """Valid means: it was proved, and is written down in the session's row."""

    password = forms.CharField(
        max_length=MAX_PASSWORD_LENGTH,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
    )
    otp = forms.CharField(
        max_length=MAX_OTP_LENGTH, label="Code", widget=UnfoldAdminTextInputWidget(attrs=OTP_ATTRIBUTES)
    )

    def __init__(self, request: Any, *, answered: bool) -> None:
        answers = request.POST if answered and f"{PREFIX}-password" in request.POST else None
        super().__init__(answers, prefix=PREFIX)
        self.request = request
        if confirmed_device(request.user.pk) is None:
            del self.fields["otp"]

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        if not self.errors:
            self._prove(answers["password"], answers.get("otp", ""))
        return answers

    def _prove(self, password: str, otp: str) -> None:
        user, actor = self.request.user, actor_of_request(self.request)
        try:
            unit_of_work(lambda: _count(actor, user.pk, otp))
            unit_of_work_with_trace(
                lambda: services.authenticate_again(actor=actor, user=user, password=password, otp=otp)
            )
        except REFUSALS as refusal:
            raise forms.ValidationError(WRONG, code="wrong") from refusal
        unit_of_work(lambda: budgets.clear(scope=SCOPE, subject=_subject(user.pk)))
        self.request.admin_session.refresh_from_db(fields=["authenticated_at"])


def _count(actor: Actor, user_id: uuid.UUID, otp: str) -> None:
    budgets.take(scope=SCOPE, subject=_subject(user_id), limit=TRIES, window=WINDOW)
    services.count_try(actor=actor, user_id=user_id, otp=otp)


def _subject(user_id: uuid.UUID) -> bytes:
    return keyed_digest(SCOPE, str(user_id))
