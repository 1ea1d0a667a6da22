"""Bodies and answers of registration and log-in."""

from typing import Any

from rest_framework import serializers

from fintech_core.serializers import StrictInput, TextField
from users.enums import RegistrationStatus
from users.serializers.fields import (
    MAX_TOKEN_LENGTH,
    EmailField,
    NameField,
    NewPasswordField,
    OtpField,
    PasswordField,
    PhoneField,
)


class RegisterInput(StrictInput):
    """A claim of an address."""

    email = EmailField()
    password = NewPasswordField(help_text="15 to 128 characters, any; not a common one.")
    phone = PhoneField(required=False)
    first_name = NameField(required=False)
    last_name = NameField(required=False)


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


class RefreshInput(StrictInput):
    """A refresh token."""

    refresh = TextField(max_length=MAX_TOKEN_LENGTH)


class TokenPairOutput(serializers.Serializer[Any]):
    access = serializers.CharField(read_only=True, help_text="A JWT for `Authorization: Bearer`; ten minutes.")
    refresh = serializers.CharField(read_only=True, help_text="Opaque, single use; for /auth/token/refresh.")
