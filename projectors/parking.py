"""What happens to a fact that a projector cannot apply: its stream is set aside there, in order, and the others go on.

Parked are the fact and all later ones of its stream in that projector, until somebody retries them. Too many
parked streams halt the projector, because then the fault is not in the streams. What decides whether a token is
good never parks, it halts: a session that is not shown as ended must not look alive.
"""

from collections.abc import Sequence
from typing import NamedTuple

from eventstore.errors import CorruptLogError, UnavailableError
from eventstore.facts import RecordedFact
from eventstore.keyring import Keyring
from eventstore.log import Log
from projectors.follower import read_again
from projectors.keep_going import TRY_AGAIN, OutrunError, place_of_bug
from projectors.projector import Projector
from readmodels.checkpoints import lock_checkpoint
from readmodels.parked_facts import (
    FactPlace,
    ParkedFact,
    blame,
    count_parked,
    park,
    parked_places,
    release,
)
from runtime.logs import get_logger
from runtime.postgres import Connection, Postgres, PostgresRejectedError

MOST_PARKED_STREAMS = 20
BEHIND = "waits behind another fact of its stream"
_TRIES = 5
_log = get_logger("projectors")

NOT_POISON = (*TRY_AGAIN, OutrunError, CorruptLogError)
"""Errors that say nothing of a fact. All others mean that it cannot be applied, by its own fault or by a bug's."""


class Placed(NamedTuple):
    """A fact and the offset of its commit's record."""

    fact: RecordedFact
    offset: int

    def parked(self, reason: str) -> ParkedFact:
        return ParkedFact(
            stream=self.fact.stream,
            partition=self.fact.position.partition,
            seq=self.fact.position.seq,
            number=self.fact.number,
            log_offset=self.offset,
            type=self.fact.event.type,
            reason=reason,
        )


async def apply_unparked(
    tx: Connection, projector: Projector, facts: Sequence[Placed], parked: set[str]
) -> None:
    """Apply what can be applied; what is of a parked stream joins it."""
    ready = [one.fact for one in facts if one.fact.stream not in parked]
    waiting = [one.parked(BEHIND) for one in facts if one.fact.stream in parked]
    if ready:
        await projector.apply(tx, ready)
    if waiting:
        await park(tx, projector.name, waiting)


async def apply_or_park(
    tx: Connection, projector: Projector, facts: Sequence[Placed], parked: set[str]
) -> None:
    """As `apply_unparked`, stream by stream: one that cannot be applied is parked and leaves no trace in the rows."""
    for stream in dict.fromkeys(one.fact.stream for one in facts):
        own = [one for one in facts if one.fact.stream == stream]
        try:
            async with tx.transaction() as part:
                await apply_unparked(part, projector, own, parked)
        except NOT_POISON:
            raise
        except Exception as error:
            if not projector.parks:
                raise
            reason = reason_of(error)
            await _require_room(tx, projector, own[0], reason)
            await park(
                tx,
                projector.name,
                [own[0].parked(reason), *(one.parked(BEHIND) for one in own[1:])],
            )
            position = str(own[0].fact.position)
            _log.error(
                "stream parked", projector=projector.name, stream=stream, position=position, reason=reason
            )


async def retry(
    postgres: Postgres, log: Log, keyring: Keyring, projector: Projector, stream: str
) -> str | None:
    """Apply a parked stream's facts, all or none; None if that is done, else why it is not.

    UnavailableError if the log cannot be read, or if the stream grows faster than it can be read.
    """
    for _ in range(_TRIES):
        async with postgres.connection() as connection:
            places = await parked_places(connection, projector.name, stream)
        facts = [await _fact_at(log, keyring, projector, place, stream) for place in places]
        if not facts:
            return None
        async with postgres.transaction() as tx:
            await lock_checkpoint(tx, projector.name, places[0].partition)
            if await parked_places(tx, projector.name, stream) != places:
                continue
            try:
                async with tx.transaction() as part:
                    await projector.apply(part, facts)
            except NOT_POISON:
                raise
            except Exception as error:  # noqa: BLE001  # it is told, and the stream stays where it is
                reason = reason_of(error)
                await blame(tx, projector.name, stream, reason)
                return reason
            await release(tx, projector.name, stream)
            return None
    raise UnavailableError(f"{stream} grows faster than it can be read; try again")


def reason_of(error: Exception) -> str:
    """Without the texts of bugs, which may quote personal data."""
    if isinstance(error, PostgresRejectedError):
        return str(error)
    return f"a bug: {type(error).__name__} in {place_of_bug(error)}"


async def _fact_at(
    log: Log, keyring: Keyring, projector: Projector, place: FactPlace, stream: str
) -> RecordedFact:
    where = (place.partition, place.log_offset, place.seq)
    for fact in await read_again(log, keyring, *where, projector.handles):
        if (fact.number, fact.stream) == (place.number, stream):
            return fact
    raise CorruptLogError(place.partition, place.log_offset, f"fact {place.number} of {stream} is not there")


async def _require_room(tx: Connection, projector: Projector, first: Placed, reason: str) -> None:
    if await count_parked(tx, projector.name) >= MOST_PARKED_STREAMS:
        raise CorruptLogError(
            first.fact.position.partition,
            first.offset,
            f"{projector.name} has parked {MOST_PARKED_STREAMS} streams already; the next one: {reason}",
        )
