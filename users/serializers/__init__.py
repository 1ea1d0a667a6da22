"""Shapes of identity over HTTP, by module."""
