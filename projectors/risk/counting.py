"""Faust, kept small: two agents over windowed tables. It counts; what must not be lost is kept outside of it.

Faust is at-least-once at best: it acknowledges events that it cancelled or skipped, and those whose handler raised. So
nothing is acknowledged by it (`acks=False`): `places` says what was handled, `Worker` commits that, and nothing that
was concluded is marked as concluded before its command counts. Its web server is off, and no agent uses `take()`.
What cannot be counted, whoever put it into a topic, is told to `pass_over` and has been handled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import faust
import msgspec
from faust.auth import SASLCredentials, SSLCredentials
from faust.types import TP, AppT, EventT, StreamT

from events.public.session import RefreshReused, SessionStarted, SignInFailed
from projectors.risk.places import Places
from projectors.risk.rules import (
    HISTORY,
    RULES,
    Conclusion,
    Limits,
    Rule,
    Tally,
    conclusions_of_source,
    count_of,
    is_ahead,
    is_history,
    judge,
)
from projectors.risk.signals import (
    GUESSES,
    MOST_CHARACTERS,
    Flaw,
    FlawedError,
    Signal,
    Told,
    headers_of,
    read_json,
    read_signal,
    require_bounded,
    time_of,
)
from runtime.clock import utc_now
from runtime.kafka_access import KafkaAccess

SESSION_SECONDS = 6.0
"""A worker that was killed is missed after this, and others go on."""

REBALANCE_SECONDS = 8.0
"""A worker that was killed while the group was dealing out its partitions holds it up for so long, and once more if it
was to deal them. Heartbeats say nothing then: brokers give new members minutes."""

Conclude = Callable[[Conclusion], Awaitable[None]]
PassOver = Callable[[TP, int, Flaw], None]
"""Told of each record that cannot be counted: where it lies, its offset, and what is wrong with it."""


class FromSource(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted by network: `session_id` is empty for a sign-in that was refused."""

    account_id: str
    session_id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """`group` is the consumer group, and what the names of all the worker's own topics begin with."""

    access: KafkaAccess
    group: str
    public_topic: str
    partitions: int


class Counting:
    """The Faust application. Failures go to `failed`, and nothing goes on after one."""

    def __init__(self, broker: Broker, limits: Limits, conclude: Conclude, pass_over: PassOver) -> None:
        self.app = new_app(broker)
        self.places: Places[TP] = Places()
        self.topics = frozenset({broker.public_topic, sources_topic(broker.group)})
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sending: set[asyncio.Future[Any]] = set()
        self._limits = limits
        self._conclude = conclude
        self._pass_over = pass_over
        self._tables = {rule: self._table(rule, broker.partitions) for rule in RULES}
        self._sources = self.app.topic(
            sources_topic(broker.group),
            key_serializer="raw",
            value_serializer="raw",
            acks=False,
            partitions=broker.partitions,
        )
        public = self.app.topic(
            broker.public_topic, key_serializer="raw", value_serializer="raw", acks=False, allow_empty=True
        )
        self.app.agent(public, name="accounts")(self._accounts)
        self.app.agent(self._sources, name="sources")(self._networks)
        for dealt in (self.app.on_partitions_revoked, self.app.on_partitions_assigned):
            dealt.connect(self._forget)

    def _table(self, rule: Rule, partitions: int) -> Any:
        table = self.app.Table(rule, partitions=partitions, default=dict)
        size, moment = self._limits.window, _moment_of_source if rule == "sources" else _moment
        return table.tumbling(size, expires=size + HISTORY).relative_to(moment)

    def _forget(self, _: AppT, __: set[TP], **___: Any) -> None:
        self.places.forget()

    async def _accounts(self, stream: StreamT[Any]) -> None:
        await self._each(stream, self._judge)

    async def _networks(self, stream: StreamT[Any]) -> None:
        await self._each(stream, self._judge_source)

    async def _each(self, stream: StreamT[Any], handle: Callable[[EventT[Any]], Awaitable[None]]) -> None:
        """Whatever fails stops here: to go on would pass the event over in silence."""
        async for event in stream.events():
            message = event.message
            try:
                try:
                    await handle(event)
                except FlawedError as error:
                    self._pass_over(message.tp, message.offset, error.flaw)
                self.places.handled(message.tp, message.offset)
            except Exception as error:  # noqa: BLE001  # the worker ends with it, and is restarted
                if not self.failed.done():
                    self.failed.set_exception(error)
                await asyncio.Event().wait()

    async def _judge(self, event: EventT[Any]) -> None:
        message = event.message
        told = Told(
            partition=message.partition,
            key=message.key,
            value=message.value,
            headers=headers_of(message.headers),
        )
        signal = read_signal(told)
        if signal is None or _is_history(signal.at):
            return
        await self._tell_source(signal)
        count = count_of(signal)
        if count is None:
            return
        table = self._tables[count.rule]
        before = Tally.of(table[count.subject].value())
        after, conclusions = judge(signal, count, before, self._limits)
        for conclusion in conclusions:
            await self._conclude(conclusion)
        if after != before:
            table[count.subject] = after.stored()

    async def _tell_source(self, signal: Signal) -> None:
        """To the worker that counts this network. It is sent for certain before the place is committed."""
        event = signal.event
        if isinstance(event, RefreshReused) or not event.source:
            return
        if isinstance(event, SignInFailed) and event.cause not in GUESSES:
            return
        told = FromSource(
            account_id=event.account_id,
            session_id=event.session_id if isinstance(event, SessionStarted) else "",
            at=signal.at.timestamp(),
        )
        sent = await self._sources.send(key=event.source.encode(), value=msgspec.json.encode(told))
        future = asyncio.ensure_future(sent)
        self.sending.add(future)

    async def _judge_source(self, event: EventT[Any]) -> None:
        told, source = _from_source(event), _source_of(event)
        if _is_history(_time(told.at)):
            return
        table = self._tables["sources"]
        tally = Tally.of(table[source].value())
        if told.session_id:
            for found in conclusions_of_source(
                told.account_id, told.session_id, told.at, tally, self._limits
            ):
                await self._conclude(found)
            return
        after = tally.with_mark(told.account_id, self._limits.accounts_of_source)
        if after != tally:
            table[source] = after.stored()


class FolderlessApp(faust.App):
    """Tables are in memory. Folders that Faust would make nevertheless outlive a worker that is killed."""

    def _create_directories(self) -> None:
        return


def new_app(broker: Broker) -> Any:
    """No web server, and no topics of its own making."""
    return FolderlessApp(
        broker.group,
        broker=[f"kafka://{one}" for one in broker.access.bootstrap.split(",")],
        broker_credentials=_credentials(broker.access),
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=broker.partitions,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=SESSION_SECONDS / 3,
        broker_rebalance_timeout=REBALANCE_SECONDS,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_cleanup_interval=60.0,
    )


def _credentials(access: KafkaAccess) -> SASLCredentials | SSLCredentials | None:
    context = access.context()
    if context is None:
        return None
    if not access.username:
        return SSLCredentials(context)
    return SASLCredentials(
        username=access.username,
        password=access.password.get_secret_value(),
        mechanism=access.mechanism,
        ssl_context=context,
    )


def sources_topic(group: str) -> str:
    return f"{group}-sources"


def own_topics(group: str) -> Mapping[str, str]:
    """Names and cleanup policies of the worker's own topics."""
    changelogs = {f"{group}-{rule}-changelog": "compact,delete" for rule in RULES}
    return {**changelogs, sources_topic(group): "delete"}


def _moment(event: EventT[Any] | None) -> float:
    """The time that counts is that of the fact, and not that at which it was told."""
    assert event is not None, "tables are used by agents only"
    at = time_of(headers_of(event.message.headers))
    assert at is not None, "a signal has a time"
    return at.timestamp()


def _moment_of_source(event: EventT[Any] | None) -> float:
    assert event is not None, "as above"
    return _from_source(event).at


def _from_source(event: EventT[Any]) -> FromSource:
    """Our own record; FlawedError if somebody else wrote to our topic."""
    told = read_json(event.message.value, FromSource)
    require_bounded(told.account_id, told.session_id)
    return told


def _source_of(event: EventT[Any]) -> str:
    key: bytes = event.message.key or b""
    if not key or len(key) > MOST_CHARACTERS:
        raise FlawedError("unreadable")
    return key.decode(errors="replace")


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise FlawedError("unreadable") from None


def _is_history(at: datetime) -> bool:
    """FlawedError for the other end of time."""
    now = utc_now()
    if is_ahead(at, now):
        raise FlawedError("ahead")
    return is_history(at, now)
