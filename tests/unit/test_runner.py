"""How the runner brings the log into a store: once, visibly, and never calling whole what is not."""

from prometheus_client import CollectorRegistry

from eventstore.chain import Head
from eventstore.errors import UnavailableError
from eventstore.memory_log import MemoryLog
from eventstore.provision import write_genesis
from projectors.metrics import Metrics
from projectors.runner import Runner
from runtime.health import Health
from tests.support.memory_keys import KeyTopic
from tests.support.memory_sink import MemorySink
from tests.support.people import account_id_in, revoked, session_of, stream_of
from tests.support.scribe import Scribe
from tests.support.tasks import eventually, running
from tests.support.writers import new_log, now


async def test_a_runner_applies_everything_once_and_marks_it_fresh() -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    sink, health = MemorySink(), Health()
    account_id = account_id_in(1)
    events = [revoked(session_of(account_id, number)) for number in range(3)]
    await scribe.write(stream_of(account_id), events[0])
    async with running(new_runner(log, keys, sink, health).run()):
        await scribe.write(stream_of(account_id), events[1])
        await eventually(lambda: is_true(set(sink.fresh) == {0, 1}))
        sink.stored[1] = Head()
        sink.applied.clear()
        await scribe.write(stream_of(account_id), events[2])
        await eventually(lambda: is_true(sink.applied == events))
        await eventually(lambda: is_true(health.failing() == {}))


async def test_a_partition_with_poison_halts_visibly_and_the_others_go_on() -> None:
    log, keys = await new_log(2), KeyTopic()
    scribe = Scribe(log, keys.keyring())
    sink, health, registry = MemorySink(), Health(), CollectorRegistry()
    good, bad = account_id_in(0), account_id_in(1)
    await scribe.write(stream_of(bad), revoked(session_of(bad)))
    await log.append(1, b"k", b"{}")
    await scribe.write(stream_of(good), revoked(session_of(good)))
    async with running(new_runner(log, keys, sink, health, registry).run()):
        await eventually(lambda: is_true(len(sink.applied) == 2))
        await eventually(lambda: is_true(list(health.failing()) == ["memory-1"]))
        assert "partition 1, offset 2" in health.failing()["memory-1"]
        halted = registry.get_sample_value("chancery_projector_halted_partitions", {"consumer": "memory"})
        assert halted == 1
        await eventually(lambda: is_true(0 in sink.fresh))
        assert 1 not in sink.fresh


class HalfALog(MemoryLog):
    """One partition's end cannot be asked any more."""

    has_lost_its_leader = False

    async def end(self, partition: int, *, at_least: int = 0) -> int:
        if partition == 1 and self.has_lost_its_leader:
            raise UnavailableError("partition 1 has no leader")
        return await super().end(partition, at_least=at_least)


async def test_a_partition_whose_end_cannot_be_asked_does_not_make_the_others_stale() -> None:
    log, keys, sink, health = HalfALog(2), KeyTopic(), MemorySink(), Health()
    await write_genesis(log, now)
    log.has_lost_its_leader = True
    async with running(new_runner(log, keys, sink, health).run()):
        await eventually(lambda: is_true(0 in sink.fresh))
        assert health.failing()["memory-freshness-0"] == "partition 1 has no leader"
        assert 1 not in sink.fresh


async def test_what_was_applied_beyond_the_logs_end_is_never_called_whole() -> None:
    """A log that was truncated: what comes in the place of the lost part would be passed over."""
    log, keys, sink = await new_log(2), KeyTopic(), MemorySink()
    sink.stored[1] = Head(seq=99, hash="of another history", next_offset=100)
    async with running(new_runner(log, keys, sink, Health()).run()):
        await eventually(lambda: is_true(0 in sink.fresh))
        first = sink.fresh[0]
        await eventually(lambda: is_true(sink.fresh[0] > first))
        assert 1 not in sink.fresh


async def test_a_store_that_fell_back_lags_from_its_beginning() -> None:
    log, keys, sink = await new_log(), KeyTopic(), MemorySink()
    account_id = account_id_in(0)
    await Scribe(log, keys.keyring()).write(stream_of(account_id), revoked(session_of(account_id)))
    runner = new_runner(log, keys, sink, Health())
    async with running(runner.run()):
        await eventually(lambda: is_true([one.lag_seconds for one in runner.reports()] not in ([], [None])))
        sink.refuses = True
        sink.stored[0] = Head()
        await eventually(lambda: is_true([one.lag_seconds for one in runner.reports()] == [None]))


async def test_a_log_that_is_down_is_named_and_tried_again() -> None:
    log, keys = await new_log(), KeyTopic()
    sink, health = MemorySink(), Health()
    log.is_down = True
    async with running(new_runner(log, keys, sink, health).run()):
        await eventually(lambda: is_true("the log is down" in health.failing().values()))
        log.is_down = False
        await eventually(lambda: is_true(health.failing() == {}))


def new_runner(
    log: MemoryLog,
    keys: KeyTopic,
    sink: MemorySink,
    health: Health,
    registry: CollectorRegistry | None = None,
) -> Runner:
    return Runner(log, keys.keyring(), sink, health, Metrics(registry or CollectorRegistry()))


async def is_true(value: object) -> bool:
    return bool(value)
