"""Tables of identity, by module: people, log-ins, second factors, API keys, networks, one-time codes."""

from users.models.api_keys import ApiKey
from users.models.codes import OneTimeCode
from users.models.networks import FamiliarNetwork
from users.models.people import HASH_LENGTH, MAX_KYC_LEVEL, Registration, User, UserManager
from users.models.second_factor import RecoveryCode, TotpDevice
from users.models.sessions import PasswordReset, RefreshToken, Session
from users.models.step_up import StepUpChallenge

__all__ = [
    "HASH_LENGTH",
    "MAX_KYC_LEVEL",
    "ApiKey",
    "FamiliarNetwork",
    "OneTimeCode",
    "PasswordReset",
    "RecoveryCode",
    "RefreshToken",
    "Registration",
    "Session",
    "StepUpChallenge",
    "TotpDevice",
    "User",
    "UserManager",
]
