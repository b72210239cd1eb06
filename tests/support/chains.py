"""Hand-made records of a chain, good and bad."""

from datetime import UTC, datetime

from eventstore.chain import Head
from eventstore.commit import Actor, Commit, Genesis, Record, SealedEvent, encode, hash_record

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
LOG_ID = "00000000-0000-4000-8000-000000000000"
KEY = b"account-aa"


def genesis(partition: int = 0, partitions: int = 1) -> Record:
    value = encode(Genesis.of(log_id=LOG_ID, partition=partition, partitions=partitions, at=AT))
    return Record(partition=partition, offset=0, key=b"genesis", value=value)


def commit_after(head: Head, name: str = "c", partition: int = 0, events: int = 1) -> Record:
    """A record that extends the chain at `head`."""
    stored = tuple(
        SealedEvent(stream=f"{name}-aa", version=n + 1, type="identifier.code_rejected", rev=1, data={})
        for n in range(events)
    )
    commit = Commit(
        v=1,
        seq=head.seq + 1,
        prev=head.hash,
        commit=name,
        at=AT,
        actor=Actor(kind="system"),
        trace="",
        events=stored,
    )
    return Record(
        partition=partition, offset=head.next_offset, key=f"{name}-aa".encode(), value=encode(commit)
    )


def head_after(record: Record, seq: int) -> Head:
    assert record.key is not None
    assert record.value is not None
    return Head(seq=seq, hash=hash_record(record.key, record.value), next_offset=record.offset + 1)
