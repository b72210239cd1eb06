"""Builds a version of a read model beside the one that serves, compares the two, and lets it take over.

It may be stopped at any moment and run again: what was applied stays, with its checkpoint. Until the last step
nobody but this module writes the new version and nobody reads it; in between the projectors of this release
take it over, so that it never falls behind while it waits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from eventstore.keyring import Keyring
from eventstore.log import Log
from projectors.follower import Batch
from projectors.metrics import Metrics
from projectors.projector import Projector
from projectors.runner import Runner
from projectors.tables import Tables
from projectors.versions import is_ours, projector_of
from readmodels.checkpoints import server_now
from readmodels.dump import Digest, digest_of, one_moment
from readmodels.tables import READ_MODELS, create_tables, create_version, definition_of
from readmodels.versions import (
    BehindError,
    RebuildError,
    Version,
    all_versions,
    are_equally_far,
    drop,
    far_behind,
    is_kept_up_since,
    let_go,
    stand_by,
    switch,
)
from runtime.health import Health
from runtime.postgres import Postgres, PostgresUnavailableError

LOOK_SECONDS = 0.5
NEAR_THE_END_SECONDS = 3.0
TAKE_OVER_SECONDS = 30.0
LET_GO_SECONDS = 1.5
"""Longer than a projector process takes to see that a version is no longer its own."""
COMPARISONS = 20
SWITCHES = 50
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Records of the log: how many of them the new version has, of how many, and how many a second."""

    done: int
    total: int
    rate: float

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`before` is None if nothing serves yet. Digests are of one moment, which is one place in the log if `is_exact`."""

    before: Digest | None
    after: Digest
    is_exact: bool

    @property
    def is_equal(self) -> bool:
        return self.before is None or (self.before.rows, self.before.sha256) == (
            self.after.rows,
            self.after.sha256,
        )


class PacedTables(Tables):
    """Applies no more than so many records a second, so that whoever serves keeps the machine. 0 is no bound."""

    def __init__(self, postgres: Postgres, projector: Projector, metrics: Metrics, rate: float) -> None:
        super().__init__(postgres, (projector,), metrics)
        self._rate = rate
        self._free_at = 0.0

    async def apply(self, partition: int, batch: Batch) -> None:
        await super().apply(partition, batch)
        if self._rate:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + len(batch.commits) / self._rate
            await asyncio.sleep(self._free_at - now)


async def begin(postgres: Postgres, read_model: str, number: int) -> Version:
    """The version that is to be built, begun now or before. RebuildError if there can be none of that number."""
    if read_model not in READ_MODELS:
        raise RebuildError(f"{read_model} is none of {', '.join(READ_MODELS)}")
    await create_tables(postgres)
    others = [one for one in await all_versions(postgres) if one.read_model == read_model]
    known = next((one for one in others if one.version == number), None)
    wanted = Version(
        read_model=read_model, version=number, role="building", definition=definition_of(read_model)
    )
    if known is None and any(one.version > number for one in others):
        newest = max(one.version for one in others)
        raise RebuildError(f"versions only go up: {read_model} has a v{newest} already")
    if known is not None and known.role == "serving":
        raise RebuildError(f"{known.projector} serves already; rebuild --to v{number + 1}")
    if known is not None and is_ours(known):
        return await _resumed(postgres, known, others)
    if known is not None and known.role == "standby":
        raise RebuildError(
            f"{known.projector} was made from another definition; rebuild --to v{number + 1}, or "
            f"`chancery projections switch {read_model} --to v{number}` from the release that made it"
        )
    async with postgres.transaction() as tx:
        await drop(tx, wanted)
        await create_version(tx, wanted)
    return wanted


async def _resumed(postgres: Postgres, known: Version, others: Sequence[Version]) -> Version:
    """One that stood by and was left behind is built on, as if it had never stood by."""
    if known not in await far_behind(postgres, others):
        return known
    async with postgres.transaction() as tx:
        await let_go(tx, known)
    return replace(known, role="building")


async def build(
    log: Log,
    keyring: Keyring,
    postgres: Postgres,
    version: Version,
    *,
    rate: float,
    tell: Callable[[Progress], None],
) -> None:
    """Return once it has come near the end of every partition. RebuildError if one halts."""
    health, metrics = Health(), Metrics(CollectorRegistry())
    tables = PacedTables(postgres, projector_of(version), metrics, rate)
    runner = Runner(log, keyring, tables, health, metrics)
    async with _running(runner):
        began, first = time.monotonic(), None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            reports = runner.reports()
            halted = [f"partition {one.partition}: {one.halted}" for one in reports if one.halted]
            if halted:
                raise RebuildError("; ".join(halted))
            if len(reports) < log.partitions:
                continue
            done = sum(min(one.next_offset, one.log_end) for one in reports)
            first = done if first is None else first
            passed = time.monotonic() - began
            tell(Progress(done=done, total=sum(one.log_end for one in reports), rate=(done - first) / passed))
            lags = [one.lag_seconds for one in reports]
            if all(lag is not None and lag < NEAR_THE_END_SECONDS for lag in lags):
                return


@asynccontextmanager
async def _running(runner: Runner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def hand_over(
    postgres: Postgres, version: Version, partitions: int, *, within_seconds: float = TAKE_OVER_SECONDS
) -> Version:
    """Return once projectors keep it up. RebuildError if none do: it would serve and grow old."""
    async with postgres.transaction() as tx:
        await stand_by(tx, version)
    since = await server_now(postgres)
    until = time.monotonic() + within_seconds
    while not await is_kept_up_since(postgres, version, since, partitions):
        if time.monotonic() > until:
            async with postgres.transaction() as tx:
                await let_go(tx, version)
            raise RebuildError(
                f"no projectors of this release keep {version.projector} up; "
                "start `chancery serve projectors` and run the same command again"
            )
        await asyncio.sleep(PAUSE_SECONDS)
    return replace(version, role="standby")


async def compare(postgres: Postgres, version: Version) -> Comparison:
    """With what serves, at one moment and if possible at one place in the log."""
    serving = await serving_version(postgres, version.read_model)
    for attempt in range(COMPARISONS):
        async with one_moment(postgres) as tx:
            is_exact = serving is not None and await are_equally_far(tx, serving, version)
            if serving is None or is_exact or attempt == COMPARISONS - 1:
                return Comparison(
                    before=None if serving is None else await digest_of(tx, serving.projector),
                    after=await digest_of(tx, version.projector),
                    is_exact=is_exact,
                )
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError


async def switch_to(postgres: Postgres, version: Version) -> Version | None:
    """Let it serve; what served before, and still is kept up. RebuildError if it does not come as far in time."""
    serving = await serving_version(postgres, version.read_model)
    for _ in range(SWITCHES):
        try:
            await switch(postgres, serving, version)
        except (BehindError, PostgresUnavailableError) as error:
            reason = str(error)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return serving
    raise RebuildError(f"{reason}, so it may not serve; `chancery projections status` tells more")


async def serving_version(postgres: Postgres, read_model: str) -> Version | None:
    versions: Sequence[Version] = await all_versions(postgres)
    return next((one for one in versions if (one.read_model, one.role) == (read_model, "serving")), None)


async def discard(postgres: Postgres, version: Version) -> None:
    """Drop a version that does not serve, once no projector writes it any more."""
    async with postgres.transaction() as tx:
        await let_go(tx, version)
    await asyncio.sleep(LET_GO_SECONDS)
    async with postgres.transaction() as tx:
        await drop(tx, version)
