"""Tables of identity, by module: people, their log-ins."""

from users.models.people import HASH_LENGTH, MAX_KYC_LEVEL, Registration, User, UserManager
from users.models.sessions import RefreshToken, Session

__all__ = ["HASH_LENGTH", "MAX_KYC_LEVEL", "RefreshToken", "Registration", "Session", "User", "UserManager"]
