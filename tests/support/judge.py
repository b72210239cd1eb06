"""Judges the history of a fault run against the log, by the rules of FAULTS that clients and the log can tell.

1 lost, 2 duplicate, 3 phantom, 4 inconsistent, 7 unresolved, 9 broken chain or numbering, 10 bad answers.
Each rule is a function that names every fault it finds; a good run has none.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eventstore.chain import Counted
from tests.support.history import Line

TRACES_OF_BUGS = ("Traceback", 'File "', "Error(", "Exception")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far somebody read a partition, and the hash of the last commit that counts for them."""

    reader: str
    partition: int
    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`log` is every commit that counts by position; `heads` are what others say of the same log."""

    lines: Sequence[Line]
    log: Mapping[str, Counted]
    heads: Sequence[Head] = ()

    def commits_of(self) -> Mapping[str, list[Counted]]:
        """By trace."""
        found: dict[str, list[Counted]] = defaultdict(list)
        for counted in self.log.values():
            found[counted.commit.trace.split("-")[1] if counted.commit.trace else ""].append(counted)
        return found

    def effects_of(self) -> Mapping[str, list[Counted]]:
        """By key: the commits that hold what the command was to bring about."""
        commits = self.commits_of()
        return {
            line.key: [c for c in commits.get(line.trace, ()) if _holds(c, line.effect)]
            for line in self.lines
            if line.effect
        }


def judge(evidence: Evidence) -> list[str]:
    """Every fault, each with the number of its rule."""
    rules = {1: lost, 2: duplicate, 3: phantom, 4: inconsistent, 7: unresolved, 9: broken, 10: bad_answers}
    return [f"{number}: {fault}" for number, rule in rules.items() for fault in rule(evidence)]


def lost(evidence: Evidence) -> Iterator[str]:
    effects = evidence.effects_of()
    for line in evidence.lines:
        if line.outcome != "ok" or not line.effect:
            continue
        positions = [str(counted.position) for counted in effects[line.key]]
        if not positions or (line.position and line.position not in positions):
            yield f"{line} was acknowledged and stands at {positions or 'no position'}"


def duplicate(evidence: Evidence) -> Iterator[str]:
    for key, commits in evidence.effects_of().items():
        if len(commits) > 1:
            yield f"{key} took effect at {[str(counted.position) for counted in commits]}"
    keys = {line.trace for line in evidence.lines}
    for trace, commits in evidence.commits_of().items():
        answers = [c for c in commits if _holds(c, "request.answered")]
        if trace in keys and len(answers) > 1:
            yield f"{trace} was answered at {[str(counted.position) for counted in answers]}"


def phantom(evidence: Evidence) -> Iterator[str]:
    effects, doubted = evidence.effects_of(), set[str]()
    for line in evidence.lines:
        if line.outcome == "unknown":
            doubted.add(line.key)
        if line.outcome == "fail" and effects.get(line.key) and not _is_about_the_caller(line, doubted):
            yield f"{line} failed and took effect at {effects[line.key][0].position}"


def _is_about_the_caller(line: Line, doubted: set[str]) -> bool:
    """Who repeats a command with a token that has ended by now is told of the token, and nothing of the command."""
    return line.status == 401 and "problem:invalid-token" in line.answer and line.key in doubted


def inconsistent(evidence: Evidence) -> Iterator[str]:
    """What somebody read after the log was read here says nothing."""
    ends: dict[int, int] = {}
    for position in (one.position for one in evidence.log.values()):
        ends[position.partition] = max(ends.get(position.partition, 0), position.seq)
    for head in evidence.heads:
        counted = evidence.log.get(f"{head.partition}:{head.seq}")
        end = ends.get(head.partition, 0)
        if 0 < head.seq <= end and (counted is None or counted.hash != head.hash):
            yield f"{head} is not what the log holds there: {counted and counted.hash}"


def unresolved(evidence: Evidence) -> Iterator[str]:
    attempts: dict[str, list[Line]] = defaultdict(list)
    for line in evidence.lines:
        attempts[line.key].append(line)
    for key, lines in attempts.items():
        known = {(one.status, one.answer, one.position) for one in lines if one.outcome != "unknown"}
        if not known:
            yield f"{key} never had a known outcome: {lines[-1]}"
        if len(known) > 1:
            yield f"{key} got {len(known)} answers: {known}"


def broken(evidence: Evidence) -> Iterator[str]:
    before: dict[int, Counted] = {}
    versions: dict[str, int] = {}
    for counted in sorted(evidence.log.values(), key=lambda one: one.position):
        partition, commit = counted.position.partition, counted.commit
        last = before.get(partition)
        if counted.position.seq != (last.position.seq + 1 if last else 1):
            yield f"{counted.position} follows {last and last.position}"
        if last is not None and commit.prev != last.hash:
            yield f"{counted.position} does not name its predecessor"
        before[partition] = counted
        for event in commit.events:
            if event.version != versions.get(event.stream, 0) + 1:
                yield f"{counted.position}: {event.stream} goes on with version {event.version}"
            versions[event.stream] = event.version


def bad_answers(evidence: Evidence) -> Iterator[str]:
    for line in evidence.lines:
        if line.status >= 500 and (line.status != 503 or not line.has_retry_after):
            yield f"{line} is no 503 with Retry-After"
        if any(trace in line.answer for trace in TRACES_OF_BUGS):
            yield f"{line} shows a trace"


def counted_by_outcome(lines: Iterable[Line]) -> dict[str, int]:
    """How many lines of each outcome there are, to be printed with every claim."""
    counts = {"ok": 0, "fail": 0, "unknown": 0}
    for line in lines:
        counts[line.outcome] += 1
    return counts


def _holds(counted: Counted, event_type: str) -> bool:
    return any(event.type == event_type for event in counted.commit.events)
