"""Re-authentication: what a sensitive action in the admin asks for when the last proof is some minutes old."""

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from fintech_core.admin.base import actor_of_request
from fintech_core.db import clock
from fintech_core.exceptions import TooManyAttempts
from users import log_in, services
from users.credentials import MAX_PASSWORD_LENGTH
from users.selectors import confirmed_device

MAX_OTP_LENGTH = 64
PREFIX = "again"
WRONG = "The password or the code is wrong, or it was tried too often."
REFUSALS = (
    services.InvalidCredentials,
    services.SecondFactorRequired,
    services.SecondFactorInvalid,
    services.SecondFactorEnrolmentRequired,
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
        actor, user = actor_of_request(self.request), self.request.user
        try:
            log_in.authenticate_again(actor=actor, user=user, password=password, otp=otp)
        except (*REFUSALS, TooManyAttempts) as refusal:
            raise forms.ValidationError(WRONG, code="wrong") from refusal
        self.request.admin_session.refresh_from_db(fields=["authenticated_at"])
