"""Access tokens in their final form (A-60, requirements 1 to 3)."""

import base64
import json
import time
import uuid
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings

from tests.answers import problem
from users.models import Session, User
from users.tests.helpers import log_in, me


@pytest.fixture
def pair(anonymous: Any, alice: User) -> dict[str, str]:
    return log_in(anonymous, alice)


@pytest.fixture
def claims(pair: dict[str, str]) -> dict[str, Any]:
    return jwt.decode(pair["access"], options={"verify_signature": False})


def signed(claims: dict[str, Any], *, key: str = "", algorithm: str = "HS256", headers: Any = None) -> str:
    return jwt.encode(claims, key or django_settings.JWT_SIGNING_KEY, algorithm=algorithm, headers=headers)


def segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_the_claims_are_exactly_these(pair: dict[str, str], claims: dict[str, Any], alice: User) -> None:
    assert set(claims) == {"sub", "sid", "aud", "iss", "iat", "exp", "jti"}
    assert claims["sub"] == str(alice.pk)
    assert claims["sid"] == str(Session.objects.get().pk)
    assert (claims["aud"], claims["iss"]) == ("fintech-core-api", "fintech-core")
    assert claims["exp"] - claims["iat"] == 600
    assert jwt.get_unverified_header(pair["access"]) == {"alg": "HS256", "typ": "JWT"}


def test_a_well_made_copy_is_accepted(anonymous: Any, claims: dict[str, Any]) -> None:
    """The control of the tests below: what they change is what is refused."""
    assert me(anonymous, signed(claims)) == 200


@pytest.mark.parametrize("missing", ["sub", "sid", "aud", "iss", "iat", "exp", "jti"])
def test_a60_a_missing_claim_is_401(anonymous: Any, claims: dict[str, Any], missing: str) -> None:
    del claims[missing]

    assert me(anonymous, signed(claims)) == 401


NOW = int(time.time())


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another-api"},
        {"aud": ["fintech-core-api", "other"], "extra": 1},
        {"iss": "another-issuer"},
        {"exp": NOW - 1},
        {"exp": NOW + 24 * 3600},
        {"exp": 10**400},
        {"exp": 1e300},
        {"exp": str(NOW + 300)},
        {"exp": None},
        {"exp": True},
        {"iat": NOW + 300},
        {"iat": 0},
        {"nbf": NOW + 300},
        {"nbf": NOW - 300},
        {"role": "admin"},
        {"sub": str(uuid.uuid4())},
        {"sub": "alice"},
        {"sub": 5},
        {"sid": str(uuid.uuid4())},
        {"sid": "'; DROP TABLE users_user"},
        {"sid": None},
        {"sid": ["x"]},
    ],
)
def test_a60_a_wrong_claim_is_401(anonymous: Any, claims: dict[str, Any], change: dict[str, Any]) -> None:
    assert me(anonymous, jwt_raw({**claims, **change})) == 401


def jwt_raw(claims: dict[str, Any]) -> str:
    """Signed by our key whatever the claims are (PyJWT itself refuses to encode some)."""
    return jwt.api_jws.encode(
        json.dumps(claims).encode(), django_settings.JWT_SIGNING_KEY, "HS256", headers={"typ": "JWT"}
    )


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../dev/null"},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"typ": "at+jwt"},
        {"crit": ["exp"]},
    ],
)
def test_a60_a_header_that_says_more_is_401(anonymous: Any, claims: dict[str, Any], header: dict[str, Any]) -> None:
    assert me(anonymous, signed(claims, headers=header)) == 401


def test_a60_no_signature_is_401(anonymous: Any, claims: dict[str, Any], pair: dict[str, str]) -> None:
    for algorithm in ("none", "None", "NONE"):
        assert me(anonymous, f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(claims)}.") == 401
    head, body, _ = pair["access"].split(".")
    assert me(anonymous, f"{head}.{body}.") == 401


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a60_another_algorithm_under_the_same_key_is_401(
    anonymous: Any, claims: dict[str, Any], algorithm: str
) -> None:
    assert me(anonymous, signed(claims, algorithm=algorithm)) == 401


def test_a60_an_rsa_header_over_an_hmac_is_401(anonymous: Any, claims: dict[str, Any]) -> None:
    _, body, signature = signed(claims).split(".")

    assert me(anonymous, f"{segment({'alg': 'RS256', 'typ': 'JWT'})}.{body}.{signature}") == 401


def test_a60_another_key_is_401_djangos_own_too(anonymous: Any, claims: dict[str, Any]) -> None:
    assert me(anonymous, signed(claims, key="k" * 48)) == 401
    assert me(anonymous, signed(claims, key=django_settings.SECRET_KEY)) == 401
    assert django_settings.SECRET_KEY != django_settings.JWT_SIGNING_KEY


def test_the_previous_key_verifies_while_it_is_set_and_never_signs(
    anonymous: Any, claims: dict[str, Any], alice: User, settings: Any
) -> None:
    old = signed(claims)
    settings.JWT_PREVIOUS_KEY, settings.JWT_SIGNING_KEY = settings.JWT_SIGNING_KEY, "n" * 48

    assert me(anonymous, old) == 200
    fresh = log_in(anonymous, alice)["access"]
    assert jwt.decode(fresh, "n" * 48, algorithms=["HS256"], audience="fintech-core-api")["sub"] == str(alice.pk)

    settings.JWT_PREVIOUS_KEY = ""
    assert me(anonymous, old) == 401
    assert me(anonymous, fresh) == 200


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer a b", "Bearer a.b.c", "Bearer é", "Bearer " + "x" * 5000, "Token abc"]
)
def test_malformed_headers_are_401(anonymous: Any, db: None, header: str) -> None:
    answer = anonymous.get("/api/v1/users/me", headers={"Authorization": header})

    assert problem(answer) == (401, "not_authenticated")


def test_authentication_costs_one_query(anonymous: Any, pair: dict[str, str], django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert me(anonymous, pair["access"]) == 200
