"""Forms of the admin: the way in, and one's own password.

Django's own would write the user by itself: no audit row, sessions of the API left alive.
"""

from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from fintech_core import client_address, clock
from fintech_core.actors import Actor
from fintech_core.db import unit_of_work, unit_of_work_with_trace
from fintech_core.exceptions import TooManyAttempts
from fintech_core.identifiers import InvalidIdentifier, normalise_email
from users import services
from users.authentication import actor_of_user, anonymous, current_request_id
from users.credentials import MAX_PASSWORD_LENGTH
from users.models import Session, TotpDevice, User
from users.passwords import password_matches
from users.reauthentication import (
    MAX_OTP_LENGTH,
    OTP_ATTRIBUTES,
    REFUSALS,
    count_password_try,
    forget_password_tries,
)
from users.services import lockout, passwords


class AdminLogInForm(AuthenticationForm):
    """Address, password and code in one form, and one message for whatever is wrong."""

    otp = forms.CharField(
        required=False,
        max_length=MAX_OTP_LENGTH,
        label="Code of the authenticator",
        widget=UnfoldAdminTextInputWidget(attrs=OTP_ATTRIBUTES),
    )
    session: Session
    device: TotpDevice | None

    def clean(self) -> dict[str, Any]:
        """Raises TooManyAttempts for a locked address, known or not: a middleware makes a page of it."""
        answers = self.cleaned_data
        username, password, otp = (answers.get(name, "") for name in ("username", "password", "otp"))
        try:
            address = normalise_email(username)
        except InvalidIdentifier as error:
            password_matches(None, password)
            raise _wrong() from error
        actor = anonymous("admin.log_in")
        unit_of_work(lambda: lockout.count_try(actor=actor, address=address))
        try:
            self._enter(actor, address, password, otp)
        except REFUSALS as refusal:
            raise _wrong() from refusal
        return answers

    def _enter(self, actor: Actor, address: str, password: str, otp: str) -> None:
        """A code counts as a try only once the password was right, and before it is looked at."""
        agent = self.request.headers.get("User-Agent", "")
        user = unit_of_work_with_trace(lambda: services.prove_password(actor=actor, email=address, password=password))
        unit_of_work(lambda: services.count_try(user_id=user.pk, otp=otp))
        self.session, proof = unit_of_work_with_trace(
            lambda: services.open_admin_session(
                actor=actor,
                user=user,
                address=address,
                otp=otp,
                user_agent=agent,
                ip=client_address.of(self.request),
            )
        )
        self.user_cache, self.device = user, proof.device


def _wrong() -> forms.ValidationError:
    message = "The address, the password or the code is wrong, or it was tried too often."
    return forms.ValidationError(message, code="invalid_login")


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """A member of staff changes the own password, which ends the own sessions."""

    user: User

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields["new_password1"].validators.append(MaxLengthValidator(MAX_PASSWORD_LENGTH))

    def clean_old_password(self) -> str:
        """A guess counts before it is looked at, as every other proof of who sits here."""
        try:
            count_password_try(self.user.pk)
        except TooManyAttempts as refusal:
            raise forms.ValidationError("This was tried too often. Wait a while.", code="too_many") from refusal
        old: str = super().clean_old_password()
        forget_password_tries(self.user.pk)
        return old

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002 - Django's signature
        """Through the service, whatever `commit` says: there is no half of it."""
        actor = actor_of_user(user=self.user, request_id=current_request_id())
        changed = unit_of_work(
            lambda: passwords.replace_password(
                actor=actor, user_id=self.user.pk, password=self.cleaned_data["new_password1"], now=clock.now()
            )
        )
        self.user.password = changed.password
        return self.user
