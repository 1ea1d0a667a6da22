"""The hash chain's test vectors, which docs/ledger.md lists."""

import uuid
from datetime import UTC, datetime

WALLET = uuid.UUID("0192e4a0-0000-7000-8000-000000000001")
TRANSACTION = uuid.UUID("0192e4a0-0000-7000-8000-000000000002")
ENTRY = uuid.UUID("0192e4a0-0000-7000-8000-000000000003")
INITIATOR = uuid.UUID("0192e4a0-0000-7000-8000-000000000004")
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
# Computed once, by hand from docs/ledger.md, The hash chain; they never change, or every stored chain would break.
GENESIS = "f88f58bdbd03b1656acdcc97d99619928cc344a0c955c3b7899d505b74656f58"
DIGEST = "7e6522a1a01e70876877426571e4495f2cc04cbdf709394d92d8ac6e9c3ad66c"
FACTS = "b57ddc8b568a4bab51592f46ae3113a6880eb406a56a43cb6980a9a1bf5a1a56"
BARE_FACTS = "0de77e2b6ff2d5c17f4bef587735ac6486166201d24dd9ea4f61cd8cb18ca0ed"
HASH = "5abe205a7cca2a53a6afac7cf04eb217f1afeb174d5df3f8cc6ae656cfdb4d2b"
JPY_HASH = "68ff64e8cc5212089b5447a555b3ff7d32c56aa35a9f7f95b6d159a0da43b693"
