"""Bodies and answers of one's own second factor."""

from typing import Any

from rest_framework import serializers

from fintech_core.http.serializers import PatternField, StrictInput


class NoInput(StrictInput):
    """An empty object."""


class ConfirmEnrolmentInput(StrictInput):
    """The proof that the authenticator has the secret."""

    code = PatternField(r"\A[0-9]{6}\Z", help_text="Six digits.")


class SecondFactorOutput(serializers.Serializer[Any]):
    enrolled = serializers.BooleanField(read_only=True)
    confirmed_at = serializers.DateTimeField(read_only=True, allow_null=True)
    recovery_codes_left = serializers.IntegerField(read_only=True)


class EnrolmentOutput(serializers.Serializer[Any]):
    secret = serializers.CharField(read_only=True, help_text="Base32, for typing into an authenticator.")
    otpauth_url = serializers.CharField(read_only=True, help_text="For a QR code: the Key URI format.")


class RecoveryCodesOutput(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(child=serializers.CharField(), read_only=True)
