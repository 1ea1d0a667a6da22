"""Tables of identity, by module: people, their log-ins and API keys, from where they come, what is sent to them."""

from users.models.api_keys import ApiKey
from users.models.messages import Message, OneTimeCode
from users.models.networks import FamiliarNetwork
from users.models.people import HASH_LENGTH, MAX_KYC_LEVEL, Registration, User, UserManager
from users.models.sessions import RefreshToken, Session

__all__ = [
    "HASH_LENGTH",
    "MAX_KYC_LEVEL",
    "ApiKey",
    "FamiliarNetwork",
    "Message",
    "OneTimeCode",
    "RefreshToken",
    "Registration",
    "Session",
    "User",
    "UserManager",
]
