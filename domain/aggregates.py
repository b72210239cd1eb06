"""Which aggregate folds the streams of each category."""

from collections.abc import Mapping

from domain import account, client, errands, idempotency, identifier, signing_keys
from domain.aggregate import AnyAggregate

AGGREGATES: Mapping[str, AnyAggregate] = {
    "account": account.AGGREGATE,
    "identifier": identifier.AGGREGATE,
    "errands": errands.AGGREGATE,
    "client": client.AGGREGATE,
    "signing-keys": signing_keys.AGGREGATE,
    "request": idempotency.AGGREGATE,
    "answer": idempotency.AGGREGATE,
}

FOLD_VERSION = 3
"""Raise it whenever a state's shape or an `evolve` changes: saved states of another version are folded anew."""
