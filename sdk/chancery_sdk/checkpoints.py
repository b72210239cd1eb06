"""The port to a subscriber's own memory: how far it came, and which events it could not handle."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from chancery_sdk.events import Event, Place

Tx = TypeVar("Tx")


class OutrunError(Exception):
    """The stored checkpoint is not the one that was left there: somebody else went on from it."""


class StoreUnavailableError(Exception):
    """The subscriber's store does not answer. Nothing was lost: what was not committed is handled again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The last event that was handled, and the offset to read on from.

    `source` is empty before the first one. Then `place` is None if the very first event must come next, else what
    lies up to there is passed over.
    """

    source: str = ""
    place: Place | None = None
    sequence: int = 0
    next_offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that its handler refused, or that waits behind one of the same subject."""

    event: Event
    reason: str
    tries: int


class NoDeadLettersError(Exception):
    """An event was refused again and again, and this store has no place where it could wait. Its partition halts."""


class Checkpoints(Protocol[Tx]):
    """What is done in one transaction counts together or not at all, if the store can take back what handlers did."""

    @property
    def takes_back(self) -> bool:
        """Whether what a handler did in a transaction that failed never happened.

        If not, a checkpoint is stored only after the handlers of all events before it have returned.
        """
        ...

    def require_room(self, partitions: int) -> None:
        """ValueError, with what to change, if so many partitions cannot be followed at once."""
        ...

    def turn(self, partition: int) -> AbstractAsyncContextManager[None]:
        """Wait until this process has the partition. It saves double work; what counts is `advance`.

        It is not asked for where a group shares the partitions.
        """
        ...

    def transaction(self) -> AbstractAsyncContextManager[Tx]: ...

    async def load(self, partition: int) -> Checkpoint | None: ...

    async def advance(self, tx: Tx, partition: int, before: Checkpoint | None, after: Checkpoint) -> None:
        """OutrunError if what is stored is not `before`."""
        ...

    async def dead_subjects(self, tx: Tx, partition: int) -> set[str]:
        """Whose events wait: all that come later have to wait too, to stay in order."""
        ...

    async def bury(self, tx: Tx, letter: DeadLetter) -> None:
        """NoDeadLettersError if nothing can be kept."""
        ...

    async def blame(self, tx: Tx, letter: DeadLetter) -> None:
        """Another reason and number of tries for one that is buried; nothing if it is not any more."""
        ...

    async def dead_letters(self, tx: Tx, partition: int | None = None) -> Sequence[DeadLetter]:
        """In the order of the feed, locked until the transaction ends."""
        ...

    async def forget(self, tx: Tx, event: Event) -> None:
        """A dead letter is handled in this transaction. OutrunError if somebody else did it."""
        ...
