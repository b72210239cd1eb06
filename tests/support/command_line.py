"""`chancery …` as a process of its own, with exactly the settings that a test gives it."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str


def own_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without Chancery's settings, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHANCERY_")}
    return {**kept, **settings}


async def start(
    *arguments: str, settings: Mapping[str, str], options: tuple[str, ...] = ()
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *options,
        "-m",
        "cli.main",
        *arguments,
        env=own_environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts() -> None:
    """As in a terminal: what a shell starts in the background inherits that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def ended(process: asyncio.subprocess.Process, seconds: float = 60) -> Ended:
    out, err = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode is not None
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())


async def chancery(
    *arguments: str, settings: Mapping[str, str], options: tuple[str, ...] = (), seconds: float = 60
) -> Ended:
    return await ended(await start(*arguments, settings=settings, options=options), seconds)
