"""An independent reading of a log: which records count, by the words of the design, and the states they fold to."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from domain.aggregates import AGGREGATES
from events.codec import WireEvent, decode
from events.streams import category_of
from eventstore.commit import Record
from eventstore.keyring import Keyring
from eventstore.sealing import key_id_of, place_of, unseal
from eventstore.stream_cache import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A commit that counts: its record, and its content as plain JSON."""

    seq: int
    hash: str
    commit: Mapping[str, Any]


def counting(records: Sequence[Record]) -> list[Line]:
    """The commits that extend the chain, the genesis not among them."""
    seq, head, lines = -1, "", []
    for record in records:
        key, value = record.key or b"", record.value or b""
        content = json.loads(value)
        if content["prev"] == head and content["seq"] == seq + 1:
            domain = b"chancery/log/v1\x00" + len(key).to_bytes(4, "big")
            head = (
                base64.urlsafe_b64encode(hashlib.sha256(domain + key + value).digest()).rstrip(b"=").decode()
            )
            seq += 1
            if seq > 0:
                lines.append(Line(seq=seq, hash=head, commit=content))
    return lines


async def folded(lines: Sequence[Line], keyring: Keyring, entries: dict[str, Entry]) -> list[str]:
    """Fold the commits into the entries; which streams do not number their events."""
    wrong = []
    for line in lines:
        at = msgspec.convert(line.commit["at"], type=datetime)
        for event in line.commit["events"]:
            stream, version = event["stream"], event["version"]
            aggregate = AGGREGATES[category_of(stream)]
            before = entries.get(stream) or Entry(aggregate.initial, 0, at)
            if version != before.version + 1:
                wrong.append(f"{stream} has event {version} after {before.version}")
            fact = decode(
                WireEvent(
                    type=event["type"],
                    rev=event["rev"],
                    data=event["data"],
                    personal=await _opened(keyring, event),
                )
            )
            entries[stream] = Entry(aggregate.evolve(before.state, fact), version, at)
    return wrong


async def _opened(keyring: Keyring, event: Mapping[str, Any]) -> dict[str, Any] | None:
    sealed = event.get("sealed")
    key = await keyring.find(key_id_of(sealed)) if sealed else None
    if key is None or not sealed:
        return None
    return unseal(key, sealed, place_of(event["stream"], event["version"], event["type"]))
