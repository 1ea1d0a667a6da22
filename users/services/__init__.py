"""The use cases of identity. The only code that writes users, registrations, sessions, refresh tokens and API keys.

Each runs inside the caller's `unit_of_work` and commits with its audit row.
"""

from users.services.accounts import (
    PERSONAL_FIELDS,
    EmailTaken,
    create_customer,
    create_staff,
    deactivate_user,
    record_view,
    set_kyc,
    set_password,
    set_role,
    update_profile,
)
from users.services.api_keys import (
    NewApiKey,
    TooManyApiKeys,
    create_api_key,
    revoke_api_key,
    revoke_keys_of,
    revoke_somebodys_key,
)
from users.services.codes import purge_codes
from users.services.delivery import prepare_message, settle_message, sweep_messages
from users.services.messages import notify_credential_change
from users.services.registrations import (
    MAIL_TASK,
    RegistrationMail,
    VerificationTokenInvalid,
    confirm_registration_mail,
    prepare_registration_mail,
    register,
    verify_email,
)
from users.services.sessions import (
    InvalidCredentials,
    InvalidRefreshToken,
    TokenPair,
    end_reused_family,
    end_sessions,
    log_in,
    log_out,
    purge_credentials,
    rotate_refresh_token,
)

__all__ = [
    "MAIL_TASK",
    "PERSONAL_FIELDS",
    "EmailTaken",
    "InvalidCredentials",
    "InvalidRefreshToken",
    "NewApiKey",
    "RegistrationMail",
    "TokenPair",
    "TooManyApiKeys",
    "VerificationTokenInvalid",
    "confirm_registration_mail",
    "create_api_key",
    "create_customer",
    "create_staff",
    "deactivate_user",
    "end_reused_family",
    "end_sessions",
    "log_in",
    "log_out",
    "notify_credential_change",
    "prepare_message",
    "prepare_registration_mail",
    "purge_codes",
    "purge_credentials",
    "record_view",
    "register",
    "revoke_api_key",
    "revoke_keys_of",
    "revoke_somebodys_key",
    "rotate_refresh_token",
    "set_kyc",
    "set_password",
    "set_role",
    "settle_message",
    "sweep_messages",
    "update_profile",
    "verify_email",
]
