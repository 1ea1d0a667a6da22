"""Finds secrets in text: private keys, tokens by their issuers' forms, random literals under telling names.

Used by tests/test_secrets.py on every tracked file (requirement 53). It reads; it never prints what it found whole.
"""

import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RULES = {
    "private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",
    "Stripe key": r"\b(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{10,}",
    "Slack token": r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}",
    "Slack webhook": r"hooks\.slack\.com/services/T[0-9A-Z]+/B[0-9A-Z]+/[0-9A-Za-z]+",
    "GitHub token": r"\bgh[pousr]_[0-9A-Za-z]{36,}|\bgithub_pat_[0-9A-Za-z_]{22,}",
    "GitLab token": r"\bglpat-[0-9A-Za-z_-]{20,}",
    "webhook secret": r"\bwhsec_[0-9A-Za-z+/]{24,}={0,2}",
    "JSON Web Token": r"\beyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{4,}\.[0-9A-Za-z_-]{8,}",
    "Google API key": r"\bAIza[0-9A-Za-z_-]{35}",
    "SendGrid key": r"\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}",
    "Twilio key": r"\bSK[0-9a-f]{32}\b",
    "npm token": r"\bnpm_[0-9A-Za-z]{36}\b",
    "PyPI token": r"\bpypi-AgE[0-9A-Za-z_-]{20,}",
    "LLM provider key": r"\bsk-(?:ant-|proj-)?[0-9A-Za-z_-]{32,}",
    "Telegram bot token": r"\b[0-9]{8,10}:AA[0-9A-Za-z_-]{33}\b",
    "age key": r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,}",
    "API key of this product": r"\bfc_[0-9a-f]{16}\.[0-9A-Za-z_-]{32,}",
    # A password in an address; placeholders stand in pointed brackets, as $VARIABLES, or are the word itself.
    "password in a URL": r"://[\w.+-]*:(?!password@|pass@|pw@|secret@|hunter2@|…@|\$|<|\{|%)[^\s/@:\"'<>{}$]{4,}@[\w.-]",
}
_RULES = {name: re.compile(pattern) for name, pattern in RULES.items()}
_ASSIGNED = re.compile(
    r"""(?<!public[_ -])(?:key|secret|passw(?:or)?d|pwd|token|credential)[\w-]{0,30}["'\])]*\s*"""
    r"""(?::[^=\n"']{1,30})?(?:=|:|=>|,)\s*"""
    r"""(?:[rbf]?["'](?P<quoted>[^"'\n]{16,})["']|(?P<bare>[0-9A-Za-z+/_=.-]{16,}))""",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"[0-9A-Za-z+/_=-]{16,}")
# Bits per character: words in an identifier have fewer, random hexadecimal digits up to 4, base64 up to 6.
_HEX_ENTROPY, _ENTROPY = 3.0, 3.7


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text[:6]}… ({len(self.text)} characters)"


def scan(path: str, text: str) -> Iterator[Finding]:
    """Everything in `text` that looks like a secret."""
    for rule, pattern in _RULES.items():
        for match in pattern.finditer(text):
            yield Finding(path, text.count("\n", 0, match.start()) + 1, rule, match.group())
    for match in _ASSIGNED.finditer(text):
        value = match["quoted"] or match["bare"]
        is_name = match["bare"] is not None and path.endswith(".py")  # of a variable or a class
        if not is_name and looks_random(value):
            yield Finding(path, text.count("\n", 0, match.start()) + 1, "random literal", value)


def looks_random(value: str) -> bool:
    if not _RANDOM.fullmatch(value) or value.count("_") + value.count("-") > len(value) / 8:
        return False
    letters, digits = any(c.isalpha() for c in value), any(c.isdigit() for c in value)
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        return letters and digits and len(value) >= 32 and entropy(value) >= _HEX_ENTROPY
    mixed = digits and any(c.islower() for c in value) and any(c.isupper() for c in value)
    return mixed and entropy(value) >= _ENTROPY


def entropy(value: str) -> float:
    """Shannon's, in bits per character."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


_NOT_OURS = {".git", ".venv", ".local", "__pycache__", ".hypothesis", "htmlcov", "node_modules", "staticfiles"}


def tracked_files(root: Path) -> list[Path]:
    """What git tracks, and what it would if asked to add everything: a secret is to be found before its commit.

    In an unpacked archive without git: every file but those of tools.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        inside = (path.relative_to(root) for path in root.rglob("*"))
        names = [str(path) for path in inside if not any(p in _NOT_OURS or p.endswith("_cache") for p in path.parts)]
    else:
        names = listed.stdout.decode().split("\0")
    return [root / name for name in names if name and (root / name).is_file()]
