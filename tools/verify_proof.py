#!/usr/bin/env python3
"""Checks a proof of Fintech Core without the server that made it. Python 3.8 or newer, standard library only.

    verify_proof.py PROOF.json [--public-key HEX] [--seals SEALS.jsonl]

PROOF.json is the answer of GET /api/v1/transactions/{id}/proof, or one of its `proofs`. Prints a verdict per entry;
exit code 0 when every proof holds, 1 when one doesn't, 2 when there is nothing to check.

--public-key: the key that the operator is known to seal with. Without it (or --seals) the signature only shows that
the maker of the seal had some key.
--seals: seals kept from before, one JSON object a line (manage.py export_seals, or copies of GET /api/v1/seals). The
proof's seal must be among them, and they must be chained.

The format is described in docs/proofs.md. This file shares no code with the product.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Point = tuple[int, int, int, int]

PROOF = "fintech-core/proof/1"
SEAL = "fintech-core/seal/1"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)
AMOUNT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)


class Invalid(Exception):
    """The proof doesn't hold; the message says where."""


def check(condition: object, message: str) -> None:
    if not condition:
        raise Invalid(message)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def unhex(text: Any, length: int, what: str) -> bytes:
    fits = isinstance(text, str) and len(text) == 2 * length and re.fullmatch("[0-9a-f]*", text)
    check(fits, f"{what} is not {length} bytes in hex")
    return bytes.fromhex(text)


def field(mapping: Any, name: str, kind: type, what: str) -> Any:
    check(isinstance(mapping, dict) and name in mapping, f"{what} has no {name}")
    value = mapping[name]
    check(type(value) is kind, f"{what}: {name} is not what it should be")
    return value


# --- The entry --------------------------------------------------------------------------------------------------------


def entry_line(entry: Any) -> str:
    """The line of docs/ledger.md, The hash chain, from the fields of the proof."""
    texts = {
        name: field(entry, name, str, "entry")
        for name in ("id", "transaction", "facts", "wallet", "direction", "amount", "currency", "balance_after")
    }
    sequence = field(entry, "sequence", int, "entry")
    posted_at = field(entry, "posted_at", str, "entry")
    for name in ("id", "transaction", "wallet"):
        check(UUID.fullmatch(texts[name]), f"entry: {name} is not an id")
    unhex(texts["facts"], 32, "entry: facts")
    check(sequence >= 1, "entry: sequence is not positive")
    check(texts["direction"] in ("DEBIT", "CREDIT"), "entry: direction is neither DEBIT nor CREDIT")
    check(AMOUNT.fullmatch(texts["amount"]) and AMOUNT.fullmatch(texts["balance_after"]), "entry: no plain amount")
    check(re.fullmatch("[A-Z]{3}", texts["currency"], re.ASCII), "entry: currency is no ISO 4217 code")
    check(TIME.fullmatch(posted_at), "entry: posted_at is not a time in UTC to the microsecond")
    parts = [texts["id"], texts["transaction"], texts["facts"], texts["wallet"], str(sequence), texts["direction"]]
    return "|".join(["1", *parts, texts["amount"], texts["currency"], texts["balance_after"], posted_at])


def check_entry(proof: Any) -> bytes:
    """The entry's hash follows from its fields and the hash before. Returns the hash."""
    entry = field(proof, "entry", dict, "proof")
    previous = unhex(proof.get("previous_hash"), 32, "previous_hash")
    line = entry_line(entry)
    if entry["sequence"] == 1:
        genesis = sha256(b"fintech-core/wallet/1\n" + entry["wallet"].encode())
        check(previous == genesis, "the first entry's previous_hash is not its wallet's genesis")
    hashed = sha256(previous + line.encode())
    check(hashed == unhex(entry.get("hash"), 32, "entry: hash"), "the entry's fields don't have its hash")
    return hashed


def check_facts(proof: Any) -> str:
    """The transaction's facts, where the proof discloses them. Returns what was checked, in words."""
    facts, entry = proof.get("facts"), proof["entry"]
    if facts is None:
        return "facts of the transaction: not disclosed, only their digest"
    names = ("id", "kind", "initiator", "reference", "effective_at", "reverses", "text_digest")
    for name in names:
        check(name in facts and isinstance(facts[name], (str, type(None))), f"facts: {name} is missing or no text")
        check("|" not in (facts[name] or ""), f"facts: {name} has a bar in it")
    check(facts["id"] == entry["transaction"], "the facts are another transaction's")
    line = "|".join(["1", *(facts[name] or "" for name in names)])
    check(hashlib.sha256(line.encode()).hexdigest() == entry["facts"], "the facts don't have the digest of the entry")
    texts = facts.get("texts")
    if texts is None:
        return "facts of the transaction: right; its texts: not disclosed, only their digest"
    check(text_digest(texts) == facts["text_digest"], "description and metadata don't have their digest")
    return "facts, description and metadata of the transaction: right"


def text_digest(texts: Any) -> str:
    salt = unhex(texts.get("salt"), 16, "salt")
    description = unicodedata.normalize("NFC", field(texts, "description", str, "texts"))
    metadata = canonical(field(texts, "metadata", dict, "texts"))
    return hashlib.sha256(salt + description.encode() + b"\x00" + metadata.encode()).hexdigest()


def canonical(value: Any) -> str:
    """RFC 8785, as far as metadata goes: no fractions."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(canonical(name) + ":" + canonical(item) for name, item in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    check(not isinstance(value, float), "metadata has a fraction, which this program doesn't canonicalise")
    return json.dumps(value, ensure_ascii=False)


# --- The chain and the tree -------------------------------------------------------------------------------------------


def check_chain(proof: Any, head: bytes) -> tuple[int, bytes]:
    """From the entry to the sealed head. Returns sequence and hash of that."""
    wallet, sequence = proof["entry"]["wallet"], proof["entry"]["sequence"]
    for line in field(proof, "later", list, "proof"):
        check(isinstance(line, str), "a later line is no text")
        parts = line.split("|")
        check(len(parts) == 11 and parts[0] == "1", f"the line after sequence {sequence} has not its form")
        sequence += 1
        check(parts[4] == wallet and parts[5] == str(sequence), f"the line of sequence {sequence} is another one")
        head = sha256(head + line.encode())
    return sequence, head


def check_leaf(proof: Any, sequence: int, head: bytes) -> tuple[int, bytes]:
    leaf = field(proof, "leaf", dict, "proof")
    check(field(leaf, "sequence", int, "leaf") == sequence, "the sealed sequence is not where the lines end")
    check(unhex(leaf.get("head"), 32, "leaf: head") == head, "the lines don't lead to the sealed head")
    text = f"1|wallet|{proof['entry']['wallet']}|{sequence}|{head.hex()}"
    return field(leaf, "index", int, "leaf"), sha256(b"\x00" + text.encode())


def check_inclusion(index: int, size: int, node: bytes, path: Any, root: bytes) -> None:
    """RFC 9162, 2.1.3.2."""
    check(0 <= index < size, "the leaf's index is outside of the tree")
    first, last = index, size - 1
    for text in path:
        sibling = unhex(text, 32, "path")
        check(last > 0, "the path is too long")
        if first & 1 or first == last:
            node = sha256(b"\x01" + sibling + node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling)
        first, last = first >> 1, last >> 1
    check(last == 0, "the path is too short")
    check(node == root, "the path doesn't lead to the seal's root")


# --- The seal ---------------------------------------------------------------------------------------------------------


def check_seal(seal: Any) -> bytes:
    """Hash and signature of a seal. Returns its hash."""
    texts = {name: unhex(seal.get(name), 32, f"seal: {name}") for name in ("root", "audit_head", "previous", "hash")}
    key = unhex(seal.get("public_key"), 32, "seal: public_key")
    numbers = {name: field(seal, name, int, "seal") for name in ("number", "leaves", "audit_seq")}
    created_at = field(seal, "created_at", str, "seal")
    check(TIME.fullmatch(created_at), "seal: created_at is not a time in UTC to the microsecond")
    check(seal.get("key_id") == sha256(key)[:8].hex(), "seal: key_id is not that of the public key")
    parts = [SEAL, numbers["number"], created_at, numbers["leaves"], texts["root"].hex(), numbers["audit_seq"]]
    parts += [texts["audit_head"].hex(), texts["previous"].hex(), seal["key_id"]]
    statement = "|".join(map(str, parts)).encode()
    check(sha256(statement) == texts["hash"], "the seal's fields don't have its hash")
    signature = unhex(seal.get("signature"), 64, "seal: signature")
    check(verify_ed25519(key, statement, signature), "the seal's signature is not that of its public key")
    return texts["hash"]


def check_kept_seals(seals: Any, wanted: Any) -> None:
    """The kept seals are chained where they follow each other, and `wanted` is one of them."""
    hashes: dict[int, bytes] = {}
    for seal in seals:
        number, hashed = field(seal, "number", int, "kept seal"), check_seal(seal)
        check(hashes.setdefault(number, hashed) == hashed, f"the kept seals have two of number {number}")
    for seal in seals:
        before = hashes.get(seal["number"] - 1)
        check(before is None or before.hex() == seal["previous"], f"kept seal {seal['number']} doesn't follow")
    mine = hashes.get(wanted["number"])
    if mine is None:
        raise Invalid(f"seal {wanted['number']} is not among the kept seals")
    check(mine.hex() == wanted["hash"], f"seal {wanted['number']} is another one among the kept seals")


# Ed25519 verification as RFC 8032, 5.1.7 has it: slow (milliseconds) and dependent on nothing.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def recover_x(y: int, sign: int) -> int | None:
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def decompress(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y = number & ((1 << 255) - 1)
    x = recover_x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def same(one: Point, other: Point) -> bool:
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (one[1] * other[2] - other[1] * one[2]) % P == 0


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0) or 0
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    key, commitment = decompress(public_key), decompress(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= L:
        return False
    if same(multiply(8, key), (0, 1, 1, 0)):
        return False  # a key of small order signs anything
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % L
    return same(multiply(scalar, BASE), add(commitment, multiply(challenge, key)))


# --- The program ------------------------------------------------------------------------------------------------------


def verify(proof: Any, public_key: str | None = None, kept: list[Any] | None = None) -> list[str]:
    """Check one proof. Returns lines on what was checked; raises Invalid."""
    check(isinstance(proof, dict) and proof.get("format") == PROOF, f"this is not a {PROOF}")
    hashed = check_entry(proof)
    facts = check_facts(proof)
    sequence, head = check_chain(proof, hashed)
    index, node = check_leaf(proof, sequence, head)
    seal = field(proof, "seal", dict, "proof")
    check_seal(seal)
    path = field(proof, "path", list, "proof")
    check_inclusion(index, seal["leaves"], node, path, bytes.fromhex(seal["root"]))
    trust = f"signed with the key {seal['public_key']}: compare it with the operator's (--public-key)"
    if public_key is not None:
        check(seal["public_key"] == public_key, f"the seal is signed with another key: {seal['public_key']}")
        trust = "signed with the expected key"
    if kept is not None:
        check_kept_seals(kept, seal)
        trust += "; among the kept seals"
    entry = proof["entry"]
    return [
        f"{entry['direction']} of {entry['amount']} {entry['currency']} at {entry['posted_at']}, balance after"
        f" {entry['balance_after']}: sequence {entry['sequence']} of wallet {entry['wallet']}",
        f"transaction {entry['transaction']}; {facts}",
        f"under seal {seal['number']} of {seal['created_at']}, {trust}",
    ]


def read(path: str, parse: Callable[[str], Any]) -> Any:
    with open(path, encoding="utf-8") as file:
        return parse(file.read())


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("proof", help="a JSON file; - is the standard input")
    parser.add_argument("--public-key", help="the operator's Ed25519 public key in hex")
    parser.add_argument("--seals", help="seals kept from before, JSON lines")
    given = parser.parse_args(arguments)
    try:
        document = json.load(sys.stdin) if given.proof == "-" else read(given.proof, json.loads)
        lines = read(given.seals, str.splitlines) if given.seals else None
        kept = None if lines is None else [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        say(f"NOTHING TO CHECK: {error}")
        return 2
    proofs = document.get("proofs", [document]) if isinstance(document, dict) else []
    if not isinstance(proofs, list) or not proofs:
        say("NOTHING TO CHECK: the file has no proof in it")
        return 2
    key = given.public_key.lower() if given.public_key else None
    worst = 0
    for proof in proofs:
        try:
            words = verify(proof, key, kept)
        except Invalid as error:
            say(f"INVALID: {error}")
            worst = 1
        except Exception as error:  # whatever a made-up file trips over, it is no proof
            say(f"INVALID: malformed ({type(error).__name__}: {error})")
            worst = 1
        else:
            say("VALID: " + "\n  ".join(words))
    return worst


if __name__ == "__main__":
    sys.exit(main())
