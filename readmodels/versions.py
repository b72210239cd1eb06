"""The versions of each read model: which serves, which are kept up beside it, which is being built.

Readers ask the view with the read model's name (`chancery.sessions`); it shows the one version that serves
(`chancery.sessions_v1`). Laws: a version serves only once it is as far as the one before it, and the view, the
role and whoever waits for a position change in one transaction.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from readmodels.checkpoints import lock_checkpoints_everywhere, tell_to_look_again
from runtime.postgres import Connection, Postgres, PostgresUnavailableError
from runtime.statements import load_statements

SQL = load_statements(__file__)

FAR_BEHIND_RECORDS = 10_000
"""Of all partitions together: some seconds of catching up."""

Role = Literal["building", "standby", "serving"]
"""`building`: only the command that builds it writes it. `standby`: kept up, and may serve. One serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """`definition` is a digest of what the table was made from; another release may have another."""

    read_model: str
    version: int
    role: Role
    definition: str

    @property
    def projector(self) -> str:
        return f"{self.read_model}_v{self.version}"


class RebuildError(Exception):
    """A sentence that says why a version is not built or does not serve, and what to do."""


class BehindError(Exception):
    """A version was to serve that lacks what the one that serves now shows already."""


async def all_versions(postgres: Postgres) -> tuple[Version, ...]:
    return tuple(Version(**row) for row in await postgres.fetch(SQL["all"]))


async def versions_in(tx: Connection) -> tuple[Version, ...]:
    return tuple(Version(**row) for row in await tx.fetch(SQL["all"]))


async def register(tx: Connection, version: Version) -> None:
    """Note a version; one that is known already stays as it is."""
    await tx.execute(
        SQL["register"],
        version.read_model,
        version.version,
        version.projector,
        version.role,
        version.definition,
    )


async def stand_by(tx: Connection, version: Version) -> None:
    """From now on projectors keep it up."""
    await tx.execute(SQL["become"], version.read_model, version.version, "standby")


async def let_go(tx: Connection, version: Version) -> None:
    """From now on projectors leave it alone."""
    await tx.execute(SQL["become"], version.read_model, version.version, "building")


async def are_equally_far(tx: Connection, one: Version, other: Version) -> bool:
    """Whether both hold the log up to the same commit of every partition."""
    row = await tx.fetch_one(SQL["unequal"], one.projector, other.projector)
    return row is not None and row["partitions"] == 0


async def is_kept_up_since(postgres: Postgres, version: Version, since: datetime, partitions: int) -> bool:
    """Whether somebody found it complete after that moment of the server's time."""
    row = await postgres.fetch_one(SQL["kept_up_since"], version.projector, since)
    return row is not None and row["partitions"] >= partitions


@asynccontextmanager
async def one_at_a_time(postgres: Postgres, read_model: str) -> AsyncIterator[bool]:
    """Whether nobody else is inside for this read model, as long as the block lasts."""
    async with postgres.dedicated(idle_seconds=0) as connection:
        row = await connection.fetch_one(SQL["try_lock"], read_model)
        is_ours = row is not None and row["is_ours"]
        try:
            yield is_ours
        finally:
            if is_ours:
                with suppress(PostgresUnavailableError):  # then the lock has gone with its connection
                    await connection.execute(SQL["unlock"], read_model)


async def show(tx: Connection, version: Version) -> None:
    """Let the read model's view show this version."""
    names = {"name": version.projector, "read_model": version.read_model}
    await tx.execute(SQL["drop_view"].format(**names))
    await tx.execute(SQL["serve"].format(**names))
    await tell_to_look_again(tx)


async def switch(postgres: Postgres, now: Version | None, then: Version) -> None:
    """Let `then` serve in place of `now`, for all readers at one moment.

    BehindError if it is not as far in every partition: no reader ever sees less than before.
    """
    async with postgres.transaction() as tx:
        await be_brief(tx)
        names = [one.projector for one in (now, then) if one is not None]
        seqs = await lock_checkpoints_everywhere(tx, names)
        if now is not None:
            _require_as_far(seqs.get(now.projector, {}), seqs.get(then.projector, {}), then)
        await exchange(tx, now, then)


async def exchange(tx: Connection, now: Version | None, then: Version) -> None:
    """Let `then` serve, however far it is, and `now` stand by."""
    if now is not None:
        await stand_by(tx, now)
    await tx.execute(SQL["become"], then.read_model, then.version, "serving")
    await show(tx, then)


async def be_brief(tx: Connection) -> None:
    """Let this transaction fail rather than wait for somebody who reads a view for long."""
    await tx.execute(SQL["brief"])


async def far_behind(postgres: Postgres, versions: Sequence[Version]) -> frozenset[Version]:
    """The versions that stand by, but so far behind the one that serves that they would hold it up."""
    rows = await postgres.fetch(SQL["progress"])
    reached = {row["projector"]: row["next_offset"] for row in rows}
    serving = {one.read_model: reached.get(one.projector, 0) for one in versions if one.role == "serving"}
    return frozenset(
        one
        for one in versions
        if one.role == "standby"
        and serving.get(one.read_model, 0) - reached.get(one.projector, 0) > FAR_BEHIND_RECORDS
    )


async def drop(tx: Connection, version: Version) -> None:
    """All that there is of a version, and its note."""
    await lock_checkpoints_everywhere(tx, [version.projector])
    for name in ("forget", "forget_checkpoints", "forget_parked"):
        await tx.execute(SQL[name], version.projector)
    await tx.execute(SQL["drop_table"].format(name=version.projector))


def _require_as_far(now: Mapping[int, int], then: Mapping[int, int], version: Version) -> None:
    behind = [partition for partition, seq in now.items() if then.get(partition, -1) < seq]
    if behind:
        raise BehindError(f"{version.projector} is behind in partitions {', '.join(map(str, behind))}")
