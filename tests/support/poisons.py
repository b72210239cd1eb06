"""Everything that may stand in the log and must not: what each kind is, and what readers are to make of it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from eventstore.commit import Record
from eventstore.memory_log import MemoryLog
from eventstore.provision import write_genesis
from tests.support.memory_keys import KeyTopic, sealed_events
from tests.support.people import account_id_in, registered, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.writers import now

MARK = "Ada.Lovelace"
"""Stands in what is poisoned, and may stand in no reason."""
MEGABYTE = 1_000_000
Verdict = Literal["halts", "void", "passes"]
"""`void`: it counts for nobody. `passes`: it counts, and this reader does not look into it."""


class CountingLog(MemoryLog):
    """It knows how often each partition was read."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.reads: Counter[int] = Counter()

    async def read(self, partition: int, offset: int, *, wait_seconds: float) -> Sequence[Record]:
        self.reads[partition] += 1
        return await super().read(partition, offset, wait_seconds=wait_seconds)


@dataclass(slots=True, kw_only=True)
class Scene:
    """A log with one kind of poison in each partition, in the middle of sign-ups; the last one is clean."""

    log: CountingLog
    keys: KeyTopic
    scribe: Scribe
    before: dict[int, set[str]] = field(default_factory=dict)
    after: dict[int, set[str]] = field(default_factory=dict)
    """Account ids by partition."""
    offsets: dict[int, int] = field(default_factory=dict)

    @classmethod
    async def new(cls) -> "Scene":
        log, keys = CountingLog(len(POISONS) + 1), KeyTopic()
        await write_genesis(log, now)
        scene = cls(log=log, keys=keys, scribe=Scribe(log, keys.keyring()))
        for number in reversed(range(log.partitions)):
            scene.before[number] = {await scene.sign_up(number) for _ in range(2)}
            scene.offsets[number] = await log.end(number)
            if number < len(POISONS):
                await POISONS[number].lay(scene, number)
            scene.after[number] = {await scene.sign_up(number) for _ in range(2)}
        return scene

    async def sign_up(self, partition: int) -> str:
        account_id, at = account_id_in(partition), now()
        stream = stream_of(account_id)
        signed_up = replace(registered(account_id, at), email=f"{account_id}@example.com")
        await self.scribe.write(stream, signed_up, session_of(account_id, at=at), at=at)
        return account_id

    async def go_on(self) -> None:
        """One more sign-up everywhere."""
        for number in self.after:
            self.after[number].add(await self.sign_up(number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    name: str
    make: Callable[[Scene, int], Awaitable[tuple[bytes | None, bytes | None]]]
    verdict: Verdict = "halts"
    extends: bool = False
    """Whether it extends the chain, so that an honest writer would have gone on from it."""
    others: dict[str, Verdict] = field(default_factory=dict)
    """Readers that make something else of it."""

    def verdict_of(self, consumer: str) -> Verdict:
        return self.others.get(consumer, self.verdict)

    async def lay(self, scene: Scene, partition: int) -> None:
        key, value = await self.make(scene, partition)
        if self.extends:
            assert key is not None
            assert value is not None
            await scene.scribe.append(partition, key, value)
        else:
            scene.log.store(partition, key, value)


async def session_commit(scene: Scene, partition: int, stream: str = "") -> dict[str, Any]:
    """A commit that would count, of a session that nobody began, to be spoiled in one thing."""
    head, at = await scene.scribe.head(partition), now()
    account_id = account_id_in(partition)
    stream = stream or stream_of(account_id)
    events = await sealed_events(scene.keys.keyring(), [(stream, 1, session_of(account_id, at=at))], at)
    return {
        "v": 1,
        "seq": head.seq + 1,
        "prev": head.hash,
        "commit": f"poison-{partition}",
        "at": at,
        "actor": {"kind": "system"},
        "trace": MARK,
        "events": [msgspec.to_builtins(events[0])],
    }


def rubbish(name: str, value: bytes | None, key: bytes | None = b"account-aa") -> Poison:
    async def make(_: Scene, __: int) -> tuple[bytes | None, bytes | None]:
        return key, value

    return Poison(name=name, make=make)


def spoiled(
    name: str,
    spoil: Callable[[dict[str, Any]], object],
    *,
    verdict: Verdict = "halts",
    key: bytes | None = b"",
    **others: Verdict,
) -> Poison:
    """A commit that extends the chain but for what `spoil` does to it. `key` is the right one if it is empty."""

    async def make(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
        commit = await session_commit(scene, partition)
        spoil(commit)
        right = commit["events"][0]["stream"].encode() if commit["events"] else b"account-aa"
        return right if key == b"" else key, msgspec.json.encode(commit)

    extends = verdict != "void" and key is not None
    return Poison(name=name, make=make, verdict=verdict, extends=extends, others=others)


async def _of_another_partition(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
    """What a producer does that sends a right record to the wrong place."""
    record = scene.log.records(scene.log.partitions - 1)[2]
    assert partition != record.partition
    return record.key, record.value


async def _the_last_again(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
    record = scene.log.records(partition)[-1]
    return record.key, record.value


async def _the_genesis_again(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
    record = scene.log.records(partition)[0]
    return record.key, record.value


async def _of_a_zombie(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
    """A foreign producer that chains on a head that is none any more."""
    taken = msgspec.json.decode(scene.log.records(partition)[-1].value or b"")
    commit = await session_commit(scene, partition) | {"seq": taken["seq"], "prev": taken["prev"]}
    return commit["events"][0]["stream"].encode(), msgspec.json.encode(commit)


async def _in_the_wrong_partition(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
    stream = stream_of(account_id_in(partition + 1))
    return stream.encode(), msgspec.json.encode(await session_commit(scene, partition, stream))


async def _in_no_stream(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
    return b"nonsense", msgspec.json.encode(await session_commit(scene, partition, "nonsense"))


async def _of_no_category(scene: Scene, partition: int) -> tuple[bytes | None, bytes | None]:
    stream = f"{MARK}-{account_id_in(partition)}"
    return stream.encode(), msgspec.json.encode(await session_commit(scene, partition, stream))


def _event(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda commit: commit["events"][0].update(changes)


def _big(commit: dict[str, Any]) -> None:
    commit["prev"], commit["trace"] = MARK, MARK * (MEGABYTE // len(MARK))


POISONS = (
    rubbish("bad JSON", b'{"v":1,"seq":"' + MARK.encode()),
    rubbish("other JSON", b'["' + MARK.encode() + b'"]'),
    rubbish("not UTF-8", b'{"v":1,"seq":1,"prev":"\xff' + MARK.encode() + b'"}'),
    rubbish("empty", b""),
    rubbish("empty, without a key", b"", None),
    rubbish("null", None),
    rubbish("1 MB", MARK.encode() * (MEGABYTE // len(MARK))),
    rubbish("1 MB of nesting", b'{"x":' + b"[" * MEGABYTE),
    rubbish("1 MB of digits", b'{"v":' + b"1" * MEGABYTE + b"}"),
    spoiled("no key", lambda commit: commit, key=None),
    spoiled("wrong key", lambda commit: commit, key=MARK.encode()),
    spoiled("another format", lambda commit: commit.update(v=2)),
    spoiled("no actor that is known", lambda commit: commit.update(actor={"kind": MARK})),
    spoiled("no events", lambda commit: commit.update(events=[])),
    spoiled("unknown type", _event(type="session.unheard_of"), verify="passes"),
    spoiled("unknown type of 1 MB", _event(type=MARK * (MEGABYTE // len(MARK))), verify="passes"),
    spoiled("unknown revision", _event(rev=99), verify="passes"),
    spoiled("bad data", _event(data={"session_id": [MARK]}), mailer="passes", verify="passes"),
    spoiled("sealed by nobody", _event(sealed=MARK), mailer="passes", relay="passes", verify="passes"),
    Poison(name="wrong partition", make=_in_the_wrong_partition, extends=True),
    Poison(name="no stream", make=_in_no_stream, extends=True),
    Poison(name="no category", make=_of_no_category, extends=True, others={"verify": "passes"}),
    spoiled("bad hash", lambda commit: commit.update(prev=MARK), verdict="void", verify="halts"),
    spoiled("bad hash, 1 MB", _big, verdict="void", verify="halts"),
    Poison(name="foreign producer", make=_of_a_zombie, verdict="void"),
    Poison(
        name="of another partition", make=_of_another_partition, verdict="void", others={"verify": "halts"}
    ),
    Poison(name="copy", make=_the_last_again, verdict="void"),
    Poison(name="genesis again", make=_the_genesis_again, verdict="void"),
)  # fmt: skip
