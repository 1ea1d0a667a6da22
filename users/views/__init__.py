"""HTTP of identity, by module."""
