"""Kafka, PostgreSQL, Valkey and a mail catcher from packages, without Docker: for development and tests.

`stack.py` is what tests and the command line use, `supervisor.py` is the process that keeps all parts alive.
"""
