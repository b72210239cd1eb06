"""`chancery projections …`: how far the read models are. It asks PostgreSQL and Kafka, not the Query API."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CHECK_FAILED, explained
from cli.opened import opened_log, opened_postgres
from cli.rebuild import AsJson, drop, rebuild, switch

if TYPE_CHECKING:
    from readmodels.pauses import Consumer
    from readmodels.projections import ProjectorStatus
    from runtime.settings import Settings

PAUSE_LOOKS = 100
PAUSE_LOOK_SECONDS = 0.1
QUIET_LOOKS = 8
"""Longer than a process takes to see a pause, which may have looked just before."""
ConsumerName = Annotated[str, typer.Argument(help="`tables` (all of PostgreSQL), `mailer` or `relay`.")]

app = typer.Typer(help="The read models that are built from the log.", no_args_is_help=True)
for command in (rebuild, switch, drop):
    app.command(command.__name__)(command)


@app.command("status")
def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how far every projector is behind the log. Exit code 1 unless all that serve are live."""
    with explained():
        found = asyncio.run(_status())
    is_live = all(one.state == "live" for one in found if one.role == "serving")
    if as_json:
        from readmodels.projections import projector_object

        print(json.dumps({"ok": is_live, "projectors": [projector_object(one) for one in found]}))
    else:
        for one in found:
            _print(one)
    if not is_live:
        raise typer.Exit(CHECK_FAILED)


@app.command("pause")
def pause(consumer: ConsumerName, *, as_json: AsJson = False) -> None:
    """Let a consumer stand still, in all processes, between two batches, until `resume`.

    With `tables`, reads grow old and token checks lean on Valkey alone; with `mailer` no mail goes out; with
    `relay` nothing is published. Nothing is lost.
    """
    with explained():
        left = asyncio.run(_pause(_known(consumer)))
    if as_json:
        print(json.dumps({"ok": left == 0, "consumer": consumer, "partitions_in_work": left}))
    else:
        print(
            f"{consumer} stands still."
            if left == 0
            else f"{left} partitions of {consumer} are still at work."
        )
    if left:
        raise typer.Exit(CHECK_FAILED)


@app.command("resume")
def resume(consumer: ConsumerName, *, as_json: AsJson = False) -> None:
    """Let a paused consumer go on."""
    with explained():
        asyncio.run(_resume(_known(consumer)))
    print(json.dumps({"ok": True, "consumer": consumer}) if as_json else f"{consumer} goes on.")


@app.command("retry")
def retry(
    projector: Annotated[str, typer.Argument(help="The read model, e.g. accounts_v1.")],
    *,
    stream: Annotated[str, typer.Option(help="Only this parked stream.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Apply what was parked, once its cause is gone. Exit code 1 if a stream still cannot be applied."""
    with explained():
        outcomes = asyncio.run(_retry(projector, stream))
    if as_json:
        streams = [{"stream": name, "reason": reason} for name, reason in outcomes.items()]
        print(json.dumps({"ok": not any(outcomes.values()), "streams": streams}))
    else:
        for name, reason in outcomes.items():
            print(f"{name}: {'applied' if reason is None else f'still parked, {reason}'}")
        if not outcomes:
            print(f"Nothing is parked in {projector}{f' of {stream}' if stream else ''}.")
    if any(outcomes.values()):
        raise typer.Exit(CHECK_FAILED)


def _known(consumer: str) -> "Consumer":
    from readmodels.pauses import CONSUMERS

    for known in CONSUMERS:
        if known == consumer:
            return known
    raise typer.BadParameter(f"{consumer} is none of {', '.join(CONSUMERS)}")


async def _pause(consumer: "Consumer") -> int:
    """How many partitions are still worked on, after a wait."""
    from projectors.turns import lock_of
    from readmodels.pauses import partitions_in_work, pause

    async with opened_postgres() as postgres:
        await pause(postgres, consumer)
        quiet_looks = 0
        for _ in range(PAUSE_LOOKS):
            left = await partitions_in_work(postgres, lock_of(consumer))
            quiet_looks = quiet_looks + 1 if left == 0 else 0
            if quiet_looks == QUIET_LOOKS:
                break
            await asyncio.sleep(PAUSE_LOOK_SECONDS)
        return left


async def _resume(consumer: "Consumer") -> None:
    from readmodels.pauses import resume

    async with opened_postgres() as postgres:
        await resume(postgres, consumer)


async def _retry(name: str, stream: str) -> dict[str, str | None]:
    from eventstore.errors import CorruptLogError, UnavailableError
    from projectors.parking import retry
    from projectors.versions import is_ours, projector_of
    from readmodels.parked_facts import streams_of
    from readmodels.versions import all_versions

    async with opened_log() as opened:
        versions = [one for one in await all_versions(opened.postgres) if is_ours(one)]
        projector = next((projector_of(one) for one in versions if one.projector == name), None)
        if projector is None:
            known = ", ".join(one.projector for one in versions)
            raise typer.BadParameter(f"{name} is none of {known}")
        outcomes: dict[str, str | None] = {}
        for one in await streams_of(opened.postgres, name):
            if stream not in ("", one):
                continue
            try:
                outcomes[one] = await retry(opened.postgres, opened.log, opened.keyring, projector, one)
            except (CorruptLogError, UnavailableError) as error:
                outcomes[one] = str(error)
        return outcomes


async def _status() -> "tuple[ProjectorStatus, ...]":
    from runtime.settings import load_settings

    return await statuses(load_settings())


async def statuses(settings: "Settings") -> "tuple[ProjectorStatus, ...]":
    """Of every projector, by the log's own ends."""
    from datetime import timedelta

    from eventstore.kafka_log import KafkaLog
    from readmodels.projections import projector_status
    from runtime.postgres import Postgres

    log = KafkaLog(settings.kafka, settings.events_topic, settings.partitions)
    postgres = await Postgres.open(settings.postgres_dsn.get_secret_value())
    try:
        await log.start()
        ends = {number: await log.end(number) for number in range(settings.partitions)}
        return await projector_status(
            postgres,
            partitions=settings.partitions,
            limit=timedelta(seconds=settings.projection_lag_seconds),
            ends=ends,
        )
    finally:
        await log.stop()
        await postgres.close()


def _print(status: "ProjectorStatus") -> None:
    records = "unknown" if status.lag_records is None else f"{status.lag_records} records"
    seconds = "" if status.lag_seconds is None else f", {status.lag_seconds:.1f} s"
    role = "" if status.role == "serving" else f" ({status.role})"
    print(f"{status.projector:<20} {status.state:<9} behind by {records}{seconds}{role}")
    for one in status.partitions:
        if one.state != "live":
            print(f"  partition {one.partition}: {one.state}{f', {one.reason}' if one.reason else ''}")
    for parked in status.parked_streams:
        position = f"{parked.partition}:{parked.seq}"
        print(f"  parked {parked.stream}: {parked.facts} from {position} on, {parked.reason}")
