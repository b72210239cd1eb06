"""One partition's commands on their way into the log, many at a time and in order.

A commit chains on the one before it without waiting for its acknowledgement. An acknowledgement with exactly
the expected offset means that nobody came between. Any other outcome is unknown, and voids what followed: the
log is read to its end and every commit that was sent is looked for; those that are not there are decided again
on the new state, in order, under the same id. It is never guessed.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from domain.aggregate import AnyAggregate
from eventstore.chain import Counted
from eventstore.command import Answered, Command, Outcome, Sent, Unchanging, decided
from eventstore.commit import Commit, Position, encode, hash_record, new_commit_id
from eventstore.draft import Done, Draft
from eventstore.errors import (
    AppendUnknownError,
    BasisMovedError,
    CorruptLogError,
    MissingStreamError,
    OverloadedError,
    UnavailableError,
)
from eventstore.facts import seal_events
from eventstore.keyring import Keyring
from eventstore.log import Log
from eventstore.partition import Partition
from eventstore.stream_cache import Entry
from runtime.clock import Clock

_OUT_OF_TIME = "the log did not answer in time"
_RETRY_SECONDS = 0.05
_TURNS = 16
"""So many decisions in a row before others on the event loop have a turn."""


class Lane:
    """`max_open` bounds the commands that are not answered yet, `max_in_flight` those that are sent."""

    def __init__(
        self,
        partition: Partition,
        log: Log,
        keyring: Keyring,
        clock: Clock,
        *,
        max_open: int,
        max_in_flight: int,
    ) -> None:
        self.partition = partition
        self._log = log
        self._keyring = keyring
        self._clock = clock
        self._max_open = max_open
        self._max_in_flight = max_in_flight
        self._waiting: deque[Command] = deque()
        self._in_flight: deque[Sent] = deque()
        self._ahead: dict[str, Entry] = {}
        """Streams as they will be once everything in flight counts."""
        self._unchanging: list[Unchanging] = []
        self._missing: list[tuple[Command, MissingStreamError]] = []
        self._open: dict[Command, None] = {}
        self._is_certain = False
        """False before the first read, and from a doubtful append until its fate was read."""
        self._moved = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # What decisions see.

    @property
    def position(self) -> Position:
        return self._in_flight[-1].position if self._in_flight else self.partition.position

    def aggregate(self, stream: str) -> AnyAggregate:
        return self.partition.aggregate(stream)

    def entry(self, stream: str) -> Entry | None:
        return self._ahead.get(stream) or self.partition.entry(stream)

    def require(self, stream: str) -> Entry:
        entry = self.entry(stream)
        if entry is None:
            raise MissingStreamError(stream)
        return entry

    # Commands come.

    def submit(self, command: Command) -> None:
        """Take the command in. OverloadedError, for it or for another's newest, if too many wait already."""
        self.partition.require_running()
        if len(self._open) >= self._max_open:
            self._shed(command)
        self._open[command] = None
        command.outcome.add_done_callback(lambda outcome: self._close(command, outcome))
        self._waiting.append(command)
        self._run("work", self._work)

    def doubt(self) -> None:
        """Believe nothing until the log was read again."""
        self._is_certain = False
        self._moved.set()
        self._run("work", self._work)

    @property
    def open_commands(self) -> int:
        return len(self._open)

    @property
    def outcomes(self) -> Sequence["asyncio.Future[Done[Any]]"]:
        """Of the commands that are not answered yet."""
        return [command.outcome for command in self._open]

    def _close(self, command: Command, outcome: "asyncio.Future[Done[Any]]") -> None:
        self._open.pop(command, None)
        if not outcome.cancelled():
            outcome.exception()

    async def close(self) -> None:
        """Stop at once. Whoever wants open commands to end first waits for them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _shed(self, newcomer: Command) -> None:
        """The stream with the most open commands gives up its newest one that was not begun."""
        load = Counter(command.stream for command in self._open)
        load[newcomer.stream] += 1
        heaviest, most = load.most_common(1)[0]
        error = OverloadedError(f"{len(self._open)} commands wait for partition {self.partition.number}")
        if load[newcomer.stream] < most:
            for command in reversed(self._waiting):
                if command.stream == heaviest and not command.sent:
                    command.fail(error)
                    return
        raise error

    def _run(self, name: str, work: Any) -> None:
        """Start the named task unless it runs."""
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.get_running_loop().create_task(work())
            self._tasks[name].add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A task that broke is a bug: whoever waits is told, and nothing is believed any more."""
        if task.cancelled() or task.exception() is None:
            return
        self._is_certain = False
        for command in list(self._open):
            command.drop("a lane broke")
        task.get_loop().call_exception_handler({"message": "a lane broke", "exception": task.exception()})

    # Commands are decided and sent, one after the other.

    async def _work(self) -> None:
        turns = 0
        while self._waiting or (not self._is_certain and (self._in_flight or self._unchanging)):
            self._moved.clear()
            if not self._is_certain:
                await self._resolve()
            elif len(self._in_flight) >= self._max_in_flight:
                await self._moved.wait()
            else:
                await self._decide(self._waiting.popleft())
                turns += 1
                if turns % _TURNS == 0:
                    await asyncio.sleep(0)

    async def _decide(self, command: Command) -> None:
        if command.is_over:
            command.drop(_OUT_OF_TIME)
            return
        draft = Draft(self, max(self._clock(), self._last_at()))
        try:
            outcome = decided(command.decide, draft)
            if isinstance(outcome, Answered) and draft.events:
                await self._send(command, draft, outcome)
            elif command.last_sent_seq > self.position.seq:
                await self._wait_for_void(command)
            else:
                self._confirm(command, outcome)
        except MissingStreamError as missing:
            self._missing.append((command, missing))
            self._run("load", self._load)
        except Exception as bug:  # noqa: BLE001  # a decision's bug is its caller's; the lane goes on
            command.fail(bug)

    async def _wait_for_void(self, command: Command) -> None:
        """What was sent for this command may still arrive and count, so nothing else may be answered yet."""
        self._waiting.append(command)
        self._is_certain = False
        await asyncio.sleep(_RETRY_SECONDS)

    def _last_at(self) -> datetime:
        return self._in_flight[-1].at if self._in_flight else self.partition.last_at

    async def _send(self, command: Command, draft: Draft, outcome: Answered) -> None:
        head = self.partition.head
        position = draft.position
        command.commit_id = command.commit_id or new_commit_id(draft.at)
        commit = Commit(
            v=1,
            seq=position.seq,
            prev=self._in_flight[-1].hash if self._in_flight else head.hash,
            commit=command.commit_id,
            at=draft.at,
            actor=command.origin.actor,
            trace=command.origin.trace,
            events=seal_events(self._keyring, draft.events, draft.at),
        )
        key, value = draft.events[0][0].encode(), encode(commit)
        record_hash = hash_record(key, value)
        changed = dict(draft.changed)
        sent = Sent(command=command, position=position, hash=record_hash, at=draft.at, changed=changed)
        command.sent[record_hash] = outcome.reply
        command.last_sent_seq = max(command.last_sent_seq, position.seq)
        self._in_flight.append(sent)
        self._ahead.update(changed)
        try:
            acknowledged = await self._log.send(self.partition.number, key, value)
        except AppendUnknownError:
            self.doubt()
        except BaseException:
            self.doubt()
            raise
        else:
            acknowledged.add_done_callback(lambda answer: self._acknowledged(sent, answer))

    # Acknowledgements come.

    def _acknowledged(self, sent: Sent, answer: "asyncio.Future[int]") -> None:
        if answer.cancelled() or answer.exception() is not None:
            if sent in self._in_flight:
                self.doubt()
            return
        sent.offset = answer.result()
        while self._is_certain and self._in_flight and self._in_flight[0].offset is not None:
            self._count(self._in_flight[0], self._in_flight[0].offset)
        self._answer_unchanging()
        self._moved.set()

    def _count(self, sent: Sent, offset: int) -> None:
        """The oldest commit in flight was acknowledged: it counts if nobody came between."""
        expected = self.partition.head.next_offset
        if offset != expected:
            if 0 <= offset < expected:
                reason = f"the log wrote before offset {expected}, which was read before"
                self._halt(offset, reason)
            self.doubt()
            return
        self._in_flight.popleft()
        self.partition.extend(offset, sent.position.seq, sent.hash, sent.at, sent.changed)
        for stream, entry in sent.changed.items():
            if self._ahead.get(stream) is entry:
                del self._ahead[stream]
        sent.command.finish(sent.command.sent[sent.hash], sent.position)

    # Answers that append nothing.

    def _confirm(self, command: Command, outcome: Outcome) -> None:
        """Such an answer may be given only if the log has nothing that it did not see."""
        basis_end = self.partition.head.next_offset + len(self._in_flight)
        self._unchanging.append(
            Unchanging(command=command, outcome=outcome, position=self.position, basis_end=basis_end)
        )
        self._run("ask", self._ask_end)

    async def _ask_end(self) -> None:
        """Where the log ends now, for all that were decided before it was asked."""
        while asking := [one for one in self._unchanging if one.end is None]:
            counted = self.partition.head.next_offset
            try:
                end = await self._log.end(self.partition.number, at_least=counted)
            except UnavailableError as error:
                failed = [one for one in self._unchanging if one in asking]
                self._unchanging = [one for one in self._unchanging if one not in asking]
                self._retry_or_fail([one.command for one in failed], error)
                continue
            for one in asking:
                one.end = max(end, one.basis_end)
            if end < counted:
                self._halt(end, f"the log ends before offset {counted}, read before")
            elif end > self.partition.head.next_offset + len(self._in_flight):
                self.doubt()
            self._answer_unchanging()

    def _answer_unchanging(self) -> None:
        if not self._is_certain:
            return
        counted = self.partition.head.next_offset
        remaining = []
        for one in self._unchanging:
            if one.end is None or one.end > counted:
                remaining.append(one)
            elif isinstance(one.outcome, Answered):
                one.command.finish(one.outcome.reply, one.position)
            else:
                one.command.fail(one.outcome)
        self._unchanging = remaining

    # Doubts are resolved by reading.

    async def _resolve(self) -> None:
        """Read what happened. Afterwards whatever is not answered waits, in its old order, to be decided again."""
        again = [sent.command for sent in self._in_flight] + [one.command for one in self._unchanging]
        self._in_flight.clear()
        self._ahead.clear()
        self._unchanging.clear()
        self._waiting.extendleft(reversed(again))
        looked_for = {record: command for command in self._open for record in command.sent}

        def notice(counted: Counted) -> None:
            command = looked_for.get(counted.hash)
            if command is not None:
                command.finish(command.sent[counted.hash], counted.position)

        try:
            await self.partition.catch_up(notice if looked_for else None)
        except BasisMovedError:
            return
        except UnavailableError as error:
            waiting = list(self._waiting)
            self._waiting.clear()
            self._retry_or_fail(waiting, error)
            await asyncio.sleep(_RETRY_SECONDS)
        except CorruptLogError as error:
            self._fail_all(error)
        else:
            self._is_certain = True

    def _retry_or_fail(self, commands: Iterable[Command], error: UnavailableError) -> None:
        """What was never sent was not begun. What was sent is looked for until its time is over."""
        for command in commands:
            if command.is_over:
                command.drop(_OUT_OF_TIME)
            elif command.sent:
                self._waiting.append(command)
                self.doubt()
            else:
                command.fail(error)

    def _halt(self, offset: int, reason: str) -> None:
        try:
            self.partition.halt(offset, reason)
        except CorruptLogError as error:
            self._fail_all(error)

    def _fail_all(self, error: CorruptLogError) -> None:
        self._is_certain = False
        for command in list(self._open):
            command.fail(CorruptLogError(error.partition, error.offset, error.reason))
        self._waiting.clear()
        self._in_flight.clear()
        self._ahead.clear()
        self._unchanging.clear()

    # What is not in memory is loaded beside the others' decisions.

    async def _load(self) -> None:
        while self._missing:
            missing, self._missing = self._missing, []
            commands = [command for command, _ in missing]
            streams = dict.fromkeys(error.stream for _, error in missing if error.subject is None)
            subjects = dict.fromkeys(error.subject for _, error in missing if error.subject is not None)
            try:
                await self.partition.load(list(streams))
                for subject in subjects:
                    await self._keyring.key_for(subject)
            except BasisMovedError:
                if self.partition.must_reload:
                    self.doubt()
            except UnavailableError as error:
                self._retry_or_fail(commands, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._waiting.extendleft(reversed(commands))
            self._run("work", self._work)
