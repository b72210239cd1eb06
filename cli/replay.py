"""`chancery replay …`: tools that read the whole log."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CHECK_FAILED, USAGE, explained

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from replay.partition_check import SavedHead
    from replay.verify import Proof, Wanted

app = typer.Typer(help="Tools that read the whole log.", no_args_is_help=True)


@app.callback()
def replay() -> None:
    """Keeps `verify` a sub-command while it is the only one."""


@app.command("verify")
def verify(
    heads: Annotated[
        Path | None,
        typer.Option(help="A report of --json that was saved before: the log must still hold its heads."),
    ] = None,
    expect_head: Annotated[
        list[str] | None, typer.Option(help="One such head, as `partition:seq:hash`. May be repeated.")
    ] = None,
    *,
    chain_only: Annotated[
        bool,
        typer.Option("--chain-only", help="No check of streams and commit ids; needs a fifth of the memory."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Prove the log from its first record on: every hash, every number, every stream.

    A tail that was cut off leaves no trace in a chain. Save the report of --json elsewhere and give it to
    --heads the next time.
    """
    try:
        saved = _saved_heads(heads, expect_head or [])
    except (OSError, ValueError, KeyError, TypeError):
        typer.echo(
            "The heads cannot be read: a report of `replay verify --json`, or partition:seq:hash.", err=True
        )
        raise typer.Exit(USAGE) from None
    with explained():
        proof = asyncio.run(_verify(saved, is_thorough=not chain_only, is_shown=not as_json))
    print(json.dumps(_object(proof))) if as_json else _print(proof)
    if proof.broken:
        raise typer.Exit(CHECK_FAILED)


async def _verify(saved: "dict[int, SavedHead]", *, is_thorough: bool, is_shown: bool) -> "Proof":
    from eventstore.errors import UnsafeTopicError
    from replay.verify import Wanted
    from runtime.kafka_admin import open_admin
    from runtime.settings import load_settings

    settings = load_settings()
    async with open_admin(settings.kafka) as admin:
        count = await admin.partition_count(settings.events_topic)
    if count != settings.partitions:
        raise UnsafeTopicError(
            f"topic {settings.events_topic} has {count} partitions and CHANCERY_PARTITIONS says {settings.partitions}"
        )
    wanted = Wanted(
        access=settings.kafka,
        topic=settings.events_topic,
        partitions=settings.partitions,
        heads=saved,
        is_thorough=is_thorough,
    )
    return await _shown(wanted, is_shown=is_shown and sys.stderr.isatty())


async def _shown(wanted: "Wanted", *, is_shown: bool) -> "Proof":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from replay import verify as verifying

    columns = (
        TextColumn("{task.completed:,.0f} records"),
        BarColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
    )
    bar: Bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not is_shown)
    with bar:
        task = bar.add_task("reading", total=None, rate=0)

        def show(now: verifying.Progress) -> None:
            bar.update(task, completed=now.read, total=now.total, rate=now.rate)

        return await verifying.verify(wanted, show)


def _saved_heads(report: Path | None, texts: list[str]) -> "dict[int, SavedHead]":
    from replay.partition_check import SavedHead

    saved = {}
    for one in json.loads(report.read_text())["partitions"] if report else ():
        saved[int(one["partition"])] = SavedHead(seq=int(one["seq"]), hash=str(one["hash"]))
    for text in texts:
        partition, seq, digest = text.split(":")
        saved[int(partition)] = SavedHead(seq=int(seq), hash=digest)
    return saved


def _object(proof: "Proof") -> dict[str, object]:
    partitions = [
        {
            "partition": one.partition,
            "seq": one.seq,
            "hash": one.hash,
            "records": one.records,
            "commits": one.commits,
            "events": one.events,
            "void": one.void,
            "broken": _broken(proof, one.partition),
        }
        for one in proof.partitions
    ]
    return {
        "ok": not proof.broken,
        "log": proof.partitions[0].log_id,
        "records": proof.records,
        "seconds": round(proof.seconds, 3),
        "records_per_second": round(proof.records / proof.seconds),
        "partitions": partitions,
    }


def _broken(proof: "Proof", partition: int) -> dict[str, object] | None:
    broken = proof.broken.get(partition)
    return None if broken is None else {"offset": broken.offset, "reason": broken.reason}


def _print(proof: "Proof") -> None:
    for one in proof.partitions:
        void = ", ".join(f"{count} {cause}" for cause, count in one.void.items()) or "none"
        print(f"partition {one.partition}: {one.commits} commits, {one.events} events, void: {void}")
        print(f"  head {one.partition}:{one.seq}:{one.hash}")
        broken = proof.broken.get(one.partition)
        if broken is not None:
            print(f"  BROKEN at offset {broken.offset}: {broken.reason}")
    verdict = "is broken" if proof.broken else "is whole"
    print(f"Log {proof.partitions[0].log_id} {verdict}: {proof.records} records in {proof.seconds:.1f} s.")
