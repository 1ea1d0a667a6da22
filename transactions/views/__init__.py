"""HTTP of the ledger, a module per subject."""
