"""What a killed supervisor left behind: its children are ending, and the next start waits for them."""

import asyncio
import os
import signal
import time

from localstack.child import birth_mark
from localstack.state import StackState

PATIENCE_SECONDS = 10.0
KILLED_SECONDS = 5.0
PAUSE_SECONDS = 0.05


async def wait_gone(last: StackState | None) -> None:
    """Return once no process of the last run lives; those that outstay `PATIENCE_SECONDS` are killed.

    A pid counts only with its birth mark, so that a stranger's process is never touched.
    """
    if last is None:
        return
    marks = {one.pid: one.born for one in last.processes.values() if one.pid and one.born}
    if not await _gone_within(marks, PATIENCE_SECONDS):
        for pid in _living(marks):
            os.kill(pid, signal.SIGKILL)
        await _gone_within(marks, KILLED_SECONDS)


async def _gone_within(marks: dict[int, str], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _living(marks):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(PAUSE_SECONDS)
    return True


def _living(marks: dict[int, str]) -> list[int]:
    return [pid for pid, born in marks.items() if birth_mark(pid) == born]
