"""No secret in the repository, no card data in the database, no weak cryptography in the code."""

import ast
import base64
import hashlib
import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from django.apps import apps

from tests import secrets_scan
from tests.source_code import ROOT, sources

# What looks like a secret and is none: the first characters of the SHA-256 of what was found, and what it is.
REVIEWED = {
    "c4322470": "API_DOCUMENTATION.md: a made-up API key",
    "878e12c3": "API_DOCUMENTATION.md, openapi.yaml: a made-up refresh token",
    "e8d3559b": "README.md: the first characters of any JSON Web Token",
    "69c12a5d": "docs/test-vectors/proofs.json: a public key",
    "96ad2ccd": "fintech_core/tests/test_redaction.py: the example of Standard Webhooks",
    "4d48f8ab": "fintech_core/tests/test_redaction.py: a token that nobody signed",
}


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def test_no_tracked_file_holds_a_secret() -> None:
    files = secrets_scan.tracked_files(ROOT)
    found = {
        fingerprint(finding.text): str(finding)
        for path in files
        for finding in secrets_scan.scan(path.relative_to(ROOT).as_posix(), path.read_text(errors="replace"))
    }

    assert len(files) > 300
    assert [text for key, text in found.items() if key not in REVIEWED] == []


def planted() -> dict[str, str]:
    """One sample of each rule, put together here so that this file holds none."""
    word = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2Yz3"
    ey = "ey" + "J"
    return {
        "private key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE",
        "AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
        "Stripe key": "rk_live_" + word[:24],
        "Slack token": "xoxb-" + "123456789012-" + word[:24],
        "Slack webhook": "https://hooks.slack.com/services/" + "T00000000/B00000000/" + word[:24],
        "GitHub token": "ghp_" + word[:36],
        "GitLab token": "glpat-" + word[:20],
        "webhook secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "JSON Web Token": f"{ey}hbGciOiJIUzI1NiJ9.{ey}zdWIiOiJ4In0.{word}",
        "Google API key": "AIza" + word[:35],
        "SendGrid key": "SG." + word[:22] + "." + word,
        "Twilio key": "SK" + "0123456789abcdef" * 2,
        "npm token": "npm_" + word[:36],
        "PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + word,
        "LLM provider key": "sk-" + "ant-" + word,
        "Telegram bot token": "123456789:" + "AA" + word[:33],
        "age key": "AGE-SECRET-KEY-" + "1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2,
        "API key of this product": f"fc_{secrets.token_hex(8)}.{secrets.token_urlsafe(32)}",
        "password in a URL": "postgres://fintech_app:" + "s3cr3tPassw0rd@db:5432/fintech",
    }


@pytest.mark.parametrize("rule", sorted(secrets_scan.RULES))
def test_the_scanner_catches_what_each_rule_is_for(rule: str) -> None:
    found = list(secrets_scan.scan("planted.txt", f"one line\nvalue {planted()[rule]}\n"))

    assert rule in {finding.rule for finding in found}
    assert {finding.line for finding in found} == {2}
    assert not any(planted()[rule] in str(finding) for finding in found)  # its message is no second leak


@pytest.mark.parametrize("make", [lambda: secrets.token_urlsafe(32), lambda: secrets.token_hex(32),
                                  lambda: base64.b64encode(secrets.token_bytes(32)).decode()])  # fmt: skip
@pytest.mark.parametrize(
    "line",
    [
        'SECRET_KEY = "{}"',
        "SECRET_KEY={}",
        "jwt_signing_key: {}",
        'Config(api_key="{}")',
        '{{"password": "{}"}}',
        'TOKEN: Final[str] = "{}"',
        "env.str('LEDGER_SEAL_KEY', '{}')",
    ],
)
def test_the_scanner_catches_random_literals_under_telling_names(line: str, make: object) -> None:
    # Nearly all: a random value may have many dashes, or few different characters.
    caught = sum(any(secrets_scan.scan("planted.yml", line.format(make()))) for _ in range(50))  # type: ignore[operator]

    assert caught >= 40


@pytest.mark.parametrize(
    "line",
    [
        "SECRET_KEY=",
        'password = "correct horse battery staple"',
        "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}",
        "SECRET_KEY=$(openssl rand -hex 32)",
        'key = "idempotency_key_in_use"',
        "token_hash = CharField(max_length=64)",
        "postgres://fintech_app:password@localhost:5432/fintech",
        "IDEMPOTENCY_HMAC_KEY = secret('IDEMPOTENCY_HMAC_KEY')",
        'key="0193f5a2-7c3b-7123-8456-123456789012"',
    ],
)
def test_the_scanner_lets_ordinary_lines_pass(line: str) -> None:
    assert list(secrets_scan.scan("ordinary.py", line)) == []


def test_files_that_are_not_committed_yet_are_scanned_and_ignored_ones_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "new.txt").write_text("x")
    (tmp_path / ".env").write_text("x")
    (tmp_path / ".gitignore").write_text(".env\n")

    assert {path.name for path in secrets_scan.tracked_files(tmp_path)} == {"new.txt", ".gitignore"}
    shutil.rmtree(tmp_path / ".git")
    assert {path.name for path in secrets_scan.tracked_files(tmp_path)} == {"new.txt", ".gitignore", ".env"}


def test_local_secrets_are_left_out_of_commits_and_images() -> None:
    assert {".env", ".local/"} <= set((ROOT / ".gitignore").read_text().splitlines())
    image = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert image[0] == "*"
    assert not any(line.startswith("!.") for line in image)


# --- Card data --------------------------------------------------------------------------------------------------------

_CARD_COLUMN = re.compile(
    r"(^|_)(pan|cvv2?|cvc2?|cid|card|card_?(number|no|holder|data|expiry)|track_?[12]?(_data)?|magstripe|pin_?block)(_|$)"
)


@pytest.mark.parametrize("name", ["pan", "card_number", "cvv", "encrypted_pan", "card", "cvc2", "track2_data"])
def test_a_column_for_card_data_would_be_seen(name: str) -> None:
    assert _CARD_COLUMN.search(name)


def test_no_model_has_a_column_for_card_data() -> None:
    """Providers hold cards and give tokens (requirement 52)."""
    columns = {
        f"{model._meta.label}.{field.column}"
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
    }

    assert len(columns) > 200
    assert {column for column in columns if _CARD_COLUMN.search(column.rpartition(".")[2].lower())} == set()


# --- Cryptography -----------------------------------------------------------------------------------------------------

_WEAK = re.compile(r"md5|md4|sha1|sha_1|sha-1|ripemd\d*|(triple)?des3?|arc4|rc4|blowfish|modes\.ecb", re.IGNORECASE)
WEAK_REVIEWED = {
    "users/services/enrolment.py": "names RFC 6238's HMAC-SHA-1, which collisions don't break",
}


def weak_words(tree: ast.AST) -> set[str]:
    """Names, attributes, imports and literals that are exactly the name of a weak algorithm or a hasher of one."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found |= {node.attr, f"{getattr(node.value, 'id', '')}.{node.attr}"}
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value.rpartition(".")[2])
    return {word for word in found if _WEAK.fullmatch(word.removesuffix("PasswordHasher").removesuffix("Salted"))}


@pytest.mark.parametrize(
    "code",
    ["hashlib.md5(x)", "from hashlib import sha1", "hashlib.new('MD5')", "hmac.new(k, m, 'sha1')", "hashes.SHA1()",
     "modes.ECB()", "x = ['django.contrib.auth.hashers.MD5PasswordHasher']", "import md5"],
)  # fmt: skip
def test_weak_algorithms_would_be_seen(code: str) -> None:
    assert weak_words(ast.parse(code))


def test_no_weak_algorithm_is_used() -> None:
    found = {path: words for path, tree in sources() if (words := weak_words(tree))}

    settings_only = found.pop("fintech_core/settings.py")
    assert settings_only == {"django.contrib.auth.hashers.MD5PasswordHasher".rpartition(".")[2]}
    assert found.keys() - WEAK_REVIEWED.keys() == set()


def test_the_quick_hasher_is_for_tests_alone() -> None:
    """`"test"` is compared where it is named, and production's list begins with Argon2id."""
    tree = ast.parse((ROOT / "fintech_core" / "settings.py").read_text())
    (assigned,) = [
        node for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PASSWORD_HASHERS"
    ]  # fmt: skip
    assert isinstance(assigned.value, ast.IfExp)
    assert ast.unparse(assigned.value.test) == "ENVIRONMENT == 'test'"
    assert "MD5" in ast.unparse(assigned.value.body)
    assert ast.literal_eval(assigned.value.orelse)[0] == "users.hashers.Argon2Hasher"
    assert "MD5" not in ast.unparse(assigned.value.orelse)


# Who may use `random`, for what: nothing secret may come of it.
RANDOM = {
    "fintech_core/db/work.py": "jitter",
    "transactions/ledger/accounts.py": "spreading load over lanes",
    "payments/services/processing.py": "jitter",
    "payments/services/simulator.py": "jitter",
}


def test_random_is_used_for_nothing_secret() -> None:
    found = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and "random" in {alias.name for alias in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module == "random")
    }

    assert found - RANDOM.keys() == set()


_SECRET_NAME = re.compile(r"token|secret|passw|signature|otp|(^|_)mac$|code_hash|code_digest|digest$|fingerprint", re.I)
# Comparisons with == of what only sounds secret: file, expression, why.
COMPARED = {
    ("users/services/sessions.py", "fresh.password != user.password"): "two reads of one stored hash",
    (
        "users/services/registrations.py",
        "row.token_hash == token_hash",
    ): "SHA-256 of 256 random bits: no use in guessing",
    ("users/management/commands/create_staff_user.py", "getpass.getpass('Again: ') != password"): "typed twice",
    ("fintech_core/security/encrypted_fields.py", "other.token == self.token"): "ciphertexts, for the ORM",
    ("transactions/seals/verification.py", "digest != transaction.text_digest"): "public to whoever verifies",
    (
        "transactions/seals/seal_verification.py",
        "bytes(seal.hash) != hashlib.sha256(sealing.statement(seal)).digest()",
    ): "public",
    ("fintech_core/ops/backups.py", "whole.sha256.hexdigest() != manifest['sha256']"): "of the encrypted file, public",
}


def secret_comparisons(tree: ast.AST) -> set[str]:
    """`==` and `!=` with an operand whose name sounds secret. A state (`Kind.TOKEN`) or a literal is none."""
    return {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and not any(isinstance(side, ast.Constant) or _name(side).isupper() for side in (node.left, *node.comparators))
        and any(_SECRET_NAME.search(_name(side)) for side in (node.left, *node.comparators))
    }


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return getattr(node, "attr", "") or getattr(node, "id", "")


@pytest.mark.parametrize(
    ("code", "caught"),
    [
        ("given == expected_signature", True),
        ("row.token_hash != hash_token(x)", True),
        ("make_password(a) == b", True),
        ("hmac.compare_digest(a, token)", False),
        ("kind == Kind.TOKEN", False),
        ("password == ''", False),
        ("token is None", False),
    ],
)
def test_comparisons_of_secrets_would_be_seen(code: str, caught: bool) -> None:
    assert bool(secret_comparisons(ast.parse(code))) is caught


def test_secrets_are_compared_in_constant_time() -> None:
    found = {(path, text) for path, tree in sources() for text in secret_comparisons(tree)}

    assert found - COMPARED.keys() == set()
