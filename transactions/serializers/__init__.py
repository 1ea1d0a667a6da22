"""Inputs and outputs of the ledger, a module per subject."""
