"""`make bench`: how fast the ledger is, as ratios to hand-written SQL that writes the same rows on the same server."""
