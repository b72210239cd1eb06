"""A public event, as a CloudEvent 1.0 in the Kafka binding's binary mode carries it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record of the topic as it is stored."""

    partition: int
    offset: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where an event stands among those of its partition: the commit's number, and the event's in the commit."""

    seq: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. `data` has the fields that the catalogue of public events lists for `type`.

    `subject` is whom it happened to, mostly an account's id. `sequence` counts the partition's events from 1.
    """

    partition: int
    place: Place
    sequence: int
    type: str
    subject: str
    source: str
    time: datetime
    data: Mapping[str, Any]
    trace: str = ""

    @property
    def id(self) -> str:
        return f"{self.partition}:{self.place.seq}:{self.place.number}"

    @property
    def position(self) -> str:
        """For `Chancery-Min-Position`, where the Query API is asked about what this event changed."""
        return f"{self.partition}:{self.place.seq}"


def parse_event(record: Record) -> Event | None:
    """None if the record is no event of this feed, whoever wrote it: such records are passed over."""
    try:
        texts = {name: value.decode() for name, value in record.headers}
        if texts["ce_specversion"] != "1.0":
            return None
        partition, seq, number = (int(text) for text in texts["ce_id"].split(":"))
        data = json.loads(record.value or b"")
        event = Event(
            partition=partition,
            place=Place(seq=seq, number=number),
            sequence=int(texts["ce_sequence"]),
            type=texts["ce_type"],
            subject=texts["ce_subject"],
            source=texts["ce_source"],
            time=datetime.fromisoformat(texts["ce_time"]),
            data=data,
            trace=texts.get("traceparent", ""),
        )
    except (KeyError, ValueError, AttributeError, RecursionError):  # a header may have no value
        return None
    return event if partition == record.partition and isinstance(data, dict) else None
