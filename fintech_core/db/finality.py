"""Which past times are final: nothing can be posted at or before them any more.

Every posting gets its transaction id (with the first row that it locks) before it reads from the database's clock when
it is posted. So `at` is final when one of these holds, both seen in one snapshot:

- every transaction that had an id at some moment after `at` has ended: the oldest one in flight is the one that will
  come next. `age()` reads the next id without consuming one; within a transaction with an id of its own, that one.
- a transaction that began after `at` has committed, and every one with a smaller id has ended (the horizon of
  fintech_core/outbox/events.py): larger ids were given out after it began. Events carry the start of their
  transaction and its id. Events of before the ledger's base was raised have ids of another counter and say nothing.
  Nor does an event that is dated ahead of the clock: the clock was fast then, and has been set right since.

In either case `at` lies before the start of this transaction.

The second answers while there is always something in flight, the first where nothing happens.
Ask before or in the snapshot in which the entries are read; what is final stays final.
"""

from datetime import datetime

from fintech_core.db import prepared

# Ids on the wire have 64 bits, `age()` 32: both sides are compared modulo 2^32, within which all ids in flight lie.
_IS_FINAL = """
    SELECT %(at)s < ledger_transaction_start() AND (
        pg_snapshot_xmin(pg_current_snapshot())::text::numeric %% 4294967296
            = (age('3'::xid)::bigint + 3 + 4294967296) %% 4294967296
        OR coalesce((SELECT e.created_at > %(at)s AND e.created_at <= ledger_clock() FROM fintech_core_outboxevent e
            WHERE e.txid < ledger_horizon() AND e.txid >= ledger_base()::text::xid8
            ORDER BY e.txid DESC, e.id DESC LIMIT 1), false))
"""


def is_final(at: datetime) -> bool:
    """Whether no posting that is still on its way can get a time at or before `at`."""
    final: bool = prepared.rows(_IS_FINAL, {"at": at})[0][0]
    return final
