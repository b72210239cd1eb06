"""One simulated installation: replicas that die and wake, clients that repeat themselves, and an end in peace."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from command_api.answers import try_again_answer
from command_api.calls import Call
from command_api.forwarding import Forwarding
from eventstore.errors import CorruptLogError, OutcomeUnknownError, TryAgainError
from eventstore.snapshots import MemorySnapshots
from runtime.serving.answers import AnswerError, HttpAnswer
from tests.simulation.history import Attempt, History
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import LostError, Network, RefusedError
from tests.simulation.operations import Change, Operation, heard, place_of
from tests.simulation.peers import Peers
from tests.simulation.replica import Character, Replica, Shelf
from tests.simulation.schedule import Schedule
from tests.simulation.template import template
from tests.simulation.weather import CALM, Weather
from tests.simulation.wire import Sky

T = TypeVar("T")
_TRIES = 3
_LAST_TRIES = 12
_LATEST_ARRIVAL_SECONDS = 40.0
_LOOKS = 4
"""So many looks at the errands, eight days apart, finish whatever can be finished."""


class World:
    def __init__(self, schedule: Schedule, loop: SimulatedLoop) -> None:
        self.schedule = schedule
        self.loop = loop
        self.history = History()
        self.operations = {one.name: one for ops in schedule.clients for one in ops}
        self.people = Process(0, "people")
        self._outside = Process(1, "outside")
        chance = random.Random(f"{schedule.seed}/sky")
        self.chance = random.Random(f"{schedule.seed}/world")
        self.sky = Sky(loop, chance, schedule.weather, self._outside.context)
        self._roads = Sky(loop, chance, schedule.weather, self._outside.context)
        self.network = Network(self._roads, loop)
        before = template(schedule.partitions)
        self.shelf = Shelf(before.log(), MemorySnapshots(), before.topic())
        self.replicas: list[Replica] = []
        self._started = 0
        self._is_healed = False
        self._blows = list(schedule.blows)
        self._background: list[asyncio.Task[None]] = []

    async def live(self) -> None:
        """From the first request until everything is at rest."""
        for place in range(len(self.schedule.skews)):
            self.replicas.append(self._replica(place))
            self._begin(place)
        starts, lasts = self.schedule.outage
        self.sky.later(starts, self._change_weather, self.schedule.weather.outage)
        self.sky.later(starts + lasts, self._change_weather, self.schedule.weather)
        await asyncio.gather(*(self._client(operations) for operations in self.schedule.clients))
        await self._heal()
        for operations in self.schedule.clients:
            for operation in operations:
                await self._insist(operation)
        await self._tidy()

    # Replicas come and go.

    def _replica(self, place: int) -> Replica:
        self._started += 1
        process = Process(2 + place, f"replica-{place}.{self._started}")
        schedule = self.schedule
        character = Character(limits=schedule.limits, skew=schedule.skews[place], undo=schedule.undo)
        replica = Replica(process, self.shelf, self.sky, character)
        if schedule.forwards:
            peers = Peers(self, place)
            replica.fellows.forwarding = Forwarding(peers, peers, partitions=schedule.partitions)
        return replica

    def _begin(self, place: int) -> None:
        replica, schedule = self.replicas[place], self.schedule
        saving = replica.keep_saved(self.chance, schedule.save_seconds)
        self._background.append(self.loop.spawn(replica.process, saving))
        if any(isinstance(one, Change) for operations in schedule.clients for one in operations):
            tidying = replica.run_errands(schedule.save_seconds * 4)
            self._background.append(self.loop.spawn(replica.process, tidying))
        if self._blows:
            blow = self._blows.pop()
            replica.process.at_step = blow.at_step
            strike = self._kill if blow.kills else self._stop
            replica.process.strike = lambda: strike(place, blow.lasts_seconds)

    def _kill(self, place: int, seconds: float) -> None:
        """What is on the wire arrives up to some moment."""
        replica = self.replicas[place]
        self.loop.kill(replica.process)
        replica.log.cut_at = self.loop.time() + self.chance.choice((0.0, self.sky.delay(), 1e9))
        self.sky.later(seconds, self._restart, place)

    def _stop(self, place: int, seconds: float) -> None:
        process = self.replicas[place].process
        self.loop.pause(process)
        self.sky.later(seconds, self.loop.resume, process)

    def _restart(self, place: int) -> None:
        if not self.replicas[place].process.is_alive:
            self.replicas[place] = self._replica(place)
            self._begin(place)

    # Clients ask.

    async def _client(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            if self.chance.random() >= self.schedule.haste:
                await asyncio.sleep(self.chance.random() * self.chance.choice((0.01, 0.3)))
            for _ in range(_TRIES):
                outcome = await self._try(operation, self.schedule.patience_seconds)
                if outcome == "ok" or (outcome == "unknown" and not operation.is_keyed):
                    break

    async def _try(self, operation: Operation, patience_seconds: float) -> str:
        """What the client hears of one try."""
        is_loyal = self.chance.random() < self.schedule.loyalty
        replica = self.replicas[0] if is_loyal else self.chance.choice(self.replicas)
        attempt = self.history.begin(operation.name, replica.process.name, self.loop.steps)
        try:
            async with asyncio.timeout(patience_seconds):
                return await self.network.ask(replica, lambda: self._serve(replica, operation, attempt))
        except (TimeoutError, LostError, RefusedError):
            return "unknown"

    async def _serve(self, replica: Replica, operation: Operation, attempt: Attempt) -> str:
        """In the replica: what it would answer, whether or not the client hears it."""
        try:
            if operation.way == "writer":
                attempt.reply, attempt.position = await operation.transact(replica, attempt.trace)
                attempt.outcome = "ok"
            else:
                await self._answer(replica, operation, attempt, self.schedule.limits.deadline_seconds)
        except OutcomeUnknownError:
            attempt.outcome = "unknown"
        except TryAgainError:
            attempt.outcome = "nothing"
        except CorruptLogError as halted:
            self._outrage(f"{attempt.trace}: halted: {halted}")
        except Exception as bug:  # noqa: BLE001  # whatever it is, it must not happen
            self._outrage(f"{attempt.trace}: {bug!r}")
        attempt.answered_step = self.loop.steps
        return attempt.outcome

    async def _answer(
        self, replica: Replica, operation: Operation, attempt: Attempt, seconds: float, *, stays: bool = False
    ) -> HttpAnswer:
        """As the application does with a request."""
        call = replace(operation.call(attempt.trace, self.loop.time() + seconds), stays=stays)
        try:
            answer = await operation.answer(replica, call)
        except AnswerError as another:
            answer = another.answer
        except TryAgainError as error:
            answer = try_again_answer(call.doubt.weighed(error), call.path)
        attempt.outcome, attempt.reply = heard(answer)
        if not operation.is_keyed:
            attempt.position = place_of(answer)
        return answer

    async def serve_forwarded(self, replica: Replica, call: Call, seconds: float) -> HttpAnswer:
        """In the replica that a call was handed on to."""
        name = call.trace.partition("#")[0]
        attempt = self.history.begin(name, replica.process.name, self.loop.steps, forwarded=call.trace)
        seconds = min(seconds, self.schedule.limits.deadline_seconds)
        try:
            answer = await self._answer(replica, self.operations[name], attempt, seconds, stays=True)
        except Exception as bug:
            self._outrage(f"{attempt.trace}: {bug!r}")
            raise
        attempt.answered_step = self.loop.steps
        return answer

    def _outrage(self, what: str) -> None:
        self.history.outrages.append(what)

    # Everything heals.

    def _change_weather(self, weather: Weather) -> None:
        if not self._is_healed:
            self.sky.weather = weather

    async def _heal(self) -> None:
        self._is_healed = True
        self.sky.weather = self._roads.weather = CALM
        for task in self._background:
            task.cancel()
        self._blows.clear()
        for place, replica in enumerate(self.replicas):
            replica.process.at_step = -1
            self.loop.resume(replica.process)
            self._restart(place)
        for task in self._background:
            task.cancel()
        await asyncio.sleep(_LATEST_ARRIVAL_SECONDS)

    async def _insist(self, operation: Operation) -> None:
        """A request with a key is repeated until it is answered, and once more for certain."""
        if not operation.is_keyed:
            return
        for _ in range(_LAST_TRIES):
            if await self._try(operation, 60.0) == "ok":
                return
        self._outrage(f"{operation.name} is never answered")

    async def _tidy(self) -> None:
        for replica in self.replicas:
            await self._within(replica, replica.writer.catch_up)
            for _ in range(2):
                if not await self._within(replica, replica.save):
                    self._outrage(f"{replica.process.name} cannot save")
        if any(isinstance(one, Change) for operations in self.schedule.clients for one in operations):
            for _ in range(_LOOKS):
                replica = self.replicas[0]
                replica.skew += timedelta(days=8)
                await self._within(replica, replica.errands.run_due)
        for replica in self.replicas:
            halted = await self._within(replica, replica.writer.catch_up)
            if halted:
                self._outrage(f"{replica.process.name} halted: {halted}")
            await self._within(replica, replica.writer.close)

    async def _within(self, replica: Replica, work: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await work()

        return await self.loop.spawn(replica.process, run())
