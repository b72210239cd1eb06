"""A place that is a commit in Kafka: nothing is committed that was not handled, and nothing is handled twice in a process."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaProducer

from chancery_sdk.checkpoints import NoDeadLettersError, OutrunError, StoreUnavailableError
from chancery_sdk.commits import Commits, Committed, Handled, KafkaCheckpoints, open_commits
from chancery_sdk.events import Event
from chancery_sdk.kafka import open_feed
from chancery_sdk.kafka_group import SESSION_SECONDS, KafkaGroup
from chancery_sdk.sharing import Sharing
from chancery_sdk.subscriber import GapError, Retry, Subscriber
from chancery_sdk.testing import MemoryFeed, MemoryGroup
from localstack.stack import StackInfo
from tests.conformance.sharing_suite import Board, Member
from tests.support.broker import Broker, nobody_there
from tests.support.link import Link, Weather, link_to
from tests.support.tasks import eventually

VERIFIED = "chancery.account.verified.v1"
QUICK = Retry(tries=2, pause_seconds=0.05)
PATIENCE_SECONDS = 30.0
AWAY_SECONDS = 90.0


@dataclass(slots=True, kw_only=True)
class Service:
    """It hears events, refuses those that it dislikes, and waits in the middle of one that it is to wait in."""

    bootstrap: str
    topic: str
    producer: AIOKafkaProducer
    group: str = field(default_factory=lambda: uuid.uuid4().hex)
    told: MemoryFeed = field(default_factory=lambda: MemoryFeed(1))
    heard: list[str] = field(default_factory=list)
    dislikes: set[str] = field(default_factory=set)
    waits_in: str = ""
    is_waiting: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, *names: str) -> None:
        for name in names:
            record = self.told.tell(VERIFIED, {"account_id": name})
            await self.producer.send_and_wait(
                self.topic, record.value, headers=list(record.headers), partition=0
            )

    async def hear(self, event: Event, _: Handled) -> None:
        if event.subject == self.waits_in:
            self.is_waiting.set()
            await self.may_go_on.wait()
        if event.subject in self.dislikes:
            raise ValueError("this one is not liked")
        self.heard.append(event.subject)

    async def until_heard(self, *names: str) -> None:
        async def are_heard() -> bool:
            return len(self.heard) >= len(names)

        await eventually(are_heard, within_seconds=PATIENCE_SECONDS)
        assert self.heard == list(names)

    @contextlib.asynccontextmanager
    async def commits(self, link: Link | None = None) -> AsyncIterator[Commits]:
        bootstrap = self.bootstrap if link is None else f"127.0.0.1:{link.port}"
        async with open_commits(bootstrap, self.group, topic=self.topic) as commits:
            yield commits

    @contextlib.asynccontextmanager
    async def at_work(
        self, checkpoints: KafkaCheckpoints, partitions: Sequence[int] | Sharing = (0,)
    ) -> AsyncIterator[asyncio.Task[None]]:
        """While the block runs; it ends gracefully, unless it has ended before."""
        async with open_feed(self.bootstrap, topic=self.topic) as feed:
            subscriber = Subscriber(feed, checkpoints, partitions=partitions, retry=QUICK)
            subscriber.on(VERIFIED)(self.hear)
            running = asyncio.create_task(subscriber.run())
            try:
                yield running
            finally:
                subscriber.stop()
                await asyncio.wait({running}, timeout=PATIENCE_SECONDS)
                assert running.done()

    async def committed(self) -> int:
        """Up to which offset; 0 without any commit."""
        async with self.commits() as commits:
            found = await commits.read(0)
        return 0 if found is None else found.offset


@pytest.fixture
async def service(projector_stack: StackInfo) -> AsyncIterator[Service]:
    broker = Broker(projector_stack.home, projector_stack.kafka)
    topic = (await broker.new_topics(1)).public
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        yield Service(bootstrap=broker.bootstrap, topic=topic, producer=producer)


async def test_a_commit_is_where_the_next_process_goes_on(service: Service) -> None:
    await service.tell("a", "b")
    async with service.commits() as commits, service.at_work(KafkaCheckpoints(commits)):
        await service.until_heard("a", "b")
    assert await service.committed() == 2
    await service.tell("c")
    async with service.commits() as commits, service.at_work(KafkaCheckpoints(commits)):
        await service.until_heard("a", "b", "c")


async def test_repetitions_and_gaps_are_known_across_processes(service: Service) -> None:
    await service.tell("a", "b")
    async with service.commits() as commits, service.at_work(KafkaCheckpoints(commits)):
        await service.until_heard("a", "b")
    repeated = service.told.repeat((await service.told.read(0, 0, wait_seconds=0))[1])
    headers = list(repeated.headers)
    await service.producer.send_and_wait(service.topic, repeated.value, headers=headers, partition=0)
    service.told.skip()
    await service.tell("d")
    async with service.commits() as commits, service.at_work(KafkaCheckpoints(commits)) as running:
        with pytest.raises(BaseExceptionGroup) as raised:
            await asyncio.wait_for(asyncio.shield(running), PATIENCE_SECONDS)
    assert isinstance(raised.value.exceptions[0], GapError)
    assert service.heard == ["a", "b"]


class HastyCheckpoints(KafkaCheckpoints):
    """The bug that the test is to find: it commits also what its handler refused."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Handled]:
        handled = Handled()
        try:
            yield handled
        finally:
            async with super().transaction() as inner:
                inner.places.update(handled.places)


async def committed_though_refused(service: Service, kind: type[KafkaCheckpoints]) -> int:
    """How far the commits are, of a service that refuses its third event."""
    service.dislikes.add("c")
    await service.tell("a", "b", "c", "d")
    async with service.commits() as commits, service.at_work(kind(commits)) as running:
        with pytest.raises(BaseExceptionGroup) as raised:
            await asyncio.wait_for(asyncio.shield(running), PATIENCE_SECONDS)
    (error,) = raised.value.exceptions
    assert isinstance(error, NoDeadLettersError)
    assert str(error) == f"{VERIFIED} 0:3:0 was refused by ValueError"
    assert service.heard == ["a", "b"]
    return await service.committed()


async def test_an_event_that_is_refused_halts_and_is_never_committed(service: Service) -> None:
    assert await committed_though_refused(service, KafkaCheckpoints) == 2
    service.dislikes.clear()
    async with service.commits() as commits, service.at_work(KafkaCheckpoints(commits)):
        await service.until_heard("a", "b", "c", "d")


async def test_of_the_test_a_store_that_commits_too_early_is_found_out(service: Service) -> None:
    assert await committed_though_refused(service, HastyCheckpoints) > 2


async def test_who_is_killed_in_the_middle_of_an_event_has_not_committed_it(service: Service) -> None:
    service.waits_in = "b"
    await service.tell("a", "b")
    async with service.commits() as commits, open_feed(service.bootstrap, topic=service.topic) as feed:
        subscriber = Subscriber(feed, KafkaCheckpoints(commits), partitions=[0])
        subscriber.on(VERIFIED)(service.hear)
        running = asyncio.create_task(subscriber.run())
        await asyncio.wait_for(service.is_waiting.wait(), PATIENCE_SECONDS)
        running.cancel()
        await asyncio.wait({running})
    assert await service.committed() <= 1
    service.may_go_on.set()
    async with service.commits() as commits, service.at_work(KafkaCheckpoints(commits)):
        await service.until_heard("a", "a", "b")


async def test_a_commit_that_fails_lets_nothing_be_handled_twice_by_the_same_process(
    service: Service,
) -> None:
    port = int(service.bootstrap.rpartition(":")[2])

    async with (
        link_to(port) as link,
        service.commits(link) as commits,
        service.at_work(KafkaCheckpoints(commits)),
    ):
        await service.tell("a")
        await eventually(lambda: has_committed(service, 1), within_seconds=PATIENCE_SECONDS)
        link.turn("hang")
        await service.tell("b")
        await service.until_heard("a", "b")
        await asyncio.sleep(7)  # the commit is given up meanwhile
        await service.tell("c")
        link.turn("fair")
        await service.until_heard("a", "b", "c")
        await eventually(lambda: has_committed(service, 3), within_seconds=PATIENCE_SECONDS)
    assert service.heard == ["a", "b", "c"]


async def test_a_member_finishes_its_event_before_another_one_gets_the_partition(service: Service) -> None:
    """Both would handle it else: a commit cannot take back what a handler did."""
    service.waits_in = "b"
    await service.tell("a", "b", "c")
    one, two = (KafkaGroup(service.bootstrap, service.group, topic=service.topic) for _ in range(2))
    async with service.at_work(KafkaCheckpoints(one), one):
        await asyncio.wait_for(service.is_waiting.wait(), PATIENCE_SECONDS)
        async with service.at_work(KafkaCheckpoints(two), two):
            await asyncio.sleep(3)  # the other one asks to join
            service.may_go_on.set()
            await service.until_heard("a", "b", "c")
            await service.tell("d", "e")
            await service.until_heard("a", "b", "c", "d", "e")
    assert service.heard == ["a", "b", "c", "d", "e"]


async def test_a_partition_that_comes_back_waits_for_what_is_still_done_there(service: Service) -> None:
    """A handler that does not let itself be cancelled goes on, and its process does nothing of that partition beside it."""
    group, busy = MemoryGroup(1), 0

    async def be_stubborn(_: Event, __: Handled) -> None:
        nonlocal busy
        busy += 1
        service.is_waiting.set()
        while not service.may_go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await service.may_go_on.wait()
        service.heard.append(f"with {busy} at work")
        busy -= 1

    await service.tell("a")
    async with service.commits() as commits, open_feed(service.bootstrap, topic=service.topic) as feed:
        stubborn = Subscriber(feed, KafkaCheckpoints(commits), partitions=group)
        stubborn.on(VERIFIED)(be_stubborn)
        tasks = [running := asyncio.create_task(stubborn.run())]
        try:
            await asyncio.wait_for(service.is_waiting.wait(), PATIENCE_SECONDS)
            tasks.append(asyncio.create_task(group.take_part(Member(Board()))))  # all are shared out anew
            await asyncio.sleep(9)  # and everybody was waited for
            service.may_go_on.set()
            await service.until_heard("with 1 at work")
            await eventually(lambda: has_committed(service, 1), within_seconds=PATIENCE_SECONDS)
            stubborn.stop()
            await asyncio.wait_for(running, PATIENCE_SECONDS)
        finally:
            service.may_go_on.set()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
    assert service.heard == ["with 1 at work"]


@pytest.mark.parametrize("weather", ["hang", "reset", "corrupt"])
async def test_a_group_that_was_out_of_reach_is_joined_again(service: Service, weather: Weather) -> None:
    """For longer than the group waits for a member. Events may come twice then, and none is lost."""
    port = int(service.bootstrap.rpartition(":")[2])
    async with link_to(port) as link:
        group = KafkaGroup(f"127.0.0.1:{link.port}", service.group, topic=service.topic)
        async with service.at_work(KafkaCheckpoints(group), group):
            await service.tell("a")
            await service.until_heard("a")
            link.turn(weather)
            await service.tell("b")
            await asyncio.sleep(1.5 * SESSION_SECONDS)
            link.turn("fair")
            await service.tell("c")
            await eventually(lambda: has_committed(service, 3), within_seconds=AWAY_SECONDS)
    assert list(dict.fromkeys(service.heard)) == ["a", "b", "c"]


async def has_committed(service: Service, offset: int) -> bool:
    return await service.committed() == offset


async def test_who_has_no_part_in_a_group_cannot_commit_for_it(service: Service) -> None:
    await service.tell("a")
    group = KafkaGroup(service.bootstrap, service.group, topic=service.topic)
    async with service.at_work(KafkaCheckpoints(group), group), service.commits() as stranger:
        await service.until_heard("a")
        with pytest.raises(OutrunError):
            await stranger.write(0, Committed(offset=0, note=""))
    with pytest.raises(OutrunError):
        await group.write(0, Committed(offset=0, note=""))
    assert await service.committed() == 1


async def test_an_offset_that_was_set_by_other_tools_is_gone_on_from(service: Service) -> None:
    await service.tell("a", "b", "c")
    async with service.commits() as commits:
        await commits.write(0, Committed(offset=2, note=""))
    async with service.commits() as commits, service.at_work(KafkaCheckpoints(commits)):
        await service.until_heard("c")


async def test_without_a_broker_it_says_so() -> None:
    with pytest.raises(StoreUnavailableError, match="Kafka at"):
        async with open_commits(nobody_there(), "nobody"):
            pass
