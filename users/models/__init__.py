"""Tables of identity, by module: people, their log-ins, their API keys, from where they come."""

from users.models.api_keys import ApiKey
from users.models.networks import FamiliarNetwork
from users.models.people import HASH_LENGTH, MAX_KYC_LEVEL, Registration, User, UserManager
from users.models.sessions import RefreshToken, Session

__all__ = [
    "HASH_LENGTH",
    "MAX_KYC_LEVEL",
    "ApiKey",
    "FamiliarNetwork",
    "RefreshToken",
    "Registration",
    "Session",
    "User",
    "UserManager",
]
