"""Between facts and what a commit stores: sealing on the way in, unsealing on the way out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from events import codec
from events.codec import WireEvent
from events.fact import Event
from events.streams import category_of
from eventstore.chain import Counted
from eventstore.commit import Commit, Position, SealedEvent
from eventstore.keyring import Keyring
from eventstore.sealing import key_id_of, place_of, seal, unseal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFact:
    """A fact in its place: the stream it belongs to, its number there, when and where it was committed."""

    stream: str
    version: int
    event: Event
    at: datetime
    position: Position


async def seal_events(
    keyring: Keyring, events: Iterable[tuple[str, int, Event]], at: datetime
) -> tuple[SealedEvent, ...]:
    """What a commit stores for (stream, version, event) triples. Missing data keys are stored first."""
    return tuple(
        [await _seal_event(keyring, stream, version, event, at) for stream, version, event in events]
    )


async def open_commit(keyring: Keyring, counted: Counted) -> tuple[RecordedFact, ...]:
    """The facts of a commit that counts. What was sealed under an erased key reads as None."""
    commit = counted.commit
    return tuple([await _open_event(keyring, event, commit, counted.position) for event in commit.events])


def subject_of(stream: str, at: datetime) -> str:
    """Whose data key seals this stream. Kept answers share one key a day, so that it can be dropped whole."""
    return f"answers-{at:%Y-%m-%d}" if category_of(stream) == "answer" else stream


async def _seal_event(keyring: Keyring, stream: str, version: int, event: Event, at: datetime) -> SealedEvent:
    wire = codec.encode(event)
    sealed = ""
    if wire.personal is not None:
        key = await keyring.key_for(subject_of(stream, at))
        sealed = seal(key, wire.personal, place_of(stream, version, wire.type))
    return SealedEvent(
        stream=stream, version=version, type=wire.type, rev=wire.rev, data=wire.data, sealed=sealed
    )


async def _open_event(
    keyring: Keyring, event: SealedEvent, commit: Commit, position: Position
) -> RecordedFact:
    personal = None
    if event.sealed:
        key = await keyring.find(key_id_of(event.sealed))
        if key is not None:
            personal = unseal(key, event.sealed, place_of(event.stream, event.version, event.type))
    fact = codec.decode(WireEvent(type=event.type, rev=event.rev, data=event.data, personal=personal))
    return RecordedFact(
        stream=event.stream, version=event.version, event=fact, at=commit.at, position=position
    )
