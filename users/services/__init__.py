"""The use cases of identity. The only code that writes users, registrations, sessions, refresh tokens and API keys.

Each runs inside the caller's `unit_of_work` and commits with its audit row.
"""

from users.services.accounts import (
    PERSONAL_FIELDS,
    EmailTaken,
    RoleNotAllowed,
    create_customer,
    create_staff,
    deactivate_user,
    record_view,
    set_customer_role,
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
    revoke_key_of_any_user,
    revoke_keys_of,
)
from users.services.codes import purge_codes
from users.services.enrolment import (
    Enrolment,
    SecondFactorAbsent,
    enrolment_under_way,
    provision_second_factor,
    purge_enrolments,
    remove_second_factor,
    renew_recovery_codes,
    reset_second_factor,
    start_enrolment,
)
from users.services.erasure import erase_person, mark_texts_erased
from users.services.notices import notify_credential_change
from users.services.registrations import (
    VerificationTokenInvalid,
    register,
    verify_email,
)
from users.services.revocation import end_open_credentials, end_sessions, log_out_everywhere
from users.services.second_factor import (
    SecondFactorEnrolmentRequired,
    SecondFactorInvalid,
    SecondFactorRequired,
)
from users.services.sessions import (
    InvalidCredentials,
    InvalidRefreshToken,
    TokenPair,
    end_admin_session,
    end_own_session,
    end_reused_family,
    log_out,
    purge_credentials,
    rotate_refresh_token,
    touch_admin_session,
)
from users.services.step_up import StepUpInvalid, StepUpRequired, StepUpUnavailable, purge_challenges
from users.services.step_up import begin as begin_step_up
from users.services.step_up import recipient as step_up_recipient

__all__ = [
    "PERSONAL_FIELDS",
    "EmailTaken",
    "Enrolment",
    "InvalidCredentials",
    "InvalidRefreshToken",
    "NewApiKey",
    "RoleNotAllowed",
    "SecondFactorAbsent",
    "SecondFactorEnrolmentRequired",
    "SecondFactorInvalid",
    "SecondFactorRequired",
    "StepUpInvalid",
    "StepUpRequired",
    "StepUpUnavailable",
    "TokenPair",
    "TooManyApiKeys",
    "VerificationTokenInvalid",
    "begin_step_up",
    "create_api_key",
    "create_customer",
    "create_staff",
    "deactivate_user",
    "end_admin_session",
    "end_open_credentials",
    "end_own_session",
    "end_reused_family",
    "end_sessions",
    "enrolment_under_way",
    "erase_person",
    "log_out",
    "log_out_everywhere",
    "mark_texts_erased",
    "notify_credential_change",
    "provision_second_factor",
    "purge_challenges",
    "purge_codes",
    "purge_credentials",
    "purge_enrolments",
    "record_view",
    "register",
    "remove_second_factor",
    "renew_recovery_codes",
    "reset_second_factor",
    "revoke_api_key",
    "revoke_key_of_any_user",
    "revoke_keys_of",
    "rotate_refresh_token",
    "set_customer_role",
    "set_kyc",
    "set_password",
    "set_role",
    "start_enrolment",
    "step_up_recipient",
    "touch_admin_session",
    "update_profile",
    "verify_email",
]
