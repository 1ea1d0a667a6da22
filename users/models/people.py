"""People (customers and staff), and pending registrations of an address.

No secret is stored: passwords as Argon2id hashes, tokens as SHA-256 of 256 random bits. Addresses, numbers and names
are encrypted, and found by blind indexes over their normal forms (fintech_core/security/encrypted_fields.py). Rows are
written by `users.services` only.
"""

from typing import Any, ClassVar, NoReturn

from django.contrib import auth
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check
from fintech_core.security.encrypted_fields import BlindIndexField, EncryptedTextField, indexed
from users.enums import STAFF_ROLES, KycStatus, Role
from users.passwords import password_matches

MAX_KYC_LEVEL = 3
HASH_LENGTH = 64  # SHA-256 in hex


def _backends() -> list[Any]:
    return list(auth.get_backends())


class UserManager(BaseUserManager["User"]):
    """Has no create_user: `users.services` makes customers and staff."""

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(**indexed("email", (username or "").strip().lower()))


class User(AbstractBaseUser):
    """A customer or a member of staff. `role` is the one source of rights; kyc_* are written by `set_kyc` only."""

    entity_type: ClassVar = "user"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    email = EncryptedTextField(null=True)  # normalised; None for an agent who came by phone
    email_index_a = BlindIndexField(source="email", slot="a")
    email_index_b = BlindIndexField(source="email", slot="b")
    email_verified_at = models.DateTimeField(null=True)
    phone = EncryptedTextField(null=True)  # E.164
    phone_index_a = BlindIndexField(source="phone", slot="a")
    phone_index_b = BlindIndexField(source="phone", slot="b")
    phone_verified_at = models.DateTimeField(null=True)
    first_name = EncryptedTextField(empty=True)
    last_name = EncryptedTextField(empty=True)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.CLIENT)
    kyc_status = models.CharField(max_length=16, choices=KycStatus.choices, default=KycStatus.NOT_SUBMITTED)
    kyc_level = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    password_is_short = models.BooleanField(default=False, db_default=False)  # good beside a second factor only
    email_code_log_in = models.BooleanField(default=True, db_default=True)  # codes by mail open a session
    created_at = models.DateTimeField()
    erased_at = models.DateTimeField(null=True)  # the person asked to be forgotten: the row stays, for the books
    credentials_changed_at = models.DateTimeField(null=True)  # what was asked for earlier opens nothing (revocation)
    texts_erased_at = models.DateTimeField(null=True)  # and what they wrote on their transactions is gone

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        constraints: ClassVar = [
            *(
                models.UniqueConstraint(fields=[f"email_index_{slot}"], name=f"user_email_once_{slot}")
                for slot in ("a", "b")
            ),
            *(
                models.UniqueConstraint(
                    fields=[f"phone_index_{slot}"],
                    condition=Q(phone_verified_at__isnull=False),
                    name=f"user_verified_phone_once_{slot}",
                )
                for slot in ("a", "b")
            ),
            models.CheckConstraint(
                condition=Q(email_verified_at__isnull=True) | Q(email__isnull=False),
                name="user_verified_email_is_there",
            ),
            models.CheckConstraint(
                condition=Q(phone_verified_at__isnull=True) | Q(phone__isnull=False),
                name="user_verified_phone_is_there",
            ),
            models.CheckConstraint(
                condition=Q(email__isnull=False) | Q(phone__isnull=False) | Q(is_active=False),
                name="user_can_be_reached",
            ),
            models.CheckConstraint(
                condition=Q(erased_at__isnull=True)
                | Q(
                    is_active=False,
                    **{f"{name}__isnull": True for name in ("email", "phone", "first_name", "last_name")},
                    **{f"{name}_index_{slot}__isnull": True for name in ("email", "phone") for slot in ("a", "b")},
                ),
                name="user_erased_is_anonymous",
            ),
            models.CheckConstraint(
                condition=Q(texts_erased_at__isnull=True) | Q(erased_at__isnull=False), name="user_texts_of_erased"
            ),
            models.CheckConstraint(condition=Q(kyc_level__lte=MAX_KYC_LEVEL), name="user_kyc_level"),
            models.CheckConstraint(
                condition=Q(email_code_log_in=True)
                | (Q(email_verified_at__isnull=False) & ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)),
                name="user_without_code_log_in_has_password",
            ),
            enum_check("role", Role, "user_role"),
            enum_check("kyc_status", KycStatus, "user_kyc_status"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="user_newest"),
            models.Index(fields=["erased_at"], condition=Q(erased_at__isnull=False), name="user_erased"),
        ]

    def __str__(self) -> str:
        """Without personal data: it is shown in lists, messages and logs."""
        return f"{self.role} …{str(self.pk)[-12:]}"

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF_ROLES

    @property
    def full_name(self) -> str:
        return f"{self.first_name or ''} {self.last_name or ''}".strip()

    # What Django's own forms and commands ask.

    def check_password(self, raw_password: str | None) -> bool:
        return password_matches(self, raw_password or "")

    def set_password(self, raw_password: str | None) -> NoReturn:
        """No way around the policy, the audit row and the end of all sessions: not for `manage.py changepassword`."""
        raise NotImplementedError("users.services.set_password changes passwords")

    # What Django's admin asks. There is no superuser and no per-user grant: the answer comes from the role's group.

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return any(backend.has_perm(self, perm, obj) for backend in _backends())

    def has_perms(self, perm_list: list[str], obj: Any = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return any(backend.has_module_perms(self, app_label) for backend in _backends())


class Registration(models.Model):
    """A pending registration of an address that isn't verified yet. Not unique; deleted with its password when another
    one is verified.

    The mail is a message that names the row; its token is made when it is sent (`users.services.registrations`).
    """

    entity_type: ClassVar = "registration"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    email = EncryptedTextField()
    email_index_a = BlindIndexField(source="email", slot="a")
    email_index_b = BlindIndexField(source="email", slot="b")
    password = models.CharField(max_length=128)
    phone = EncryptedTextField(null=True)
    first_name = EncryptedTextField(empty=True)
    last_name = EncryptedTextField(empty=True)
    token_hash = models.CharField(max_length=HASH_LENGTH, null=True)  # noqa: DJ001 - unique, absent until mailed
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["token_hash"], name="registration_token_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["email_index_a"], name="registration_email_a"),
            models.Index(fields=["email_index_b"], name="registration_email_b"),
            models.Index(fields=["expires_at"], name="registration_expiry"),
        ]

    def __str__(self) -> str:
        return str(self.id)
