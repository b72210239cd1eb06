"""What a decision sees and says, where it comes from, and what became of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from domain.aggregate import AnyAggregate
from events.fact import Event
from eventstore.commit import Actor, Position
from eventstore.stream_cache import Entry

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a commit says about where it comes from. A commit id is set where a request may be repeated."""

    actor: Actor
    trace: str = ""
    commit_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[R]):
    """What the decision answered, and the position that it stands at or was based on."""

    reply: R
    position: Position


class View(Protocol):
    """A partition as a decision sees it: every stream in the state at one position."""

    @property
    def position(self) -> Position: ...

    def aggregate(self, stream: str) -> AnyAggregate: ...

    def require(self, stream: str) -> Entry:
        """The stream's entry; MissingStreamError if it has to be loaded first."""
        ...


class Draft:
    """A decision under way: a view of its partition, and the events that it has said so far, not stored yet."""

    def __init__(self, view: View, at: datetime) -> None:
        self._view = view
        self._changed: dict[str, Entry] = {}
        self.events: list[tuple[str, int, Event]] = []
        self.at = at

    @property
    def position(self) -> Position:
        """Where the decision will stand: the next commit's place, or the head's if it changes nothing."""
        head = self._view.position
        return Position(partition=head.partition, seq=head.seq + 1) if self.events else head

    @property
    def changed(self) -> Mapping[str, Entry]:
        """The streams that the events belong to, as they will be after them."""
        return self._changed

    def state(self, stream: str) -> Any:
        return self._entry(stream).state

    def decide(self, stream: str, command: Any) -> tuple[Event, ...]:
        """Let the stream's aggregate decide; its events join the commit and are folded at once."""
        aggregate = self._view.aggregate(stream)
        entry = self._entry(stream)
        events = aggregate.decide(entry.state, command)
        for event in events:
            state = aggregate.evolve(entry.state, event)
            entry = Entry(state, entry.version + 1, self.at, entry.json_bytes)
            self.events.append((stream, entry.version, event))
            self._changed[stream] = entry
        return events

    def discard(self) -> None:
        """Take back everything said so far."""
        self.events.clear()
        self._changed.clear()

    def _entry(self, stream: str) -> Entry:
        return self._changed.get(stream) or self._view.require(stream)


Decide = Callable[[Draft], R]
