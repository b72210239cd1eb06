"""The fixtures of real stores, for every integration test."""

from tests.support.stores import database_dsn, postgres, projector_stack, valkey, valkey_admin

__all__ = ["database_dsn", "postgres", "projector_stack", "valkey", "valkey_admin"]
