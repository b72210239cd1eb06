"""A partition's honest history with everything that honest writers leave behind, and what a forger does to it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from events.streams import client_stream, new_id
from eventstore.commit import Actor, Commit, Record, SealedEvent, encode, hash_record
from tests.support.chains import AT, LOG_ID, genesis

COMMITS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """`counted` are the offsets of the records that count, by seq."""

    records: list[Record]
    counted: list[int]

    @property
    def last_hash(self) -> str:
        record = self.records[self.counted[-1]]
        return hash_record(record.key or b"", record.value or b"")


def commit(seq: int, prev: str, stream: str, version: int = 1, **more: Any) -> Record:
    content = Commit(
        v=1,
        seq=seq,
        prev=prev,
        commit=more.pop("commit", new_id()),
        at=more.pop("at", AT + seq * timedelta(seconds=1)),
        actor=Actor(kind="system"),
        trace="",
        events=(SealedEvent(stream=stream, version=version, type="t", rev=1, data={"n": seq}),),
    )
    return Record(partition=0, offset=-1, key=more.pop("key", stream.encode()), value=encode(content))


def hash_of(record: Record) -> str:
    return hash_record(record.key or b"", record.value or b"")


def honest(seed: int) -> History:
    """Commits, and between them records that lost a race, copies, and what was pipelined after a void one."""
    chance = random.Random(seed)
    records, counted, versions = (
        [genesis()],
        [0],
        dict.fromkeys((client_stream(new_id()) for _ in range(5)), 0),
    )
    for seq in range(1, COMMITS + 1):
        base = hash_of(records[counted[-1]])
        stream = chance.choice(sorted(versions))
        versions[stream] += 1
        own = commit(seq, base, stream, versions[stream])
        records.append(own)
        counted.append(len(records) - 1)
        kind = chance.choice(["none", "none", "race", "copy", "pipelined"])
        if kind in ("race", "pipelined"):
            records.append(commit(seq, base, stream, 1))
        if kind == "pipelined":
            records.append(commit(seq + 1, hash_of(records[-1]), stream, 2))
        if kind == "copy":
            records.append(own)
    return History(records=numbered(records), counted=counted)


def numbered(records: list[Record]) -> list[Record]:
    return [replace(record, offset=offset) for offset, record in enumerate(records)]


def without_copies(history: History, at: int) -> History:
    """A copy stands in for a record that is taken away, and nothing is lost."""
    kept = [one for one in history.records if one.offset <= at or one.value != history.records[at].value]
    moved = {one.offset: number for number, one in enumerate(kept)}
    return History(records=numbered(kept), counted=[moved[offset] for offset in history.counted])


def flip(record: Record, chance: random.Random) -> Record:
    """One bit of the key or of the value."""
    key, value = bytearray(record.key or b""), bytearray(record.value or b"")
    raw = chance.choice([key, value, value])
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return replace(record, key=bytes(key), value=bytes(value))


def flipped(history: History, at: int, chance: random.Random) -> list[Record]:
    records = list(history.records)
    records[at] = flip(records[at], chance)
    return records


def dropped(history: History, at: int, _: random.Random) -> list[Record]:
    return history.records[:at] + history.records[at + 1 :]


def dropped_and_copied(history: History, at: int, chance: random.Random) -> list[Record]:
    """The rest was copied into another topic, where offsets have no gap."""
    return numbered(dropped(history, at, chance))


def swapped(history: History, at: int, _: random.Random) -> list[Record]:
    """With the next record that counts."""
    other = next(offset for offset in history.counted if offset > at)
    records = list(history.records)
    records[at], records[other] = records[other], records[at]
    return numbered(records)


def rewritten(history: History, at: int, _: random.Random) -> list[Record]:
    """By somebody who knows how a record is made, and says another thing in its place."""
    records = list(history.records)
    seq = history.counted.index(at)
    before = hash_of(records[history.counted[seq - 1]]) if seq else ""
    records[at] = replace(commit(seq, before, client_stream(new_id())), offset=at)
    return records


def truncated(history: History, at: int, _: random.Random) -> list[Record]:
    return history.records[:at]


TAMPERINGS: dict[str, Callable[[History, int, random.Random], list[Record]]] = {
    "flip": flipped,
    "drop": dropped,
    "drop and copy": dropped_and_copied,
    "swap": swapped,
    "rewrite": rewritten,
}
"""What needs no saved head to be found, in any record that counts but the last."""

OTHER_LOG = LOG_ID.replace("4000", "4001")
