"""The read models: how far each is behind the log, which streams are parked, and what somebody paused."""

from collections.abc import Mapping, Sequence

from cli.doctor.finding import Finding, green, red, yellow
from cli.opened import opened_postgres
from cli.projections import statuses
from readmodels.parked_facts import counts_parked
from readmodels.pauses import pauses
from readmodels.projections import ProjectorStatus, State
from runtime.clock import rfc3339
from runtime.settings import Settings

PROJECTIONS = "projections"
PAUSES = "pauses"
_ADVICE: Mapping[State, str] = {
    "behind": "Wait, or give the projectors more processes; `chancery projections status` shows each partition.",
    "building": "Wait until it has been complete once.",
    "silent": "Start the projectors, and see whether they reach PostgreSQL and Kafka.",
    "halted": "`chancery projections status` says why; a person must look.",
}


async def lags(settings: Settings) -> Sequence[Finding]:
    """One line for each version that serves, and for others that need somebody."""
    found = await statuses(settings)
    async with opened_postgres() as postgres:
        parked = await counts_parked(postgres)
    judgements = [judged(one, parked.get(one.projector, 0)) for one in found]
    return [
        finding
        for one, finding in zip(found, judgements, strict=True)
        if one.role == "serving" or finding.level == "red"
    ]


def judged(status: ProjectorStatus, parked: int) -> Finding:
    check = f"projection {status.projector}"
    records = "unknown" if status.lag_records is None else f"{status.lag_records} records"
    seconds = "" if status.lag_seconds is None else f", {status.lag_seconds:.1f} s"
    said = f"{status.state}, behind by {records}{seconds}"
    if parked:
        advice = (
            "docs/how-to/handle-a-parked-stream.md; once the cause is gone: "
            f"`chancery projections retry {status.projector}`."
        )
        return red(check, f"{said}; {parked} stream{' is' if parked == 1 else 's are'} parked", advice)
    if status.state == "paused":
        return yellow(check, said, "`chancery projections resume tables` lets it go on.")
    if status.state != "live":
        return red(check, said, _ADVICE[status.state])
    return green(check, said)


async def paused(_settings: Settings) -> Sequence[Finding]:
    async with opened_postgres() as postgres:
        found = await pauses(postgres)
    if not found:
        return [green(PAUSES, "no consumer was told to stand still")]
    said = ", ".join(f"{name} stands still since {rfc3339(at)}" for name, at in found.items())
    return [yellow(PAUSES, said, " ".join(f"`chancery projections resume {name}`." for name in found))]
