"""The ledger: the journal, and the only code that writes money. It imports none of its siblings in `transactions`.

To read it top to bottom (half an hour), in this order:

1. `enums.py`: kinds and states of transactions, directions of entries, states of holds.
2. `models.py`: `Transaction`, `LedgerEntry`, `Hold`, with their constraints.
3. `accounts.py`: the system's own wallets, which postings name by code and currency.
4. `postings.py`: what callers hand to the ledger (`Posting`, `Leg`) and what they get back, with the errors.
5. `decision.py`: `decide()`, pure: which postings are accepted, and what entries each comes to.
6. `locks.py`: the row locks, and their place in the lock order.
7. `hashing.py`: the lines that are hashed, and the chain of a wallet's entries.
8. `journal.py`: the INSERT and UPDATE statements, a constant number for a batch of any size.
9. `engine.py`: `post()`, the one door: lock, decide, write. `preview()` answers the same question without a trace.
10. `events.py`: what each posting publishes to the outbox.
11. `triggers.py`: what the database checks again, by an implementation of its own.
12. `services.py`: the ledger's own use cases, the reversal and the erasure of texts.

The journal's interfaces come last: `selectors.py`, `serializers.py`, `views.py`, `urls.py`, `admin.py`. The packages
beside this one decide what is posted, for whom and at what price. docs/ledger.md has the terms and the guarantees.
"""
