"""Builds everything that follows from the log: PostgreSQL tables, revocations in Valkey, mails."""
