"""One Kafka record: a commit (all events of one command) or the genesis of its partition.

The value is JSON that is written once and never re-serialised: hashes run over the bytes as stored.
"""

import binascii
import hashlib
import secrets
import uuid
from datetime import datetime
from typing import Any, Literal, Self

import msgspec

from events.streams import SLOTS

HASH_DOMAIN = b"chancery/log/v1\x00"
FORMAT_VERSION = 1
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record as the log stores it. `key` and `value` are None only in records that we did not write."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Position(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Where a commit stands, as clients see it: `partition:seq`."""

    partition: int
    seq: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.seq}"


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked for the command."""

    kind: Literal["anonymous", "account", "client", "system"]
    id: str = ""


class SealedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as stored. `version` counts its stream's events from 1; `sealed` is base64url or absent."""

    stream: str
    version: int
    type: str
    rev: int
    data: dict[str, Any]
    sealed: str = ""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    v: Literal[1]
    seq: int
    prev: str
    commit: str
    at: datetime
    actor: Actor
    trace: str
    events: tuple[SealedEvent, ...]


class Genesis(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a partition: it fixes the identity of the log and how slots map to partitions."""

    v: Literal[1]
    seq: Literal[0]
    prev: Literal[""]
    log: str
    partition: int
    partitions: int
    slots: int
    at: datetime

    @classmethod
    def of(cls, *, log_id: str, partition: int, partitions: int, at: datetime) -> Self:
        return cls(
            v=1, seq=0, prev="", log=log_id, partition=partition, partitions=partitions, slots=SLOTS, at=at
        )


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What every record says about its place in the chain."""

    v: int
    seq: int
    prev: str


_ENCODER = msgspec.json.Encoder()
_COMMIT_DECODER = msgspec.json.Decoder(Commit)
_GENESIS_DECODER = msgspec.json.Decoder(Genesis)
_LINK_DECODER = msgspec.json.Decoder(Link)


def encode(content: Commit | Genesis) -> bytes:
    return _ENCODER.encode(content)


def decode_link(value: bytes) -> Commit | Link:
    """The whole commit where it is one, because to read a record twice costs.

    Raises msgspec.MsgspecError or UnicodeDecodeError if `value` is no record of ours.
    """
    try:
        return _COMMIT_DECODER.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _LINK_DECODER.decode(value)


def decode_commit(value: bytes) -> Commit:
    return _COMMIT_DECODER.decode(value)


def decode_genesis(value: bytes) -> Genesis:
    return _GENESIS_DECODER.decode(value)


def new_commit_id(at: datetime) -> str:
    """A UUIDv7 (RFC 9562 section 5.7): it sorts by time, and is random for the rest."""
    milliseconds = int(at.timestamp() * 1000)
    random = secrets.randbits(74)
    number = milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=number))


def hash_record(key: bytes, value: bytes) -> str:
    """SHA-256 over the domain, the key with its length, and the value; base64url without padding."""
    digest = hashlib.sha256(HASH_DOMAIN + len(key).to_bytes(4, "big") + key + value).digest()
    return binascii.b2a_base64(digest, newline=False)[:-1].translate(_URL_SAFE).decode()
