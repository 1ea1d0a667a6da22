"""docs/ledger.md against the code: its test vectors are those that the tests of the hash chain compute."""

import re
from pathlib import Path

from django.conf import settings

from transactions.ledger.tests import hash_vectors as vectors


def test_the_documented_test_vectors_are_those_of_the_code() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "ledger.md").read_text()
    table = text.split("### Test vectors")[1].split("\n## ")[0]

    documented = dict(re.findall(r"^\| \*\*(\w+)\*\* \| `([0-9a-f]{64})` \|$", table, re.MULTILINE))

    assert documented == {
        "text_digest": vectors.DIGEST,
        "facts": vectors.FACTS,
        "genesis": vectors.GENESIS,
        "hash": vectors.HASH,
    }
    for given in (vectors.WALLET, vectors.TRANSACTION, vectors.ENTRY, vectors.INITIATOR):
        assert f"`{given}`" in table
