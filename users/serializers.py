"""Shapes of identity over HTTP. Messages never repeat what was sent: it is personal or secret."""

import unicodedata
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.serializers import StrictInput, TextField
from users import credentials
from users.enums import RegistrationStatus
from users.models import User

MAX_TOKEN_LENGTH = 512


@extend_schema_field({"type": "string", "format": "email", "maxLength": credentials.MAX_EMAIL_LENGTH})
class EmailField(TextField):
    """An address, in its normal form afterwards."""

    default_error_messages: ClassVar = {"invalid_email": "This is not an email address."}

    def to_internal_value(self, data: Any) -> str:
        try:
            return credentials.normalise_email(super().to_internal_value(data))
        except credentials.InvalidIdentifier:
            self.fail("invalid_email")


@extend_schema_field({"type": "string", "pattern": r"^\+[1-9][0-9]{7,14}$", "example": "+12025550123"})
class PhoneField(TextField):
    """A number in E.164."""

    default_error_messages: ClassVar = {"invalid_phone": "Spell it in E.164: + and 8 to 15 digits."}

    def to_internal_value(self, data: Any) -> str:
        try:
            return credentials.check_phone(super().to_internal_value(data))
        except credentials.InvalidIdentifier:
            self.fail("invalid_phone")


class NameField(TextField):
    """A line of a person's name; empty for none."""

    default_error_messages: ClassVar = {"control_characters": "Control characters aren't allowed."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if any(unicodedata.category(sign) == "Cc" for sign in text):
            self.fail("control_characters")
        return text


class PasswordField(TextField):
    """A password as it was typed: never trimmed, never cut."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=credentials.MAX_PASSWORD_LENGTH,
            trim_whitespace=False,
            style={"input_type": "password"},
            **kwargs,
        )


class NewPasswordField(PasswordField):
    """A password that is being set; answers to the policy."""

    def to_internal_value(self, data: Any) -> str:
        password = super().to_internal_value(data)
        try:
            credentials.check_new_password(password)
        except ValidationError as error:
            details = [serializers.ErrorDetail(item.messages[0], code=item.code) for item in error.error_list]
            raise serializers.ValidationError(details) from error
        return password


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


class RefreshInput(StrictInput):
    """A refresh token."""

    refresh = TextField(max_length=MAX_TOKEN_LENGTH)


class TokenPairOutput(serializers.Serializer[Any]):
    access = serializers.CharField(read_only=True, help_text="A JWT for `Authorization: Bearer`; ten minutes.")
    refresh = serializers.CharField(read_only=True, help_text="Opaque, single use; for /auth/token/refresh.")


class ProfileInput(StrictInput):
    """The fields to change; what is left out stays."""

    first_name = NameField(required=False)
    last_name = NameField(required=False)
    phone = PhoneField(required=False, allow_null=True)


class UserOutput(serializers.ModelSerializer[User]):
    email_verified = serializers.SerializerMethodField()
    phone_verified = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (
            "id",
            "email",
            "email_verified",
            "phone",
            "phone_verified",
            "first_name",
            "last_name",
            "role",
            "kyc_status",
            "kyc_level",
            "created_at",
        )
        read_only_fields = fields

    def get_email_verified(self, user: User) -> bool:
        return user.email_verified_at is not None

    def get_phone_verified(self, user: User) -> bool:
        return user.phone_verified_at is not None
