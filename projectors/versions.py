"""Which versions of the read models this process keeps up, and what it does about those it cannot.

A version that was made from another definition belongs to processes of the release that has it; this one says so,
and leaves its rows alone. What is being built belongs to the command that builds it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from projectors.accounts import Accounts
from projectors.audit import Audit
from projectors.clients import Clients
from projectors.factors import Factors
from projectors.identifiers import Identifiers
from projectors.keep_going import stop_if_cancelled
from projectors.projector import Projector
from projectors.revoked_tokens import RevokedTokens
from projectors.sessions import Sessions
from projectors.signing_keys import SigningKeys
from projectors.tables import Tables
from readmodels.tables import create_tables, definition_of, serve_empty
from readmodels.versions import Version, all_versions, far_behind
from runtime.health import Health
from runtime.logs import get_logger
from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError

LOOK_SECONDS = 0.5
Changed = Literal["offer", "in-place"]
"""What is done about a definition that changed: `in-place` is for where nothing else keeps the old table up."""
_log = get_logger("projectors")

MAKERS: Mapping[str, Callable[[int], Projector]] = {
    "accounts": Accounts,
    "identifiers": Identifiers,
    "sessions": Sessions,
    "factors": Factors,
    "clients": Clients,
    "signing_keys": SigningKeys,
    "revoked_tokens": RevokedTokens,
    "audit": Audit,
}
"""Everything that is built in PostgreSQL, by the read model's name."""


def projector_of(version: Version) -> Projector:
    return MAKERS[version.read_model](version.version)


def first_versions() -> tuple[Projector, ...]:
    """What a new database is given."""
    return tuple(make(1) for make in MAKERS.values())


def is_ours(version: Version) -> bool:
    """Whether this release can apply facts to it."""
    return version.read_model in MAKERS and version.definition == definition_of(version.read_model)


class VersionWatch:
    """Lets the tables follow the versions that are noted in the database."""

    def __init__(
        self, postgres: Postgres, tables: Tables, health: Health, changed: Changed = "offer"
    ) -> None:
        self._postgres = postgres
        self._tables = tables
        self._health = health
        self._changed = changed
        self._left_alone: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled. What cannot be asked now is asked a moment later."""
        while True:
            stop_if_cancelled()
            try:
                await self.look()
            except (PostgresUnavailableError, PostgresRejectedError) as error:
                _log.warning("the versions of the read models are not known", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        await create_tables(self._postgres)
        versions = await all_versions(self._postgres)
        if self._changed == "in-place" and any(why_not(one, versions) for one in versions):
            await self._build_in_place([one for one in versions if why_not(one, versions)], versions)
            versions = await all_versions(self._postgres)
        left_behind = await far_behind(self._postgres, versions)
        kept_up = [one for one in versions if one.role != "building" and one not in left_behind]
        self._tables.build([projector_of(one) for one in kept_up if is_ours(one)])
        self._tell({one.projector: reason for one in versions if (reason := why_not(one, versions))})

    async def _build_in_place(self, unshown: Sequence[Version], versions: Sequence[Version]) -> None:
        """Let empty versions serve: what nobody has built yet, and the next one of what others made."""
        for one in unshown:
            newest = max(other.version for other in versions if other.read_model == one.read_model)
            number = newest + 1 if one.role == "serving" else one.version
            definition = definition_of(one.read_model)
            version = replace(one, version=number, role="building", definition=definition)
            await serve_empty(self._postgres, version)
            _log.warning("a read model is built anew, and reads of it wait", projector=version.projector)

    def _tell(self, left_alone: dict[str, str]) -> None:
        for projector in self._left_alone.keys() - left_alone.keys():
            self._health.set(projector, None)
        for projector, reason in left_alone.items():
            if self._left_alone.get(projector) != reason:
                self._health.set(projector, reason)
                _log.warning("a read model is not kept up here", projector=projector, reason=reason)
        self._left_alone = left_alone


def why_not(version: Version, versions: Sequence[Version]) -> str | None:
    """Why readers will miss what this version should show, with the command that helps. None if they do not."""
    if version.read_model not in MAKERS:
        return None
    name, others = version.read_model, [one for one in versions if one.read_model == version.read_model]
    if version.role == "building" and len(others) == 1:
        return f"is new and not built yet; run `chancery projections rebuild {name} --to v{version.version}`"
    if version.role == "serving" and not is_ours(version):
        newest = max(one.version for one in others)
        return (
            f"was made from another definition of {name} than this release has; "
            f"run `chancery projections rebuild {name} --to v{newest + 1}` of this release"
        )
    return None
