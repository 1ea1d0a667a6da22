"""The caller's own profile."""

from rest_framework import serializers

from fintech_core.http.serializers import FlagField, StrictInput
from users.models import User
from users.serializers.fields import NameField, PhoneField


class ProfileInput(StrictInput):
    """The fields to change; what is left out stays."""

    first_name = NameField(required=False)
    last_name = NameField(required=False)
    phone = PhoneField(required=False, allow_null=True)


class LogInMethodsInput(StrictInput):
    """Which log-in methods the owner wants."""

    email_code = FlagField(help_text="Whether a mailed code opens a session.")


class UserOutput(serializers.ModelSerializer[User]):
    email = serializers.EmailField(read_only=True, allow_null=True)
    phone = serializers.CharField(read_only=True, allow_null=True)
    first_name = serializers.CharField(read_only=True)
    last_name = serializers.CharField(read_only=True)
    email_verified = serializers.SerializerMethodField()
    phone_verified = serializers.SerializerMethodField()
    email_code_log_in = serializers.BooleanField(read_only=True)

    class Meta:
        model = User
        fields = (
            "id",
            "email",
            "email_verified",
            "phone",
            "phone_verified",
            "email_code_log_in",
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
