"""Bugs that the simulation must find, each as the change to the code that would make it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from command_api import executor
from command_api.calls import Doubt
from domain.account_commands import Refresh
from domain.refusals import InvalidGrant
from events.account import RefreshReused
from eventstore.chain import ChainReader, Counted
from eventstore.command import Answered, Command, Outcome, Sent
from eventstore.commit import Actor, Record, decode_link
from eventstore.draft import Draft, Origin
from eventstore.errors import TryAgainError, UnavailableError
from eventstore.facts import RecordedFact
from eventstore.lane import Lane
from eventstore.partition import Notice, Partition
from eventstore.snapshots import Checkpoint, MemorySnapshots, Snapshot
from eventstore.stream_cache import Entry
from tests.simulation.operations import GRACE, Answer, LocatedRefusal, Present
from tests.simulation.replica import Replica
from tests.support.examples import IDLE

Replacement = tuple[Any, str, Any]
"""An owner, the name of what it has, and what takes its place."""
_BEGINNING = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    name: str
    replacements: Sequence[Replacement]


@contextlib.contextmanager
def sown(bug: Bug | None) -> Iterator[None]:
    """The code has the bug while the block runs."""
    with contextlib.ExitStack() as healing:
        for owner, name, value in bug.replacements if bug else ():
            inherited = name not in vars(owner)
            undo = (delattr, owner, name) if inherited else (setattr, owner, name, vars(owner)[name])
            healing.callback(*undo)
            setattr(owner, name, value)
        yield


_send, _count, _catch_up = Lane._send, Lane._count, Partition.catch_up
_resolve, _confirm, _folded = Lane._resolve, Lane._confirm, Partition._folded


async def _answer_before_acknowledgement(
    lane: Lane, command: Command, draft: Draft, outcome: Answered
) -> None:
    await _send(lane, command, draft, outcome)
    command.finish(outcome.reply, draft.position)


def _trust_any_acknowledgement(lane: Lane, sent: Sent, _: int) -> None:
    _count(lane, sent, lane.partition.head.next_offset)


async def _look_for_nothing(partition: Partition, _: Notice | None = None) -> None:
    await _catch_up(partition, None)


async def _check_then_mark(present: Present, replica: Replica, trace: str) -> Answer:
    """Whether the token is the newest is looked up first; the commit then only writes its successor."""
    session_id = present.who.person.session_id
    session = (await replica.writer.state(present.target)).sessions.get(session_id)
    is_newest = session is not None and session.generation == present.generation

    def decide(draft: Draft) -> dict[str, Any]:
        if session_id not in draft.state(present.target).sessions:
            raise LocatedRefusal(InvalidGrant(), draft.position)
        present_session = draft.state(present.target).sessions.get(session_id)
        generation = present_session.generation if is_newest and present_session else present.generation
        refresh = Refresh(session_id=session_id, generation=generation, grace=GRACE, idle=IDLE, at=draft.at)
        (event, *_) = draft.decide(present.target, refresh) or (None,)
        if isinstance(event, RefreshReused):
            return {"stolen": True}
        return {"generation": draft.state(present.target).sessions[session_id].generation}

    origin = Origin(actor=Actor(kind="system"), trace=trace)
    try:
        done = await replica.writer.transact(present.target, decide, origin)
    except LocatedRefusal as located:
        return {"refused": located.refusal.code}, located.position
    return done.reply, done.position


async def _save_without_comparing(
    store: MemorySnapshots,
    partition: int,
    _: Checkpoint | None,
    after: Checkpoint,
    snapshots: Sequence[Snapshot],
) -> bool:
    return await _save(store, partition, store._checkpoints.get(partition), after, snapshots)


_save = MemorySnapshots.save


def _believe_any_row(partition: Partition, found: Checkpoint | None, known: Checkpoint | None) -> None:
    partition._checkpoint = found


async def _checkpoint_after_rows(partition: Partition) -> None:
    """The checkpoint is taken when the rows are ready, and not when they were chosen."""
    async with partition._flushing:
        if partition.must_reload or partition.halted or partition.unsaved_commits == 0:
            return
        before, changed = partition._checkpoint, dict(partition._cache.changed)
        rows = await partition._rows(changed)
        await partition._snapshots.load(partition.number, ())
        after = partition._checkpoint_now()
        if await partition._snapshots.save(partition.number, before, after, rows):
            partition._checkpoint = after
            for row in rows:
                partition._cache.saved(row.stream, changed[row.stream])


async def _keep_what_was_void(lane: Lane) -> None:
    ahead = dict(lane._ahead)
    await _resolve(lane)
    lane._ahead.update(ahead)


def _fold_by_clock(partition: Partition, offset: int, entry: Entry, fact: RecordedFact) -> Entry:
    """The last writer wins, by its own clock."""
    folded = _folded(partition, offset, entry, fact)
    return folded if fact.at >= entry.at else Entry(entry.state, fact.version, entry.at)


def _answer_unread(lane: Lane, command: Command, outcome: Outcome) -> None:
    """What changes nothing is answered from memory; only a catch-up, which answers nothing, reads the log."""
    if not isinstance(outcome, Answered):
        command.fail(outcome)
    elif outcome.reply is None:
        _confirm(lane, command, outcome)
    else:
        command.finish(outcome.reply, lane.position)


def _ignore_prev(reader: ChainReader, record: Record) -> Counted | None:
    """Only the number is compared."""
    assert record.key is not None
    assert record.value is not None
    link = decode_link(record.value)
    if link.seq != reader.head.seq + 1:
        reader._void(record)
        return None
    return reader._extend(record, record.key, record.value, link)


def _call_it_nothing(command: Command, reason: str) -> None:
    command.fail(UnavailableError(reason))


async def _adopt_unread(partition: Partition, checkpoint: Checkpoint, notice: Notice) -> None:
    """What others folded is not looked at, though somebody looks for a commit of his."""


def _forget_kept_answer(*_: Any) -> None:
    return None


def _certain(_: Doubt, error: TryAgainError) -> TryAgainError:
    """Whoever else had the call is forgotten."""
    return error


def _ignore_seq(_: Command, __: int) -> None:
    """How far what was sent for the command could still reach is not noted."""


def _bug(name: str, *replacements: Replacement) -> Bug:
    return Bug(name=name, replacements=replacements)


BUGS = {
    bug.name: bug
    for bug in (
        _bug("answer-before-acknowledgement", (Lane, "_send", _answer_before_acknowledgement)),
        _bug("trust-any-acknowledgement", (Lane, "_count", _trust_any_acknowledgement)),
        _bug("never-look-for-own-commit", (Partition, "catch_up", _look_for_nothing)),
        _bug("skip-own-commit-when-adopting", (Partition, "_read_over", _adopt_unread)),
        _bug("check-then-mark-refresh", (Present, "transact", _check_then_mark)),
        _bug("save-without-comparing", (MemorySnapshots, "save", _save_without_comparing)),
        _bug("row-of-any-checkpoint", (Partition, "_follow", _believe_any_row)),
        _bug("checkpoint-newer-than-its-rows", (Partition, "flush", _checkpoint_after_rows)),
        _bug("keep-what-was-void", (Lane, "_resolve", _keep_what_was_void)),
        _bug(
            "order-by-clock",
            (Partition, "_folded", _fold_by_clock),
            (Lane, "_last_at", lambda _: _BEGINNING),
        ),
        _bug("answer-without-reading", (Lane, "_confirm", _answer_unread)),
        _bug("reader-ignores-prev", (ChainReader, "admit", _ignore_prev)),
        _bug("unknown-called-nothing", (Command, "drop", _call_it_nothing)),
        _bug(
            "forget-what-may-still-arrive",
            (Command, "last_sent_seq", property(lambda _: -1, _ignore_seq)),
        ),
        _bug("forget-who-else-had-the-call", (Doubt, "weighed", _certain)),
        _bug("forget-kept-answers", (executor, "kept_answer", _forget_kept_answer)),
    )
}
