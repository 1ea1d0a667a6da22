"""The intruders' connections, for the tests of constraints."""

from tests.intruders import app, forge, intruder_connections, owner, stage

__all__ = ["app", "forge", "intruder_connections", "owner", "stage"]
