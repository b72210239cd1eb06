"""Holds what was answered against the log, by rules 1 to 4, 6, 7 and 9 of the fault page; says what is wrong.

The log is read by `fold.counting` and understood by `Model`, which share no code with what they judge.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from domain.errands import Errands
from events.streams import account_stream, errands_stream
from eventstore.commit import Position
from eventstore.stream_cache import Entry
from tests.simulation.fold import Line, counting, folded
from tests.simulation.history import Attempt
from tests.simulation.model import Model
from tests.simulation.operations import Operation
from tests.simulation.states import disagreements
from tests.simulation.template import template
from tests.simulation.world import World

_CLAIM_OF_A_KEY = {"request.received"}


class Judge:
    """`found` is what is wrong; nothing if all is well."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._model = Model()
        self._partitions = world.schedule.partitions
        self._lines = [counting(world.shelf.log.records(number)) for number in range(self._partitions)]
        self._operations = world.operations
        self._attempts = world.history.attempts
        self._effects: defaultdict[str, list[Position]] = defaultdict(list)
        self._with_effect: set[str] = set()
        """Traces of commits, and what was forwarded counts for whoever forwarded it too."""
        self.found: list[str] = [*world.history.outrages, *world.loop.complaints]

    async def judge(self) -> None:
        for partition, lines in enumerate(self._lines):
            self._walk(partition, lines)
        self.found.extend(self._model.outrages)
        for name, attempts in self._attempts.items():
            self._judge_effects(name, attempts)
        self._judge_order()
        self._judge_ids()
        entries: dict[str, Entry] = {}
        for lines in self._lines:
            self.found.extend(await folded(lines, self._world.shelf.topic.keyring(), entries))
        self.found.extend(await disagreements(self._world, self._lines, entries))
        self._judge_addresses(entries)

    # Every answer against the model, at the place in the log where it says that it stands.

    def _walk(self, partition: int, lines: Sequence[Line]) -> None:
        unchanging = self._unchanging(partition, lines)
        for line in lines:
            self._check_effect(line, partition)
            self._model.apply(line.commit)
            for operation, attempt in unchanging.pop(line.seq, ()):
                self._check_reply(operation, attempt)
        for left in unchanging.values():
            self.found.extend(f"{attempt.trace} stands at no commit" for _, attempt in left)

    def _unchanging(
        self, partition: int, lines: Sequence[Line]
    ) -> defaultdict[int, list[tuple[Operation, Attempt]]]:
        """Answers that stand at somebody else's commit, by its number: what is true after it was answered."""
        names = {line.seq: _name_of(line) for line in lines}
        found: defaultdict[int, list[tuple[Operation, Attempt]]] = defaultdict(list)
        for name, attempts in self._attempts.items():
            for attempt in attempts:
                position = attempt.position
                if position and position.partition == partition and names.get(position.seq) != name:
                    found[position.seq].append((self._operations[name], attempt))
        return found

    def _check_effect(self, line: Line, partition: int) -> None:
        """The commit of an operation: what was answered for it is what the model says before it."""
        operation = self._operations.get(_name_of(line))
        types = {event["type"] for event in line.commit["events"]}
        if operation is None or types == _CLAIM_OF_A_KEY:
            return
        if operation.is_keyed and "request.answered" not in types:
            return
        position = Position(partition=partition, seq=line.seq)
        self._effects[operation.name].append(position)
        trace = line.commit["trace"]
        self._with_effect |= {trace, trace.partition(">")[0]}
        for attempt in self._attempts[operation.name]:
            if attempt.position not in (None, position) and attempt.trace == trace:
                self.found.append(
                    f"moved: {trace} was answered at {attempt.position}, its effect is at {position}"
                )
            if attempt.outcome == "ok" and (operation.is_keyed or attempt.position == position):
                self._check_reply(operation, attempt)

    def _check_reply(self, operation: Operation, attempt: Attempt) -> None:
        expected = operation.expected(self._model)
        if expected is not None and attempt.reply != expected:
            self.found.append(f"wrong: {attempt.trace} was answered {attempt.reply}, and {expected} is right")

    # Every operation against its effects.

    def _judge_effects(self, name: str, attempts: Sequence[Attempt]) -> None:
        effects, is_keyed = self._effects[name], self._operations[name].is_keyed
        replies = [attempt.reply for attempt in attempts if attempt.outcome == "ok"]
        if len(effects) > 1:
            self.found.append(f"duplicate: {name} has effects at {[str(position) for position in effects]}")
        if is_keyed and replies and not effects:
            self.found.append(f"lost: {name} was answered and has no effect")
        if is_keyed and any(reply != replies[0] for reply in replies):
            self.found.append(f"two answers: {name} was answered {replies}")
        self.found.extend(
            f"phantom: {attempt.trace} has an effect and was answered {attempt.reply or 'that nothing was changed'}"
            for attempt in attempts
            if attempt.trace in self._with_effect
            and (attempt.outcome == "nothing" or ("refused" in (attempt.reply or ()) and not is_keyed))
        )

    def _judge_order(self) -> None:
        """An answer stands on everything in its partition that was answered before it was asked for."""
        placed = [
            (attempt, attempt.position)
            for attempts in self._attempts.values()
            for attempt in attempts
            if attempt.position is not None
        ]
        self.found.extend(
            f"stale: {later.trace} at {now} did not see {earlier.trace} at {then}"
            for later, now in placed
            for earlier, then in placed
            if earlier.answered_step < later.invoked_step
            and then.partition == now.partition
            and then.seq > now.seq
        )

    def _judge_ids(self) -> None:
        ids = Counter(line.commit["commit"] for lines in self._lines for line in lines)
        self.found.extend(f"duplicate: commit {name} counts {n} times" for name, n in ids.items() if n > 1)

    # What is left behind.

    def _judge_addresses(self, entries: Mapping[str, Entry]) -> None:
        """After everything was tidied up: accounts have the addresses that are held for them, and no claim leaks."""
        people = template(self._partitions).people
        held, claimed = set(), set()
        for who in people:
            account: Any = entries[account_stream(who.person.account_id)].state
            held |= {(who.person.account_id, c.identifier, c.claim_id) for c in account.addresses.held}
        for name in {name for who in people for name in (who.own, who.wish)}:
            if name in entries:
                state = entries[name].state
                claimed |= {(state.holder, name, claim_id) for claim_id in state.claims}
        if held != claimed:
            self.found.append(f"addresses: accounts have {held}, and claims are {claimed}")
        for number in range(self._partitions):
            entry = entries.get(errands_stream(number))
            left: Errands | None = entry.state if entry else None
            if left and left.open:
                self.found.append(f"errands are left: {left}")


def _name_of(line: Line) -> str:
    """The operation that made the commit."""
    trace: str = line.commit["trace"]
    return trace.partition("#")[0]
