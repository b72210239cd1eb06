"""Every data key under the current key-encryption key, so that an earlier one can be thrown away.

The topic has no conditional write, so a tombstone may come between a key's reading and its new record. Two rules
keep erased keys erased: the index never takes back a key that was erased, and this tool erases again whatever it
wrote after a tombstone, its own of an earlier run that was cut off included.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventstore.key_encryption import KeyEncryption
from eventstore.key_index import KeyRecord
from eventstore.keyring import KeyStore, raw_key, wrapped_record, wrapping_key_of
from eventstore.sealing import DataKey

Progress = Callable[[int, int], None]
"""Keys rewrapped so far, and of how many."""


@dataclass(slots=True, kw_only=True)
class Rewrapped:
    """`left` keys are under another key still: some process made them meanwhile with an earlier configuration."""

    keys: int = 0
    rewrapped: int = 0
    erased_again: int = 0
    left: int = 0


@dataclass(slots=True)
class _Survey:
    """What the topic holds: the keys by whether they are under the current key, the erased, and where it ends."""

    current: set[uuid.UUID] = field(default_factory=set)
    others: set[uuid.UUID] = field(default_factory=set)
    erased: set[uuid.UUID] = field(default_factory=set)
    revived: dict[uuid.UUID, KeyRecord] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def take(self, record: KeyRecord, current: str) -> None:
        key_id = record.key_id
        if record.value is None:
            self.erased.add(key_id)
            self.revived.pop(key_id, None)
            self.current.discard(key_id)
            self.others.discard(key_id)
        elif key_id in self.erased:
            self.revived[key_id] = record
        elif wrapping_key_of(record) == current:
            self.current.add(key_id)
            self.others.discard(key_id)
        else:
            self.others.add(key_id)


async def rewrap(store: KeyStore, encryption: KeyEncryption, progress: Progress) -> Rewrapped:
    """Read the topic, store what is under another key anew, and look once more. Safe to repeat at any point.

    UnsealError if a key is under one that is not at hand; UnavailableError if the topic cannot be read or written.
    """
    survey = _Survey()
    await _read(store, survey, encryption.current, {})
    done = Rewrapped()
    if survey.others:
        done.rewrapped = await _store_anew(store, encryption, set(survey.others), progress)
    await _read(store, survey, encryption.current, survey.ends)
    done.erased_again = len(survey.revived)
    for record in survey.revived.values():
        await store.put(KeyRecord(key=record.key, value=None))
    done.keys, done.left = len(survey.current) + len(survey.others), len(survey.others)
    return done


async def _read(store: KeyStore, survey: _Survey, current: str, positions: Mapping[int, int]) -> None:
    async for batch in store.read(dict(positions)):
        for _, record in batch.records:
            survey.take(record, current)
        survey.ends[batch.partition] = batch.end


async def _store_anew(
    store: KeyStore, encryption: KeyEncryption, wanted: set[uuid.UUID], progress: Progress
) -> int:
    """A second reading, so that never more than one batch of wrapped keys is in memory."""
    count, total = 0, len(wanted)
    async for batch in store.read({}):
        records = {
            record.key_id: record
            for _, record in batch.records
            if record.value is not None and record.key_id in wanted
        }
        wanted -= set(records)
        await asyncio.gather(*(store.put(_under_current(encryption, one)) for one in records.values()))
        count += len(records)
        if records:
            progress(count, total)
    return count


def _under_current(encryption: KeyEncryption, record: KeyRecord) -> KeyRecord:
    raw = raw_key(encryption, record)
    key = DataKey(key_id=record.key_id, subject=record.subject, cipher=AESGCM(raw))
    return wrapped_record(encryption, key, raw)
