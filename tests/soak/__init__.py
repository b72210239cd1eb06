"""Runs that are too long for `make test`, and the ledger in which they add up: `make soak`."""
