"""Forms of the admin: log-in, and one's own password.

Django's own would write the user by itself: no audit row, sessions of the API left alive.
"""

from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from fintech_core.db.work import unit_of_work, unit_of_work_with_trace
from fintech_core.exceptions import TooManyAttempts, ValidationFailed
from fintech_core.http import client_address
from users import log_in
from users.admin_auth.reauthentication import MAX_OTP_LENGTH, OTP_ATTRIBUTES, REFUSALS
from users.authentication import actor_of_user, anonymous, current_request_id
from users.credentials import MAX_PASSWORD_LENGTH
from users.models import Session, TotpDevice, User
from users.selectors import confirmed_device
from users.services import passwords


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
            self._log_in(username, password, otp)
        except REFUSALS as refusal:
            raise _wrong() from refusal
        return answers

    def _log_in(self, username: str, password: str, otp: str) -> None:
        self.session, proof = unit_of_work_with_trace(
            log_in.log_in_to_admin(
                actor=anonymous("admin.log_in"),
                username=username,
                password=password,
                otp=otp,
                user_agent=self.request.headers.get("User-Agent", ""),
                ip=client_address.of(self.request),
            )
        )
        self.user_cache, self.device = self.session.user, proof.device


def _wrong() -> forms.ValidationError:
    message = "The address, the password or the code is wrong, or it was tried too often."
    return forms.ValidationError(message, code="invalid_login")


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """A member of staff changes the own password by the API's service: one policy, one count of tries, one audit row.

    It ends every session of theirs, this one too.
    """

    user: User

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        for field in self.fields.values():
            field.validators.append(MaxLengthValidator(MAX_PASSWORD_LENGTH))
        self.fields["new_password1"].help_text = _policy_of(user)

    def clean_old_password(self) -> str:
        """Looked at by the service, after the try was counted."""
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        self.validate_passwords("new_password1", "new_password2")
        if not self.errors:
            self._change()
        return self.cleaned_data

    def _change(self) -> None:
        actor = actor_of_user(user=self.user, request_id=current_request_id())
        try:
            change = log_in.change_password(
                actor=actor,
                current_password=self.cleaned_data["old_password"],
                new_password=self.cleaned_data["new_password1"],
            )
            unit_of_work(lambda: change(actor))
        except ValidationFailed as refusal:
            for error in refusal.extensions["errors"]:
                self.add_error("new_password1", forms.ValidationError(error["message"], code=error["code"]))
        except passwords.CurrentPasswordWrong:
            wrong = self.error_messages["password_incorrect"]
            self.add_error("old_password", forms.ValidationError(wrong, code="password_incorrect"))
        except TooManyAttempts as refusal:
            often = gettext("This was tried too often. Wait a while.")
            self.add_error("old_password", forms.ValidationError(often, code=refusal.code))

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002 - Django's signature
        """It is done already: what the service refuses is shown in the form, and only `clean` can do that."""
        self.user.refresh_from_db(fields=["password"])
        return self.user


def _policy_of(user: User) -> str:
    with_factor = confirmed_device(user.pk) is not None
    shortest = settings.PASSWORD_MIN_LENGTH_WITH_SECOND_FACTOR if with_factor else settings.PASSWORD_MIN_LENGTH
    text = gettext("%(shortest)d to %(longest)d characters, any; not a common one, not your name or address.")
    return text % {"shortest": shortest, "longest": MAX_PASSWORD_LENGTH}
