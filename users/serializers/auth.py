"""Bodies and answers of registration and log-in."""

from typing import Any, ClassVar

from rest_framework import serializers

from fintech_core.http.serializers import StrictInput, TextField
from users.credentials import check_new_password
from users.enums import RegistrationStatus
from users.models import Session
from users.serializers.fields import (
    MAX_TOKEN_LENGTH,
    CodeField,
    EmailField,
    NameField,
    NewPasswordField,
    OtpField,
    PasswordField,
    PhoneField,
    password_policy,
)


class RegisterInput(StrictInput):
    """A pending registration."""

    email = EmailField()
    password = NewPasswordField(help_text="15 to 128 characters, any; not a common one, not your name or address.")
    phone = PhoneField(required=False)
    first_name = NameField(required=False)
    last_name = NameField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        personal = [attrs["email"], attrs.get("first_name", ""), attrs.get("last_name", "")]
        with password_policy("password"):
            check_new_password(attrs["password"], personal=personal)
        return attrs


class RegisteredOutput(serializers.Serializer[Any]):
    email = serializers.EmailField(read_only=True)
    status = serializers.ChoiceField(choices=RegistrationStatus.choices, read_only=True)


class VerifyEmailInput(StrictInput):
    """The proof of an address."""

    token = TextField(max_length=MAX_TOKEN_LENGTH, help_text="From the mail.")


class LogInInput(StrictInput):
    """Credentials."""

    email = EmailField()
    password = PasswordField()
    otp = OtpField(required=False)


class SendToPhoneInput(StrictInput):
    """Where a code is to go."""

    phone = PhoneField()


class PhoneCodeInput(StrictInput):
    """The code that went to the number."""

    phone = PhoneField()
    code = CodeField()


class PhoneLogInInput(PhoneCodeInput):
    """The same, and a second factor where there is one."""

    otp = OtpField(required=False)


class SendToEmailInput(StrictInput):
    """Where a code or link is to go."""

    email = EmailField()


class EmailCodeInput(StrictInput):
    """The code that went to the address."""

    email = EmailField()
    code = CodeField()


class EmailLogInInput(EmailCodeInput):
    """The same, and a second factor where there is one."""

    otp = OtpField(required=False)


class ResetPasswordInput(StrictInput):
    """The token from the mail, and the password to be."""

    token = TextField(max_length=MAX_TOKEN_LENGTH, help_text="From the mail.")
    otp = OtpField(required=False)
    password = PasswordField(
        help_text="15 (with a second factor 8) to 128 characters; not a common one, not your name or address."
    )


class ChangePasswordInput(StrictInput):
    """The password that is, and the one to be."""

    current_password = PasswordField(required=False, help_text="Left out by who has no password yet.")
    new_password = PasswordField(
        help_text="15 (with a second factor 8) to 128 characters; not a common one, not your name or address."
    )


class RefreshInput(StrictInput):
    """A refresh token."""

    refresh = TextField(max_length=MAX_TOKEN_LENGTH)


class NothingInput(StrictInput):
    """No fields."""


class SentOutput(serializers.Serializer[Any]):
    """A message is on its way, if the address or number has an account."""

    expires_in = serializers.IntegerField(read_only=True, help_text="Seconds for which what was sent is good.")


class TokenPairOutput(serializers.Serializer[Any]):
    access = serializers.CharField(read_only=True, help_text="A JWT for `Authorization: Bearer`; ten minutes.")
    refresh = serializers.CharField(read_only=True, help_text="Opaque, single use; for /auth/token/refresh.")


class SessionOutput(serializers.ModelSerializer[Session]):
    """One log-in of the caller."""

    address = serializers.CharField(source="ip", read_only=True, help_text="Where the log-in came from.")
    current = serializers.SerializerMethodField(help_text="Whether this request belongs to it.")

    class Meta:
        model = Session
        fields: ClassVar = ["id", "created_at", "last_used_at", "expires_at", "user_agent", "address", "current"]
        read_only_fields = fields

    def get_current(self, session: Session) -> bool:
        return session.pk == self.context["actor"].credential_id
