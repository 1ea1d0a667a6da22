"""Seals: what they commit to, what the database refuses, and what verify_ledger finds after a superuser's work."""

import base64
import hashlib
import json
import secrets
import time
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import IntegrityError

from fintech_core.audit import chain as audit_chain
from fintech_core.audit.models import AuditLog
from fintech_core.db.work import read_only_snapshot, unit_of_work
from fintech_core.security.encrypted_fields import indexed
from tests import forge
from tests.cast import Client, fund_wallet, kyc
from tests.racing import race
from transactions.ledger.models import LedgerEntry
from transactions.seals import merkle, sealing, tasks, verification
from transactions.seals.models import Seal, SealedHead
from transactions.seals.services import SealedByAnother
from transactions.seals.tests.factories import pay, seal
from users.models import User
from wallet.models import Wallet


def chain_audit_rows() -> None:
    deadline = time.monotonic() + 60
    while AuditLog.objects.filter(link__isnull=True).exists():
        unit_of_work(audit_chain.seal)
        assert time.monotonic() < deadline, "the horizon does not move"


def findings(exported: list[str] | None = None) -> dict[str, str]:
    with read_only_snapshot():
        return {finding.check: finding.row for finding in verification.verify(exported=exported or ())}


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162, 2.1.1, word for word."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


# --- The tree ---------------------------------------------------------------------------------------------------------


def test_the_trees_of_the_standard_have_their_roots() -> None:
    """The leaves and roots that Certificate Transparency's implementations test with."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    hashes = [merkle.leaf_hash(bytes.fromhex(text)) for text in inputs]

    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(hashes[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(hashes[:7]).hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"
    assert merkle.root(hashes).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 31, 64, 100])
def test_roots_are_those_of_the_definition_also_by_blocks(size: int) -> None:
    leaves = [str(number).encode() for number in range(size)]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    blocks = [merkle.root(hashes[start : start + 8]) for start in range(0, size, 8)]

    assert merkle.root(hashes) == merkle.root(blocks) == naive_root(leaves)


# --- Sealing ----------------------------------------------------------------------------------------------------------


def test_a_seal_is_the_signed_root_of_all_heads(db: None, alice: User, bob: User, monkeypatch: Any) -> None:
    fund_wallet(alice, "10.00")
    monkeypatch.setattr(sealing, "SUBTREE", 8)  # so that the tree has many blocks

    first = seal()

    wallets = list(Wallet.objects.order_by("pk"))
    leaves = [b"1|audit|0|" + hashlib.sha256(b"fintech-core/audit/1\n").hexdigest().encode()]
    leaves += [f"1|wallet|{w.pk}|{w.sequence}|{bytes(w.head).hex()}".encode() for w in wallets]
    assert len(leaves) > 100
    assert (first.number, first.leaves, first.root.hex()) == (1, len(leaves), naive_root(leaves).hex())
    words = "|".join(
        [
            "fintech-core/seal/1",
            "1",
            forge.stamp(first.created_at),
            str(len(leaves)),
            first.root.hex(),
            "0",
            hashlib.sha256(b"fintech-core/audit/1\n").hexdigest(),
            hashlib.sha256(b"fintech-core/seal/1\n").hexdigest(),
            hashlib.sha256(first.public_key).hexdigest()[:16],
        ]
    ).encode()
    assert first.hash == hashlib.sha256(words).digest()
    Ed25519PublicKey.from_public_bytes(first.public_key).verify(first.signature, words)
    assert AuditLog.objects.filter(action="ledger.sealed", entity_id="1").count() == 1


def test_the_next_seal_continues_it_and_keeps_only_the_heads_that_moved(db: None, alice: User, bob: User) -> None:
    fund_wallet(alice, "10.00")
    first = seal()
    kyc(alice, 1)
    pay(alice, bob)

    second = seal()
    third = seal()

    assert (second.number, second.previous, third.previous) == (2, first.hash, second.hash)
    moved = SealedHead.objects.filter(seal=second).select_related("wallet__owner_user")
    assert sorted((head.wallet.owner_user.first_name, head.sequence) for head in moved) == [("Alice", 2), ("Bob", 1)]
    assert SealedHead.objects.filter(seal=third).count() == 0
    assert (third.root, third.leaves) == (second.root, second.leaves)
    assert verification.verify() == []


def test_sealing_takes_as_many_statements_for_many_wallets_as_for_few(
    db: None, alice: User, bob: User, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(9):
        seal()


def test_two_sealers_at_once_make_one_seal(transactional_db: None, alice: User) -> None:
    outcomes = race(*[lambda: f"seal {seal().number}"] * 2)

    assert sorted(outcomes) in (
        ["seal 1", "sealed_by_another"],
        ["seal 1", "seal 2"],
    )  # the latter: one after the other
    assert list(Seal.objects.order_by("number").values_list("number", flat=True)) == [
        number + 1 for number in range(sum(outcome != "sealed_by_another" for outcome in outcomes))
    ]
    assert findings() == {}


def test_the_loser_of_two_sealers_leaves_nothing(db: None, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    seal()
    monkeypatch.setattr(Seal.objects, "order_by", lambda *_: Seal.objects.none())  # it hasn't seen the first yet

    with pytest.raises(SealedByAnother):
        seal()

    assert (Seal.objects.count(), AuditLog.objects.filter(action="ledger.sealed").count()) == (1, 1)


@pytest.mark.parametrize("key", ["", "no base64!", base64.b64encode(b"short").decode()])
def test_without_a_proper_key_nothing_is_sealed(db: None, settings: Any, key: str) -> None:
    settings.LEDGER_SEAL_KEY = key

    with pytest.raises(ImproperlyConfigured, match="LEDGER_SEAL_KEY is the base64 of 32 random bytes"):
        seal()

    assert Seal.objects.count() == 0


def test_after_a_change_of_keys_both_keys_seals_are_good(db: None, settings: Any) -> None:
    old = seal()
    settings.LEDGER_SEAL_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
    new = seal()
    assert [finding.check for finding in verification.verify()] == ["signatures of seals"]

    settings.LEDGER_SEAL_PUBLIC_KEYS = [old.public_key.hex()]

    assert old.key_id != new.key_id
    assert verification.verify() == []


def test_the_hourly_task_chains_the_audit_log_and_seals(transactional_db: None, alice: User) -> None:
    chain_audit_rows()

    tasks.seal_ledger()

    made = Seal.objects.get()
    assert (made.audit_seq, bytes(made.audit_head)) == (audit_chain.head().seq, audit_chain.head().hash)
    assert made.audit_seq > 0
    assert findings() == {}


# --- What the database refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["seal", "sealedhead"])
@pytest.mark.parametrize(
    "verb", ["UPDATE transactions_{} SET {}", "DELETE FROM transactions_{}", "TRUNCATE transactions_{} CASCADE"]
)
def test_seals_never_change(forge: forge.Forge, table: str, verb: str) -> None:
    change = {"seal": "leaves = 1", "sealedhead": "sequence = 1"}[table]

    with forge.owner_only("23514", "never change" if verb.startswith("UPDATE") else "never deleted"):
        forge(verb.format(table, change))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"number": 3}, "number has a gap"),
        ({"previous": b"x" * 32}, "previous does not follow"),
        ({"audit_seq": 7}, "audit head is not in the chain"),
        ({"audit_head": b"x" * 32}, "audit head is not the genesis"),
        ({"leaves": 1}, "leaves miscounted"),
        ({"public_key": b"x" * 32}, "key or signature malformed"),
        ({"signature": b"x" * 63}, "key or signature malformed"),
        ({"hash": b"x" * 32}, "hash does not follow"),
        ({"root": b"x" * 32}, "hash does not follow"),
    ],
)
def test_a_seal_that_does_not_follow_is_refused(db: None, changes: dict[str, Any], problem: str) -> None:
    seal()
    good = Seal.objects.get()
    draft = {field.attname: getattr(good, field.attname) for field in Seal._meta.fields}
    draft |= {"number": 2, "previous": good.hash, **changes}

    with pytest.raises(IntegrityError, match=problem):
        unit_of_work(lambda: Seal.objects.create(**draft))

    assert Seal.objects.count() == 1


@pytest.mark.parametrize(
    ("seal_id", "sequence", "head", "problem"),
    [
        (3, 3, 2, "a number that is sealed or not next"),
        (2, 1, 1, "not further than sealed before"),
        (2, 1, 2, "not the hash of its entry"),
        (2, 3, 2, "not the hash of its entry"),
        (2, 0, 1, "not the genesis of its wallet"),
    ],
)
def test_a_head_that_is_no_entry_is_refused(
    db: None, alice: User, seal_id: int, sequence: int, head: int, problem: str
) -> None:
    fund_wallet(alice, "1.00")
    wallet = fund_wallet(alice, "1.00")
    seal()

    value = LedgerEntry.objects.get(wallet=wallet, sequence=head).hash
    row = SealedHead(seal_id=seal_id, wallet=wallet, sequence=sequence, head=value)
    with pytest.raises(IntegrityError, match=problem):
        unit_of_work(lambda: row.save(force_insert=True))

    assert SealedHead.objects.filter(wallet=wallet).count() == 1


# --- What a superuser does, and verify_ledger finds -------------------------------------------------------------------


@pytest.fixture
def sealed(transactional_db: None, alice: User, bob: User) -> None:
    """alice has 7.00 after three transfers to bob; two seals, the audit chain in both."""
    kyc(alice, 1)
    fund_wallet(alice, "10.00")
    pay(alice, bob, "1.00")
    chain_audit_rows()
    seal()
    pay(alice, bob, "1.00")
    pay(alice, bob, "1.00")
    chain_audit_rows()
    seal()


@pytest.fixture
def tamper(sealed: None, as_superuser: psycopg.Connection) -> psycopg.Connection:
    """A superuser's session with all triggers off."""
    as_superuser.execute("SET session_replication_role = replica")
    return as_superuser


def rewind(session: psycopg.Connection) -> None:
    """Take the newest transaction back as if it had never been: rows deleted, figures consistent again."""
    newest = "(SELECT id FROM transactions_transaction ORDER BY created_at DESC LIMIT 1)"
    session.execute(f"DELETE FROM fintech_core_outboxevent WHERE entity_id = {newest}".encode())
    session.execute(f"DELETE FROM transactions_ledgerentry WHERE transaction_id = {newest}".encode())
    session.execute(f"DELETE FROM transactions_transaction WHERE id = {newest}".encode())
    session.execute(
        "UPDATE wallet_wallet w SET balance = e.balance_after, sequence = e.sequence, head = e.hash,"
        " last_posted_at = e.posted_at FROM (SELECT DISTINCT ON (wallet_id) * FROM transactions_ledgerentry"
        " ORDER BY wallet_id, sequence DESC) e WHERE w.id = e.wallet_id"
    )


def test_untouched_books_are_right(sealed: None) -> None:
    assert findings() == {}


def test_a_consistent_rewind_is_seen_by_the_seals_alone(tamper: psycopg.Connection, alice: User) -> None:
    gone = LedgerEntry.objects.filter(wallet__owner_user=alice).latest("sequence")

    rewind(tamper)

    wallets = {str(gone.wallet_id), str(Wallet.objects.get(**indexed("owner_user__email", "bob@customer.example")).pk)}
    found = findings()
    assert set(found) == {"sealed heads are in the chains"}
    assert found["sealed heads are in the chains"] in wallets


def test_a_rewind_after_the_last_seal_needs_the_next_one(tamper: psycopg.Connection, alice: User, bob: User) -> None:
    pay(alice, bob, "1.00")

    rewind(tamper)

    assert findings() == {}  # the documented gap of at most an hour


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE transactions_ledgerentry SET amount = 9 WHERE sequence = 2", {"hash chain", "running balances"}),
        (
            "UPDATE fintech_core_auditlog SET reason = 'x' WHERE id = (SELECT min(id) FROM fintech_core_auditlog)",
            {"audit chain"},
        ),
        (
            "DELETE FROM fintech_core_auditchain WHERE seq = (SELECT max(seq) FROM fintech_core_auditchain)",
            {"sealed audit heads are in the chain"},
        ),
        ("DELETE FROM transactions_seal WHERE number = 1", {"seals", "sealed heads have their seal"}),
        ("DELETE FROM transactions_seal WHERE number = 2", {"sealed heads have their seal"}),
        ("UPDATE transactions_seal SET leaves = 5 WHERE number = 1", {"seals", "signatures of seals"}),
        ("UPDATE transactions_seal SET subtrees = subtrees || subtrees WHERE number = 2", {"root of the newest seal"}),
        (
            "UPDATE transactions_sealedhead SET sequence = 2 WHERE sequence = 3",
            {"sealed heads are in the chains", "root of the newest seal"},
        ),
        ("DELETE FROM transactions_sealedhead WHERE sequence = 4", {"root of the newest seal"}),
        ("DELETE FROM transactions_sealedhead WHERE sequence = 0", {"root of the newest seal"}),
    ],
)
def test_what_a_superuser_does_is_named(tamper: psycopg.Connection, statement: str, expected: set[str]) -> None:
    tamper.execute(statement.encode())

    assert expected <= set(findings())


def test_swapped_entries_are_named(tamper: psycopg.Connection, alice: User) -> None:
    second, third = LedgerEntry.objects.filter(wallet__owner_user=alice, sequence__in=[2, 3]).order_by("sequence")
    columns = "hash, amount, transaction_id, leg"
    swap = f"UPDATE transactions_ledgerentry SET ({columns}) = (%s, %s, %s, %s) WHERE id = %s"
    for target, other in ((second, third), (third, second)):
        values = [bytes(other.hash), other.amount, other.transaction_id, other.leg + 100, target.pk]
        tamper.execute(swap.encode(), values)

    found = findings()

    assert found["hash chain"] == str(second.pk)


def test_a_seal_signed_again_with_another_key_is_named(tamper: psycopg.Connection) -> None:
    forged = Seal.objects.get(number=2)
    key = Ed25519PrivateKey.generate()
    forged.root = b"\x01" * 32
    forged.public_key = key.public_key().public_bytes_raw()
    forged.key_id = sealing.key_id(forged.public_key)
    words = sealing.statement(forged)
    tamper.execute(
        "UPDATE transactions_seal SET root = %s, public_key = %s, key_id = %s, signature = %s, hash = %s"
        " WHERE number = 2",
        [forged.root, forged.public_key, forged.key_id, key.sign(words), hashlib.sha256(words).digest()],
    )

    assert findings() == {"signatures of seals": "seal 2", "root of the newest seal": "seal 2"}


def test_the_loss_of_the_newest_seals_is_seen_against_exported_ones(tamper: psycopg.Connection, tmp_path: Path) -> None:
    """A-80: the external anchor. Whoever takes the tail of everything back leaves no trace inside."""
    kept = tmp_path / "seals.jsonl"
    call_command("export_seals", "--to", str(kept), stdout=StringIO())
    lines = kept.read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert findings(lines) == {}

    tamper.execute("DELETE FROM transactions_sealedhead WHERE seal_id = 2")
    tamper.execute("DELETE FROM transactions_seal WHERE number = 2")

    assert findings() == {}
    assert findings(lines) == {"exported seals": "seal 2"}
    assert findings([*lines[:1], "no seal"]) == {"exported seals": "line 2"}


# --- Commands and reads -----------------------------------------------------------------------------------------------


def test_the_commands_seal_export_and_verify(transactional_db: None, alice: User, tmp_path: Path, capsys: Any) -> None:
    out = StringIO()
    call_command("seal_ledger", stdout=out)
    call_command("export_seals", "--to", str(tmp_path / "seals"), stdout=out)
    call_command("verify_ledger", "--seals", str(tmp_path / "seals"))

    first = Seal.objects.get()
    assert out.getvalue().startswith(f"Seal 1: {first.leaves} leaves, audit chain at ")
    assert bytes(first.hash).hex() in out.getvalue()
    assert "The ledger is right" in capsys.readouterr().out
    (tmp_path / "seals").write_text('{"number": 9, "hash": "00"}\n')
    with pytest.raises(SystemExit) as caught:
        call_command("verify_ledger", "--seals", str(tmp_path / "seals"))
    assert caught.value.code == 1
    assert "exported seals" in capsys.readouterr().out


def test_the_command_says_when_another_sealed(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(**_: Any) -> Seal:
        raise SealedByAnother

    monkeypatch.setattr(tasks.services, "seal_ledger", lose)

    with pytest.raises(CommandError, match="Another process has just created the seal"):
        call_command("seal_ledger")
    tasks.seal_ledger()  # and beat thinks nothing of it


def test_anybody_with_an_account_reads_seals(db: None, mallory_client: Client, anonymous: Client) -> None:
    first, second = seal(), seal()

    page = mallory_client.get("/api/v1/seals").json()
    one = mallory_client.get("/api/v1/seals/1")

    assert [row["number"] for row in page["results"]] == [second.number, first.number]
    assert one.json() == page["results"][1] == sealing.as_json(first)
    assert mallory_client.get("/api/v1/seals/3").status_code == 404
    assert mallory_client.get(f"/api/v1/seals/{10**30}").status_code == 404
    assert mallory_client.get(f"/api/v1/seals/{'9' * 5000}").status_code == 404
    assert anonymous.get("/api/v1/seals").status_code == 401
