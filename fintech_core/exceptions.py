"""Errors that callers may see: RFC 9457 problems with a stable code.

A DomainError subclass is at the top of the module that raises it; those that several rooms raise are here.
Nothing else may reach a client: what isn't a DomainError is a bug and comes out as a bare 500.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class DomainError(Exception):
    """A refusal with a code and an HTTP status.

    422 is "refused by a rule, final for the idempotency key"; 409 "the object's state forbids it"; 404 "absent, or not
    yours". `extensions` are further members of the problem document; they never hold personal data.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The request was refused."
    retry_after: int | None = None  # seconds; some refusals know only when they are raised
    # Writes what the refusal must leave behind; run after the use case is undone, and committed. One that raises a
    # DomainError changes the answer into that.
    trace: Callable[[], object] | None = None

    def __init__(self, detail: str = "", *, extensions: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extensions = dict(extensions or {})

    def summary(self) -> dict[str, Any]:
        """The refusal as a part of a larger answer: one item of a batch, the outcome of a dry run."""
        return {"code": self.code, "title": self.title, "detail": self.detail, **self.extensions}


class ValidationFailed(DomainError):
    """Syntax. `errors` is a list of {"field", "code", "message"}."""

    code = "validation_error"
    status = HTTPStatus.BAD_REQUEST
    title = "The request is not valid."

    def __init__(self, errors: list[dict[str, str]], detail: str = "") -> None:
        super().__init__(detail, extensions={"errors": errors})


def refuse_repeated(names: Iterable[str]) -> None:
    """Raises ValidationFailed for the names of fields or parameters that are given more than once."""
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        message = "It is given more than once."
        raise ValidationFailed([{"field": name, "code": "repeated", "message": message} for name in repeated])


class NotAuthenticated(DomainError):
    code = "not_authenticated"
    status = HTTPStatus.UNAUTHORIZED
    title = "Valid credentials are required."


class PermissionDenied(DomainError):
    code = "permission_denied"
    status = HTTPStatus.FORBIDDEN
    title = "You are not allowed to do this."


class NotFound(DomainError):
    code = "not_found"
    status = HTTPStatus.NOT_FOUND
    title = "No such object."


class InvalidTransition(DomainError):
    """The state map forbids this change."""

    code = "invalid_transition"
    status = HTTPStatus.CONFLICT
    title = "The object's current state doesn't allow this."


class KycRequired(DomainError):
    """The gate of an operation (settings.KYC_REQUIRED). `required_level` is the level that it requires."""

    code = "kyc_required"
    title = "A higher KYC level is required."


class CurrencyMismatch(DomainError):
    code = "currency_mismatch"
    title = "The wallet is in another currency."


class AmountTooLarge(DomainError):
    code = "amount_too_large"
    title = "The amount, or a resulting balance, is outside the range of the ledger."


class LimitExceeded(DomainError):
    """A gate at creation; money that has arrived is booked whatever the limits."""

    code = "limit_exceeded"
    title = "A limit of the wallet would be exceeded."


class TooManyAttempts(DomainError):
    """A budget of attempts is used up (budgets.py); the same for the right code or password as for a wrong one."""

    code = "too_many_attempts"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many attempts. Wait before you try again."
    retry_after: int

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class RateLimited(DomainError):
    """More requests than a limit allows (ratelimit.py)."""

    code = "rate_limited"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many requests."
    retry_after: int

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class ServiceUnavailable(DomainError):
    code = "service_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "The service is unavailable; nothing was done. Try again."
    retry_after = 2


class OutcomeUnknown(DomainError):
    """The connection was lost while committing: it may have happened. Ask again with the same Idempotency-Key."""

    code = "outcome_unknown"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "The outcome is unknown. Send the same request with the same Idempotency-Key to learn it."
    retry_after = 2


def error_classes() -> list[type[DomainError]]:
    """Every DomainError that exists, by code: the list of codes for the docs and the OpenAPI file."""
    found: dict[str, type[DomainError]] = {}
    queue: list[type[DomainError]] = [DomainError]
    while queue:
        for cls in queue.pop().__subclasses__():
            found.setdefault(cls.code, cls)
            queue.append(cls)
    return [found[code] for code in sorted(found)]
