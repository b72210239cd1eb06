"""`chancery projections rebuild | switch | drop`: versions of a read model, built and exchanged while it serves."""

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CHECK_FAILED, explained
from cli.opened import opened_log, opened_postgres

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from projectors.rebuild import Comparison, Progress
    from readmodels.versions import Version

_VERSION = re.compile(r"v?([1-9]\d{0,8})")

Name = Annotated[str, typer.Argument(help="The read model, e.g. sessions.")]
To = Annotated[str, typer.Option("--to", help="The version, e.g. v2.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a rebuild came to. `before` is the version that served, None if none did."""

    version: "Version"
    before: "Version | None"
    compared: "Comparison"
    is_switched: bool


def rebuild(
    name: Name,
    to: To,
    rate: Annotated[float, typer.Option(help="Commits a second at most; 0 is no bound.")] = 0,
    *,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Switch although the rows are not the same.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a version beside the one that serves, compare the two, and switch. Exit code 1 if they differ.

    Run it again after an interruption: it goes on where it was.
    """
    with explained():
        outcome = asyncio.run(_rebuild(name, _number(to), rate, accept_changes=accept_changes))
    if as_json:
        print(json.dumps(_object(outcome)))
    else:
        _print(outcome)
    if not outcome.is_switched:
        raise typer.Exit(CHECK_FAILED)


def switch(name: Name, to: To, *, as_json: AsJson = False) -> None:
    """Let a version serve that is kept up beside the one that serves now: the way back, or forth again."""
    with explained():
        before, then = asyncio.run(_switch(name, _number(to)))
    if as_json:
        print(json.dumps({"ok": True, "serving": then.projector, "before": before and before.projector}))
    else:
        print(f"{then.projector} serves {name} now.")


def drop(
    projector: Annotated[str, typer.Argument(help="The version, e.g. sessions_v1.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Drop a version that does not serve: its rows, and how far it had come."""
    with explained():
        asyncio.run(_drop(projector))
    print(json.dumps({"ok": True, "dropped": projector}) if as_json else f"{projector} is gone.")


def _number(text: str) -> int:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text} is no version; say v2, for example")
    return int(match[1])


async def _rebuild(name: str, number: int, rate: float, *, accept_changes: bool) -> Outcome:
    from projectors import rebuild as steps
    from readmodels.versions import one_at_a_time

    async with opened_log() as opened, one_at_a_time(opened.postgres, name) as is_ours:
        postgres = opened.postgres
        _require_turn(name, is_ours=is_ours)
        version = await steps.begin(postgres, name, number)
        before = await steps.serving_version(postgres, name)
        if version.role == "building":
            _say(f"Building {version.projector} beside {before.projector if before else 'nothing'}.")
            with _bar() as bar:
                task = bar.add_task("building", total=None, rate=0)

                def tell(now: "Progress") -> None:
                    bar.update(task, completed=now.done, total=now.total, rate=now.rate)

                await steps.build(opened.log, opened.keyring, postgres, version, rate=rate, tell=tell)
            _say("It is near the end of the log; waiting for the projectors to keep it up.")
            version = await steps.hand_over(postgres, version, opened.log.partitions)
        _say("Comparing.")
        compared = await steps.compare(postgres, version)
        may_switch = compared.is_equal or accept_changes
        if may_switch:
            await steps.switch_to(postgres, version)
        return Outcome(version=version, before=before, compared=compared, is_switched=may_switch)


async def _switch(name: str, number: int) -> "tuple[Version | None, Version]":
    from projectors import rebuild as steps
    from readmodels.versions import RebuildError, all_versions, one_at_a_time

    async with opened_postgres() as postgres, one_at_a_time(postgres, name) as is_ours:
        _require_turn(name, is_ours=is_ours)
        versions = [one for one in await all_versions(postgres) if one.read_model == name]
        then = next((one for one in versions if one.version == number), None)
        if then is None or then.role == "building":
            there = ", ".join(f"{one.projector} ({one.role})" for one in versions) or "nothing"
            raise RebuildError(f"{name} has no finished v{number}; there is {there}")
        if then.role == "serving":
            return then, then
        return await steps.switch_to(postgres, then), then


async def _drop(projector: str) -> None:
    from projectors import rebuild as steps
    from readmodels.versions import RebuildError, all_versions, one_at_a_time

    name = projector.rpartition("_v")[0]
    async with opened_postgres() as postgres, one_at_a_time(postgres, name) as is_ours:
        _require_turn(name, is_ours=is_ours)
        versions = await all_versions(postgres)
        version = next((one for one in versions if one.projector == projector), None)
        if version is None:
            there = ", ".join(one.projector for one in versions)
            raise RebuildError(f"there is no {projector}; there is {there}")
        if version.role == "serving":
            raise RebuildError(f"{projector} serves; switch to another version first")
        await steps.discard(postgres, version)


def _require_turn(name: str, *, is_ours: bool) -> None:
    from readmodels.versions import RebuildError

    if not is_ours:
        raise RebuildError(f"somebody else is changing the versions of {name} now")


def _bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} records"),
        BarColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
    )
    return Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not sys.stderr.isatty()
    )


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _object(outcome: Outcome) -> dict[str, object]:
    compared = outcome.compared
    return {
        "ok": outcome.is_switched,
        "read_model": outcome.version.read_model,
        "version": outcome.version.version,
        "switched": outcome.is_switched,
        "compared": {
            "equal": compared.is_equal,
            "at_one_place_in_the_log": compared.is_exact,
            "before": compared.before and {"rows": compared.before.rows, "sha256": compared.before.sha256},
            "after": {"rows": compared.after.rows, "sha256": compared.after.sha256},
        },
    }


def _print(outcome: Outcome) -> None:
    version, before, compared = outcome.version, outcome.before, outcome.compared
    for digest in (compared.before, compared.after):
        if digest is not None:
            print(f"{digest.read_model:<20} {digest.rows} rows, sha256 {digest.sha256[:16]}")
    if not outcome.is_switched:
        print(
            f"They differ{'' if compared.is_exact else ', or are at other places in the log'}: nothing was switched."
        )
        print(
            f"If the change is meant: chancery projections rebuild {version.read_model} --to v{version.version} --accept-changes"
        )
        print(f"If it is not: chancery projections drop {version.projector}")
        return
    print(f"{version.projector} serves {version.read_model} now.")
    if before is not None:
        print(f"Back: chancery projections switch {version.read_model} --to v{before.version}")
        print(f"When all is well: chancery projections drop {before.projector}")
