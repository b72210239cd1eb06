"""Which aggregate folds the streams of each category."""

from collections.abc import Mapping

from domain import account, client, idempotency, identifier, signing_keys
from domain.aggregate import AnyAggregate

AGGREGATES: Mapping[str, AnyAggregate] = {
    "account": account.AGGREGATE,
    "identifier": identifier.AGGREGATE,
    "client": client.AGGREGATE,
    "signing-keys": signing_keys.AGGREGATE,
    "request": idempotency.AGGREGATE,
    "answer": idempotency.AGGREGATE,
}
