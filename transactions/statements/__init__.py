"""Statements, balances at an instant, and the books for accountants: reading the journal, and writing it out.

Reading is in `selectors` (wallets) and `books` (the whole journal); the other modules are pure formats over what
was read. Nothing here writes. No transaction is held while an answer is streamed: entries never change and a wallet's
sequence has no gaps, so a range of it reads the same in pages, however slow the reader is.
"""
