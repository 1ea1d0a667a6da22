"""Fields of identity over HTTP. Messages never repeat what was sent: it is personal or secret."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import TextField
from fintech_core.values import identifiers
from users import credentials

MAX_TOKEN_LENGTH = 512
MAX_OTP_LENGTH = 64
MAX_CODE_LENGTH = 16


@extend_schema_field({"type": "string", "format": "email", "maxLength": identifiers.MAX_EMAIL_LENGTH})
class EmailField(TextField):
    """An address, in its normal form afterwards."""

    def schema_constraints(self) -> json_schema.Fragment:
        return {}

    default_error_messages: ClassVar = {"invalid_email": "This is not an email address."}

    def to_internal_value(self, data: Any) -> str:
        try:
            return identifiers.normalise_email(super().to_internal_value(data))
        except identifiers.InvalidIdentifier:
            self.fail("invalid_email")


@extend_schema_field({"type": "string", "maxLength": identifiers.MAX_PHONE_LENGTH, "example": "+12025550123"})
class PhoneField(TextField):
    """A number with its country's code, in E.164 afterwards."""

    def schema_constraints(self) -> json_schema.Fragment:
        return {"pattern": identifiers.PHONE_PATTERN}

    default_error_messages: ClassVar = {"invalid_phone": "Begin with + and the country's code: +12025550123."}

    def to_internal_value(self, data: Any) -> str:
        try:
            return identifiers.normalise_phone(super().to_internal_value(data))
        except identifiers.InvalidIdentifier:
            self.fail("invalid_phone")


class LineField(TextField):
    """One line of text."""

    forbidden = json_schema.CONTROLS


class NameField(LineField):
    """A line of a person's name; empty for none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, allow_blank=True, **kwargs)


class PasswordField(TextField):
    """A password as it was typed: never trimmed, never cut."""

    forbidden = json_schema.NUL

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=credentials.MAX_PASSWORD_LENGTH,
            trim_whitespace=False,
            style={"input_type": "password"},
            **kwargs,
        )


class OtpField(TextField):
    """A code of an authenticator, or a recovery code; spaces and dashes don't matter."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Six digits of the authenticator, or a recovery code.")
        super().__init__(max_length=MAX_OTP_LENGTH, **kwargs)


@contextmanager
def password_policy(field: str = "") -> Iterator[None]:
    """Turns the policy's refusals into those of a serializer: of this field, or of the one that is being read."""
    try:
        yield
    except ValidationError as error:
        details = [serializers.ErrorDetail(item.messages[0], code=item.code) for item in error.error_list]
        raise serializers.ValidationError({field: details} if field else details) from error


class NewPasswordField(PasswordField):
    """A password that is being set; answers to the policy."""

    def schema_constraints(self) -> json_schema.Fragment:
        return {**super().schema_constraints(), "minLength": settings.PASSWORD_MIN_LENGTH}

    def to_internal_value(self, data: Any) -> str:
        password = super().to_internal_value(data)
        with password_policy():
            credentials.check_new_password(password)
        return password


@extend_schema_field({"type": "string", "maxLength": MAX_CODE_LENGTH, "example": "123456"})
class CodeField(TextField):
    """A one-time code: six digits. What isn't is a wrong one, and counted as such."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_CODE_LENGTH, **kwargs)
