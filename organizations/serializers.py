"""Inputs and outputs of organizations. Messages never repeat what was sent; account details are never shown again."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import IdField, StrictInput, TextField, shown_at
from fintech_core.values.countries import COUNTRIES
from organizations import payout_details, selectors, tax_numbers
from organizations.enums import InvitationStatus, KybStatus, MemberRole, PayoutMethod
from organizations.models import Invitation, Organization, OrganizationMember, PayoutAccount
from users.serializers.fields import MAX_TOKEN_LENGTH, EmailField, LineField

_NO_ECHO: dict[str, Any] = {"invalid_choice": "Not one of the choices."}


class RoleField(serializers.ChoiceField):
    """A member role, as a string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=MemberRole.choices, error_messages=_NO_ECHO, **kwargs)

    def to_internal_value(self, data: Any) -> MemberRole:
        if not isinstance(data, str):
            self.fail("invalid_choice", input="")
        return MemberRole(super().to_internal_value(data))


class MethodField(serializers.ChoiceField):
    """A payout method, as a string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=PayoutMethod.choices, error_messages=_NO_ECHO, **kwargs)

    def to_internal_value(self, data: Any) -> PayoutMethod:
        if not isinstance(data, str):
            self.fail("invalid_choice", input="")
        return PayoutMethod(super().to_internal_value(data))


class CountryField(serializers.ChoiceField):
    """An ISO 3166-1 alpha-2 code."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            choices=sorted(COUNTRIES), error_messages=_NO_ECHO, help_text="ISO 3166-1 alpha-2, upper case.", **kwargs
        )

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid_choice", input="")
        return str(super().to_internal_value(data))


class OrganizationInput(StrictInput):
    legal_name = LineField(max_length=200)
    country = CountryField()
    tax_number = LineField(
        max_length=tax_numbers.MAX_LENGTH,
        help_text="INN in Russia, EIN in the United States, elsewhere the VAT number where its form is known.",
    )


class OrganizationPatch(StrictInput):
    """At least one of the fields."""

    legal_name = LineField(max_length=200, required=False)
    country = CountryField(required=False)
    tax_number = LineField(max_length=tax_numbers.MAX_LENGTH, required=False)

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        return [*super().schema_rules(), json_schema.at_least_one("legal_name", "country", "tax_number")]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Give at least one field.", code="required")
        return attrs


class OrganizationFilter(StrictInput):
    kyb_status = serializers.ChoiceField(choices=KybStatus.choices, required=False)


class OrganizationOutput(serializers.ModelSerializer[Organization]):
    tax_number = serializers.SerializerMethodField(
        help_text="Masked: its last characters. null: erased, some years after the organization was closed."
    )
    has_other_claims = serializers.SerializerMethodField(
        help_text="Whether another organization gives this tax number. Staff; else false."
    )

    class Meta:
        model = Organization
        fields: ClassVar = [
            "id",
            "legal_name",
            "country",
            "tax_number",
            "kyb_status",
            "has_other_claims",
            "created_at",
            "closed_at",
        ]
        read_only_fields = fields

    def get_tax_number(self, organization: Organization) -> str | None:
        return None if organization.tax_number is None else tax_numbers.masked(organization.tax_number)

    def get_has_other_claims(self, organization: Organization) -> bool:
        """As `selectors.with_other_claims` has annotated it, which is done for staff alone."""
        return bool(getattr(organization, "has_other_claims", False))


class OtherClaimOutput(serializers.ModelSerializer[Organization]):
    """Another organization with the same tax number. In a country at most one holds it."""

    class Meta:
        model = Organization
        fields: ClassVar = ["id", "legal_name", "country", "kyb_status", "created_at", "closed_at"]
        read_only_fields = fields


class OrganizationDetailOutput(OrganizationOutput):
    other_claims = serializers.SerializerMethodField(
        help_text="Other organizations with this tax number, in any country; closed ones where KYB was submitted. "
        "Staff; else empty."
    )

    class Meta(OrganizationOutput.Meta):
        fields: ClassVar = [*OrganizationOutput.Meta.fields, "other_claims"]
        read_only_fields = fields

    @extend_schema_field(OtherClaimOutput(many=True))
    def get_other_claims(self, organization: Organization) -> Any:
        """Nothing: a member learns nothing of other organizations. Not even the look-up is made."""
        return []


class StaffOrganizationDetailOutput(OrganizationDetailOutput):
    """The same for staff."""

    def get_other_claims(self, organization: Organization) -> Any:
        found = selectors.other_claims_of(organization)[: selectors.MAX_OTHER_CLAIMS]
        return OtherClaimOutput(found, many=True).data


class MemberPatch(StrictInput):
    role = RoleField()


class MemberFilter(StrictInput):
    role = serializers.ChoiceField(choices=MemberRole.choices, required=False)


class MemberOutput(serializers.ModelSerializer[OrganizationMember]):
    """Takes members with their users."""

    user = serializers.UUIDField(source="user_id", read_only=True)
    email = serializers.CharField(source="user.email", read_only=True, allow_null=True)
    first_name = serializers.CharField(source="user.first_name", read_only=True)
    last_name = serializers.CharField(source="user.last_name", read_only=True)

    class Meta:
        model = OrganizationMember
        fields: ClassVar = ["id", "user", "email", "first_name", "last_name", "role", "created_at"]
        read_only_fields = fields


class InvitationInput(StrictInput):
    email = EmailField()
    role = RoleField()


class InvitationOutput(serializers.ModelSerializer[Invitation]):
    email = serializers.CharField(
        read_only=True, allow_null=True, help_text="null once the invitation has been over for some time."
    )
    status = serializers.SerializerMethodField()
    invited_by = serializers.UUIDField(source="invited_by_id", read_only=True)

    class Meta:
        model = Invitation
        fields: ClassVar = [
            "id",
            "email",
            "role",
            "status",
            "invited_by",
            "created_at",
            "expires_at",
            "accepted_at",
            "revoked_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=InvitationStatus.choices))
    def get_status(self, invitation: Invitation) -> str:
        return invitation.status_at(shown_at(self))


class AcceptInput(StrictInput):
    token = TextField(max_length=MAX_TOKEN_LENGTH, help_text="From the mail.")


class MembershipOutput(serializers.ModelSerializer[OrganizationMember]):
    """What one has become."""

    organization = serializers.UUIDField(source="organization_id", read_only=True)

    class Meta:
        model = OrganizationMember
        fields: ClassVar = ["id", "organization", "role", "created_at"]
        read_only_fields = fields


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": payout_details.MAX_LENGTH},
        "example": {"iban": "GR1601101050000010547023795"},
    }
)
class DetailsField(serializers.Field[Any, Any, Any, Any]):
    """Strings by name; which, says the method."""

    default_error_messages: ClassVar = {"invalid": "An object of strings, as the method asks for."}

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or len(data) > 10 or not all(isinstance(value, str) for value in data.values()):
            self.fail("invalid")
        return dict(data)

    def to_representation(self, value: Any) -> Any:
        return value


def _details_of(method: PayoutMethod) -> json_schema.Fragment:
    """Which details the method takes."""
    forms = payout_details.FORMS[method]
    properties = {name: {"type": "string", "pattern": pattern} for name, pattern in forms.items()}
    details = {"properties": properties, "required": list(forms), "additionalProperties": False}
    return {"properties": {"method": {"const": method.value}, "details": details}}


class PayoutAccountInput(StrictInput):
    method = MethodField()
    details = DetailsField()
    replaces = IdField(required=False, help_text="The payout account whose place it takes; that one is archived.")

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        return [*super().schema_rules(), {"oneOf": [_details_of(method) for method in PayoutMethod]}]


class PayoutAccountFilter(StrictInput):
    archived = serializers.ChoiceField(choices=["true", "false"], required=False)


class PayoutAccountOutput(serializers.ModelSerializer[PayoutAccount]):
    label = serializers.CharField(read_only=True, help_text="Masked.")  # type: ignore[assignment]
    replaces = serializers.UUIDField(source="replaces_id", read_only=True, allow_null=True)
    is_usable = serializers.SerializerMethodField()

    class Meta:
        model = PayoutAccount
        fields: ClassVar = [
            "id",
            "method",
            "label",
            "replaces",
            "is_usable",
            "usable_from",
            "created_at",
            "archived_at",
        ]
        read_only_fields = fields

    def get_is_usable(self, account: PayoutAccount) -> bool:
        return account.archived_at is None and account.usable_from <= shown_at(self)
