"""What a public record says beside its data: CloudEvents 1.0 in the Kafka binding's binary mode, as headers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

CONTENT_TYPE = "application/json"
HEAD = "chancery_head"
_SEQUENCE_DIGITS = 20
"""A CloudEvents `sequence` sorts as text, so it has leading zeros: as many digits as 2**64 has."""

HEADERS: Mapping[str, str] = {
    "ce_specversion": "`1.0`",
    "ce_id": "`partition:seq:n` of the fact: its commit, and its number in there from 0. The same fact keeps its id for ever",
    "ce_source": "`urn:chancery:log:<uuid>`, the log that it is from",
    "ce_type": "what happened, e.g. `chancery.session.started.v1`",
    "ce_subject": "whom it happened to: an account's id, a client's, or a key's `kid`",
    "ce_time": "when, RFC 3339 in UTC. It never runs backwards within a partition, but take no order from it",
    "ce_dataschema": "the name of the data's JSON Schema, which is its `$id`",
    "ce_position": "`partition:seq` of the commit, as `Chancery-Position` gives it and `Chancery-Min-Position` takes it",
    "ce_partitionkey": "the record's key: the same as `ce_subject`",
    "ce_sequence": "counts the events of a partition from 1, in 20 digits, without a gap",
    "content-type": "`application/json`",
    "traceparent": "W3C trace context of the command, if it had one",
    HEAD: "the relay's own bookmark; of no use to subscribers",
}
OPTIONAL_HEADERS = frozenset({"traceparent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """Where the event's commit was found in the private log, and the hash that its record has there."""

    offset: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    log_id: str
    partition: int
    seq: int
    number: int
    """Of the event in its commit, from 0."""
    sequence: int
    type: str
    dataschema: str
    subject: str
    at: datetime
    trace: str
    head: Bookmark


def render(envelope: Envelope) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record."""
    position = f"{envelope.partition}:{envelope.seq}"
    texts = {
        "ce_specversion": "1.0",
        "ce_id": f"{position}:{envelope.number}",
        "ce_source": source_of(envelope.log_id),
        "ce_type": envelope.type,
        "ce_subject": envelope.subject,
        "ce_time": msgspec.to_builtins(envelope.at),
        "ce_dataschema": envelope.dataschema,
        "ce_position": position,
        "ce_partitionkey": envelope.subject,
        "ce_sequence": f"{envelope.sequence:0{_SEQUENCE_DIGITS}}",
        "content-type": CONTENT_TYPE,
        "traceparent": envelope.trace,
        HEAD: f"{envelope.head.offset}:{envelope.head.hash}",
    }
    return tuple((name, text.encode()) for name, text in texts.items() if text)


def source_of(log_id: str) -> str:
    return f"urn:chancery:log:{log_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which event a public record holds, and what the relay needs to go on after it."""

    seq: int
    number: int
    sequence: int
    source: str
    head: Bookmark

    @property
    def order(self) -> tuple[int, int]:
        """Events of a partition and log stand in this order."""
        return self.seq, self.number


def parse_place(partition: int, headers: Sequence[tuple[str, bytes]]) -> Place | None:
    """None if the record is none of the relay's in this partition."""
    try:
        texts = {name: value.decode() for name, value in headers}
        number_of, seq, number = (int(text) for text in texts["ce_id"].split(":"))
        if number_of != partition:
            return None
        sequence, source = int(texts["ce_sequence"]), texts["ce_source"]
        offset, record_hash = texts[HEAD].split(":")
        head = Bookmark(offset=int(offset), hash=record_hash)
    except (KeyError, ValueError, AttributeError):  # a header may have no value
        return None
    return Place(seq=seq, number=number, sequence=sequence, source=source, head=head)


def headers_schema() -> dict[str, Any]:
    """The headers as a JSON Schema, for the AsyncAPI document."""
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": text} for name, text in HEADERS.items() if name != HEAD
        },
        "required": [name for name in HEADERS if name not in {*OPTIONAL_HEADERS, HEAD}],
    }
