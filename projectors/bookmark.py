"""Finds the commit again that the last public event is from, and with it the place to read on."""

import msgspec

from events.public.envelope import Place
from eventstore.chain import Head
from eventstore.commit import Record, decode_commit, hash_record
from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.log import Log

_READ_SECONDS = 2.0


async def head_before(log: Log, partition: int, place: Place) -> Head:
    """The head right before the commit of a published event, so that the commit itself is read again.

    Where it was is tried first. A mirrored or restored log has it elsewhere, but never before the offset
    that its seq says, because every commit before it has a record. CorruptLogError if it is not there at all.
    """
    end = await log.end(partition, at_least=place.head.offset + 1)
    if place.head.offset < end:
        record = (await _read(log, partition, place.head.offset))[0]
        if _is_it(record, place):
            return _before(record, place)
    offset = place.seq
    while offset < end:
        for record in await _read(log, partition, offset):
            if _is_it(record, place):
                return _before(record, place)
            offset = record.offset + 1
    reason = (
        f"the public topic holds events up to commit {partition}:{place.seq}, which this log does not have: "
        "it is another log, or was restored from a backup that is older"
    )
    raise CorruptLogError(partition, end, reason)


async def _read(log: Log, partition: int, offset: int) -> tuple[Record, ...]:
    records = tuple(await log.read(partition, offset, wait_seconds=_READ_SECONDS))
    if not records:
        raise UnavailableError(f"partition {partition}, offset {offset} cannot be read")
    return records


def _is_it(record: Record, place: Place) -> bool:
    return (
        record.key is not None
        and record.value is not None
        and hash_record(record.key, record.value) == place.head.hash
    )


def _before(record: Record, place: Place) -> Head:
    assert record.value is not None
    try:
        commit = decode_commit(record.value)
    except msgspec.MsgspecError:
        raise CorruptLogError(record.partition, record.offset, "not a commit") from None
    if commit.seq != place.seq:
        raise CorruptLogError(record.partition, record.offset, f"not commit {place.seq}")
    return Head(seq=commit.seq - 1, hash=commit.prev, next_offset=record.offset)
