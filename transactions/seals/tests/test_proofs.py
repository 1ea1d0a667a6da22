"""Proofs: what the API gives to whom, and that the stand-alone verifier accepts these and nothing else."""

import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.cast import Client, fund_wallet, kyc
from transactions.ledger.models import Transaction
from transactions.seals import proofs, sealing
from transactions.seals.models import Seal
from transactions.seals.tests.factories import pay, seal
from users.models import User
from wallet.models import Wallet

TOOL = Path(django_settings.BASE_DIR) / "tools" / "verify_proof.py"
VECTORS = Path(django_settings.BASE_DIR) / "docs" / "test-vectors"
spec = importlib.util.spec_from_file_location("verify_proof", TOOL)
assert spec
assert spec.loader
verifier: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verifier)


def url(transaction: Transaction) -> str:
    return f"/api/v1/transactions/{transaction.pk}/proof"


@pytest.fixture
def paid(db: None, alice: User, bob: User) -> Transaction:
    """alice paid 2.00 to bob, then 1.00; both under seal 1."""
    kyc(alice, 1)
    fund_wallet(alice, "10.00")
    first = pay(alice, bob, "2.00", reference="inv-1", description="Café", metadata={"order": "7", "ä": 'q"\n'})
    pay(alice, bob, "1.00")
    seal()
    return first


@pytest.fixture
def proof(paid: Transaction, alice_client: Client) -> dict[str, Any]:
    found: dict[str, Any] = alice_client.get(url(paid)).json()["proofs"][0]
    return found


# --- Who gets what ----------------------------------------------------------------------------------------------------


def test_the_initiator_gets_a_proof_of_its_entry_with_facts_and_texts(
    paid: Transaction, alice: User, alice_client: Client
) -> None:
    response = alice_client.get(url(paid))

    assert response.status_code == 200, response.content
    answer = response.json()
    assert answer["transaction"] == str(paid.pk)
    (proof,) = answer["proofs"]
    assert proof["entry"]["wallet"] == str(Wallet.objects.get(owner_user=alice).pk)
    assert (proof["entry"]["direction"], proof["entry"]["amount"], proof["entry"]["sequence"]) == ("DEBIT", "2.00", 2)
    assert proof["facts"]["reference"] == "inv-1"
    assert proof["facts"]["texts"]["description"] == "Café"
    assert (len(proof["later"]), proof["leaf"]["sequence"]) == (1, 3)
    assert proof["seal"] == sealing.as_json(Seal.objects.get())
    words = verifier.verify(proof, public_key=proof["seal"]["public_key"], kept=[proof["seal"]])
    assert words[1] == f"transaction {paid.pk}; facts, description and metadata of the transaction: right"


def test_the_counterparty_gets_its_own_entry_and_only_the_digest_of_the_facts(
    paid: Transaction, alice: User, bob_client: Client
) -> None:
    response = bob_client.get(url(paid))

    (proof,) = response.json()["proofs"]
    assert (proof["entry"]["direction"], proof["facts"]) == ("CREDIT", None)
    assert str(alice.pk) not in response.content.decode()
    assert str(Wallet.objects.get(owner_user=alice).pk) not in response.content.decode()
    assert verifier.verify(proof)


def test_staff_gets_the_customers_entries_and_a_stranger_nothing(
    paid: Transaction, auditor_client: Client, mallory_client: Client, anonymous: Client
) -> None:
    found = auditor_client.get(url(paid)).json()["proofs"]

    assert [proof["entry"]["direction"] for proof in found] == ["DEBIT", "CREDIT"]
    assert all(verifier.verify(proof) for proof in found)
    assert mallory_client.get(url(paid)).status_code == 404
    assert anonymous.get(url(paid)).status_code == 401


def test_of_a_deposit_the_customers_leg_is_proven(
    paid: Transaction, alice_client: Client, auditor_client: Client
) -> None:
    deposit = Transaction.objects.get(kind="DEPOSIT")

    for client in (alice_client, auditor_client):
        (proof,) = client.get(url(deposit)).json()["proofs"]
        assert (proof["entry"]["direction"], proof["entry"]["sequence"], len(proof["later"])) == ("CREDIT", 1, 2)
        assert verifier.verify(proof)


def test_before_a_seal_covers_it_there_is_no_proof(
    paid: Transaction, alice: User, bob: User, alice_client: Client
) -> None:
    late = pay(alice, bob, "1.00")

    unsealed = alice_client.get(url(late))
    older = alice_client.get(f"{url(late)}?seal=1")
    seal()
    sealed = alice_client.get(url(late))
    older_now = alice_client.get(f"{url(late)}?seal=1")

    assert (unsealed.status_code, unsealed.json()["code"]) == (409, "not_sealed_yet")
    assert (older.status_code, older.json()["code"]) == (409, "not_sealed_yet")
    assert sealed.json()["proofs"][0]["seal"]["number"] == 2
    assert (older_now.status_code, "seal 2 is the first" in older_now.json()["detail"]) == (409, True)


def test_any_later_seal_can_be_asked_for(paid: Transaction, alice: User, bob: User, alice_client: Client) -> None:
    pay(alice, bob, "1.00")
    seal()
    seal()

    found = [alice_client.get(f"{url(paid)}?seal={number}").json()["proofs"][0] for number in (1, 2, 3)]

    assert [proof["seal"]["number"] for proof in found] == [1, 2, 3]
    assert [len(proof["later"]) for proof in found] == [1, 2, 2]
    assert all(verifier.verify(proof) for proof in found)
    assert alice_client.get(f"{url(paid)}?seal=4").status_code == 404


@pytest.mark.parametrize("query", ["seal=0", "seal=-1", "seal=x", "seal=", f"seal={10**30}", "sael=1"])
def test_a_senseless_question_is_400(paid: Transaction, alice_client: Client, query: str) -> None:
    response = alice_client.get(f"{url(paid)}?{query}")

    assert (response.status_code, response.json()["code"]) == (400, "validation_error")


def test_a_chain_that_is_too_long_is_refused(
    paid: Transaction, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "MAX_LATER", 0)

    response = alice_client.get(url(paid))

    assert (response.status_code, response.json()["code"]) == (422, "proof_too_long")


def test_a_proof_takes_as_many_queries_for_a_long_chain(
    paid: Transaction, alice: User, bob: User, alice_client: Client
) -> None:
    with CaptureQueriesContext(
        connection,
    ) as short:
        alice_client.get(url(paid))
    for _ in range(5):
        pay(alice, bob, "0.10")
    seal()
    with CaptureQueriesContext(connection) as long:
        proof = alice_client.get(f"{url(paid)}?seal=2").json()["proofs"][0]

    assert len(proof["later"]) == 6
    assert len(long) <= len(short) + 1  # the look at whether seal 2 exists


def test_proofs_from_a_tree_of_many_blocks_hold(
    db: None, alice: User, bob: User, alice_client: Client, auditor_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SUBTREE", 8)
    kyc(alice, 1)
    fund_wallet(alice, "10.00")
    transaction = pay(alice, bob, "2.00")
    made = seal()
    tree = sealing.Tree(made)

    assert len(made.subtrees) // 48 == -(-made.leaves // 8) > 10
    for position, wallet in enumerate(Wallet.objects.order_by("pk"), start=1):
        index, path = tree.path_of(wallet.pk)
        leaf = sealing.merkle.leaf_hash(sealing.wallet_leaf(wallet.pk, wallet.sequence, bytes(wallet.head)))
        verifier.check_inclusion(index, made.leaves, leaf, [node.hex() for node in path], bytes(made.root))
        assert index == position
    assert verifier.verify(alice_client.get(url(transaction)).json()["proofs"][0])


# --- The verifier -----------------------------------------------------------------------------------------------------


def changed(proof: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(proof)
    *parents, last = path.split(".")
    place: Any = result
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[int(last) if isinstance(place, list) else last] = value
    return result


def leaves_of(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in leaves_of(item, f"{path}.{name}")]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in leaves_of(item, f"{path}.{number}")]
    return [path.removeprefix(".")]


def other(value: Any) -> Any:
    """Something of the same kind that differs."""
    if value is None:
        return "1"
    if isinstance(value, int):
        return value + 1
    return ("0" if value[:1] != "0" else "1") + value[1:] if value else "x"


def test_no_single_field_of_a_proof_can_be_changed(proof: dict[str, Any]) -> None:
    key = proof["seal"]["public_key"]
    assert verifier.verify(proof, public_key=key)

    accepted = []
    for path in leaves_of(proof):
        place: Any = proof
        for name in path.split("."):
            place = place[int(name)] if isinstance(place, list) else place[name]
        try:
            verifier.verify(changed(proof, path, other(place)), public_key=key)
        except verifier.Invalid:
            continue
        accepted.append(path)

    assert accepted == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("later", [], "the sealed sequence is not where the lines end"),
        ("path", [], "the path is too short"),
        ("format", "fintech-core/proof/2", "this is not a fintech-core/proof/1"),
        ("entry.amount", "2.0", "the entry's fields don't have its hash"),
        ("entry.sequence", 2.0, "entry: sequence is not what it should be"),
        ("entry.sequence", True, "entry: sequence is not what it should be"),
        ("facts.kind", "DEPOSIT", "the facts don't have the digest of the entry"),
        ("facts.texts.description", "Tea", "description and metadata don't have their digest"),
        ("seal.leaves", 10**6, "the seal's fields don't have its hash"),
    ],
)
def test_the_verifier_says_what_is_wrong(proof: dict[str, Any], path: str, value: Any, words: str) -> None:
    with pytest.raises(verifier.Invalid, match=words):
        verifier.verify(changed(proof, path, value))


def test_a_seal_of_another_key_is_refused_where_the_key_is_known(proof: dict[str, Any]) -> None:
    forged = Seal.objects.get()
    key = Ed25519PrivateKey.generate()
    forged.public_key = key.public_key().public_bytes_raw()
    forged.key_id = sealing.key_id(forged.public_key)
    forged.signature = key.sign(sealing.statement(forged))
    forged.hash = verifier.sha256(sealing.statement(forged))
    proof = {**proof, "seal": sealing.as_json(forged)}
    real = bytes(Seal.objects.get().public_key).hex()

    assert verifier.verify(proof)  # consistent in itself: that is why the key must be known
    with pytest.raises(verifier.Invalid, match="signed with another key"):
        verifier.verify(proof, public_key=real)
    with pytest.raises(verifier.Invalid, match="is another one among the kept seals"):
        verifier.verify(proof, kept=[sealing.as_json(Seal.objects.get())])


def test_the_verifiers_own_ed25519_agrees_with_the_library() -> None:
    for number in range(4):
        key = Ed25519PrivateKey.generate()
        public, message = key.public_key().public_bytes_raw(), b"m" * number
        signature = key.sign(message)
        flipped = bytes([signature[0] ^ 1]) + signature[1:]

        assert verifier.verify_ed25519(public, message, signature)
        assert not verifier.verify_ed25519(public, message + b"x", signature)
        assert not verifier.verify_ed25519(public, message, flipped)
        beyond = int.from_bytes(signature[32:], "little") + verifier.L
        assert not verifier.verify_ed25519(public, message, signature[:32] + beyond.to_bytes(32, "little"))
    # RFC 8032, 7.1, test 2; and a key of small order, which would sign anything.
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verifier.verify_ed25519(public, b"\x72", signature)
    assert not verifier.verify_ed25519((1).to_bytes(32, "little"), b"anything", (1).to_bytes(32, "little") + bytes(32))


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(TOOL), *arguments], check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_the_program_runs_alone_on_an_answer_of_the_api(
    paid: Transaction, auditor_client: Client, tmp_path: Path
) -> None:
    answer = auditor_client.get(url(paid)).json()
    good, bad, seals = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "seals.jsonl"
    good.write_text(json.dumps(answer))
    seals.write_text(json.dumps(answer["proofs"][0]["seal"]) + "\n")
    bad.write_text(json.dumps(changed(answer, "proofs.1.entry.amount", "3.00")))
    key = answer["proofs"][0]["seal"]["public_key"]

    code, out = run(str(good), "--public-key", key, "--seals", str(seals))
    assert (code, out.count("VALID: ")) == (0, 2)
    assert "signed with the expected key; among the kept seals" in out
    code, out = run(str(bad))
    assert code == 1
    assert out.splitlines()[-1] == "INVALID: the entry's fields don't have its hash"
    assert run(str(good), "--public-key", "00" * 32)[0] == 1
    assert run(str(tmp_path / "none.json")) == (2, run(str(tmp_path / "none.json"))[1])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"proofs": []}', '{"proofs": [3]}', '{"proofs": {}}', "[" * 10_000])
def test_nonsense_is_never_valid(tmp_path: Path, text: str) -> None:
    file = tmp_path / "proof.json"
    file.write_text(text)

    code, out = run(str(file))

    assert code in (1, 2)
    assert not out.startswith("VALID")


# --- The documented vectors -------------------------------------------------------------------------------------------


def test_the_documented_test_vectors_hold() -> None:
    cases = json.loads((VECTORS / "proofs.json").read_text())
    keys = {case["public_key"] for case in cases}

    assert len(keys) == 1
    for case in cases:
        try:
            verifier.verify(case["proof"], public_key=case["public_key"])
            verdict = "valid"
        except verifier.Invalid as error:
            verdict = str(error)
        assert (case["name"], verdict) == (case["name"], case["verdict"])
    assert [case["verdict"] for case in cases].count("valid") == 2
    assert len(cases) >= 6


def test_the_documented_seals_are_signed_and_chained() -> None:
    lines = (VECTORS / "seals.jsonl").read_text().splitlines()
    seals = [json.loads(line) for line in lines]

    assert [seal["number"] for seal in seals] == [1, 2]
    assert seals[0]["previous"] == sealing.GENESIS.hex()
    verifier.check_kept_seals(seals, seals[1])
