"""Between facts and what a commit stores: sealing on the way in, unsealing on the way out."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from events import codec
from events.codec import WireEvent
from events.fact import Event
from events.streams import category_of
from eventstore.chain import Counted
from eventstore.commit import Actor, Position, SealedEvent
from eventstore.errors import MissingStreamError
from eventstore.keyring import Keyring
from eventstore.sealing import Box, DataKey, box_of, place_of, seal, unseal


class RecordedFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in its place: the stream it belongs to, its version there, when, where and by whom it was committed.

    `number` is its place in the commit, from 0; `trace` is the traceparent of the request, or empty.
    """

    stream: str
    version: int
    event: Event
    at: datetime
    position: Position
    number: int
    actor: Actor
    trace: str


def seal_events(
    keyring: Keyring, events: Iterable[tuple[str, int, Event]], at: datetime
) -> tuple[SealedEvent, ...]:
    """What a commit stores for (stream, version, event) triples. MissingStreamError without a data key at hand."""
    return tuple([_seal_event(keyring, stream, version, event, at) for stream, version, event in events])


def _all(_: SealedEvent) -> bool:
    return True


def read_commit(
    counted: Counted, is_wanted: Callable[[SealedEvent], bool] = _all
) -> tuple[RecordedFact, ...]:
    """The wanted facts of a commit that counts, for a reader without keys: what is sealed reads as None."""
    wanted = [(number, event) for number, event in enumerate(counted.commit.events) if is_wanted(event)]
    return tuple([_read_event(counted, number, event, None) for number, event in wanted])


async def open_commit(
    keyring: Keyring, counted: Counted, is_wanted: Callable[[SealedEvent], bool] = _all
) -> tuple[RecordedFact, ...]:
    """The wanted facts of a commit that counts. What was sealed under an erased key reads as None."""
    return (await open_commits(keyring, (counted,), is_wanted))[0]


async def open_commits(
    keyring: Keyring, commits: Sequence[Counted], is_wanted: Callable[[SealedEvent], bool] = _all
) -> Sequence[tuple[RecordedFact, ...]]:
    """As `open_commit`, for many at once."""
    wanted = [
        [
            (number, event, box_of(event.sealed) if event.sealed else None)
            for number, event in enumerate(counted.commit.events)
            if is_wanted(event)
        ]
        for counted in commits
    ]
    key_ids = {box.key_id for events in wanted for *_, box in events if box is not None}
    keys = await keyring.find_all(key_ids) if key_ids else {}
    return [
        tuple(
            [
                _read_event(counted, number, event, None if box is None else _unsealed(keys, event, box))
                for number, event, box in events
            ]
        )
        for counted, events in zip(commits, wanted, strict=True)
    ]


def subject_of(stream: str, at: datetime) -> str:
    """Whose data key seals this stream. Kept answers share one key a day, so that it can be dropped whole."""
    return f"answers-{at:%Y-%m-%d}" if category_of(stream) == "answer" else stream


def _seal_event(keyring: Keyring, stream: str, version: int, event: Event, at: datetime) -> SealedEvent:
    wire = codec.encode(event)
    sealed = ""
    if wire.personal is not None:
        subject = subject_of(stream, at)
        key = keyring.cached(subject)
        if key is None:
            raise MissingStreamError(stream, subject)
        sealed = seal(key, wire.personal, place_of(stream, version, wire.type))
    return SealedEvent(
        stream=stream, version=version, type=wire.type, rev=wire.rev, data=wire.data, sealed=sealed
    )


def _unsealed(
    keys: Mapping[uuid.UUID, DataKey | None], event: SealedEvent, box: Box
) -> dict[str, Any] | None:
    """Without a key what is sealed reads as erased."""
    key = keys[box.key_id]
    if key is None:
        return None
    return unseal(key, box, place_of(event.stream, event.version, event.type))


def _read_event(
    counted: Counted, number: int, event: SealedEvent, personal: dict[str, Any] | None
) -> RecordedFact:
    return RecordedFact(
        stream=event.stream,
        version=event.version,
        event=codec.decode(WireEvent(type=event.type, rev=event.rev, data=event.data, personal=personal)),
        at=counted.commit.at,
        position=counted.position,
        number=number,
        actor=counted.commit.actor,
        trace=counted.commit.trace,
    )
