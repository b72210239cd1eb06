"""The canonical form of what Valkey holds: every key with its contents as text, in byte order.

Left out is what the store's own clock has put in: how fresh it is, and the names of entries in its stream.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from readmodels import valkey_keys as keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """`books` are the log's id, checkpoints, and which partitions are marked. The others are lines of text.

    `ends` are those of revocations, which stay longer than they must where they were applied to a fresh store.
    """

    sessions: bytes
    revocations: frozenset[str]
    ends: bytes
    pushed: frozenset[str]
    books: bytes


def contents(client: "redis.Redis") -> Contents:
    untyped: Any = client  # its types are those of all its answers in all its modes
    names = sorted(untyped.scan_iter(f"{keys.PREFIX}*", count=1000))
    sessions = [name for name in names if name.startswith(keys.SESSIONS)]
    revoked = [name for name in names if name.startswith(keys.REVOKED)]
    others = [name for name in names if name not in {*sessions, *revoked, keys.STREAM}]
    return Contents(
        sessions=_text(f"{_hash(untyped, name)} until {untyped.pexpiretime(name)}" for name in sessions),
        revocations=frozenset(f"{name} {untyped.get(name)}" for name in revoked),
        ends=_text(f"{name} until {untyped.pexpiretime(name)}" for name in revoked),
        pushed=frozenset(
            f"{said['kind']} {said['id']} {said['position']}" for _, said in untyped.xrange(keys.STREAM)
        ),
        books=_text(_book(untyped, name) for name in others),
    )


def _book(client: Any, name: str) -> str:
    if name == keys.LOG:
        return f"{name} {client.get(name)}"
    return f"{name} {sorted(client.hkeys(name))}" if name == keys.FRESH else _hash(client, name)


def _hash(client: Any, name: str) -> str:
    return f"{name} {json.dumps(client.hgetall(name), sort_keys=True)}"


def _text(lines: Iterator[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
