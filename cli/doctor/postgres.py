"""PostgreSQL: whether it answers, is new enough, and holds tables that this release made."""

from collections.abc import Sequence

from cli.doctor.finding import Finding, green, red, yellow
from cli.opened import opened_postgres
from domain.aggregates import FOLD_VERSION
from eventstore.postgres_write_model import partitions_folded
from projectors.versions import why_not
from readmodels.tables import lacks_tables
from readmodels.versions import all_versions
from runtime.settings import Settings

POSTGRES = "PostgreSQL"
OLDEST = 160_000
READ_MODELS = "read models"
WRITE_MODEL = "write model"


async def server(_settings: Settings) -> Sequence[Finding]:
    async with opened_postgres() as postgres:
        version = await postgres.version()
    said = f"version {version // 10_000}.{version % 10_000}"
    if version < OLDEST:
        return [red(POSTGRES, said, "Chancery needs 16 or later: upgrade.")]
    return [green(POSTGRES, said)]


async def read_models(_settings: Settings) -> Sequence[Finding]:
    """Tables are there, and each read model is served by a version that this release keeps up."""
    async with opened_postgres() as postgres:
        if await lacks_tables(postgres):
            return [red(READ_MODELS, "tables are missing", "Run `chancery provision`.")]
        versions = await all_versions(postgres)
    reasons = [(one.projector, reason) for one in versions if (reason := why_not(one, versions))]
    for projector, reason in reasons:
        said, _, advice = reason.partition("; ")
        return [red(READ_MODELS, f"{projector} {said}", f"{advice[:1].upper()}{advice[1:]}.")]
    serving = sorted(one.projector for one in versions if one.role == "serving")
    return [green(READ_MODELS, f"{', '.join(serving)} serve, made as this release makes them")]


async def write_model(settings: Settings) -> Sequence[Finding]:
    async with opened_postgres() as postgres:
        partitions = await partitions_folded(postgres, FOLD_VERSION)
    if partitions is None:
        advice = "The first command process makes it; until then commands fold from the log."
        return [yellow(WRITE_MODEL, "there is none", advice)]
    said = f"fold version {FOLD_VERSION}, checkpoints of {partitions} of {settings.partitions} partitions"
    return [green(WRITE_MODEL, said)]
