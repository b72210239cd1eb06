"""What happens when a consumer of a partition fails: try again with growing pauses, or halt. Never skip."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from eventstore.errors import CorruptLogError, UnavailableError
from projectors.metrics import Metrics
from projectors.system_commands import CommandUnansweredError
from runtime.health import Health
from runtime.logs import get_logger
from runtime.postgres import PostgresRejectedError, PostgresUnavailableError
from runtime.redis import ValkeyUnavailableError

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
CALM_SECONDS = 10.0
"""An attempt that lasted so long was a good one, and the next failure is a new one."""

TRY_AGAIN = (UnavailableError, CommandUnansweredError, PostgresUnavailableError, ValkeyUnavailableError)

_log = get_logger("projectors")


class OutrunError(Exception):
    """The stored checkpoint is not the one that was left there: somebody else applied, or the store was replaced."""


class Course:
    """One consumer's way through one partition, as health, metrics and the log tell of it."""

    def __init__(self, consumer: str, partition: int, health: Health, metrics: Metrics) -> None:
        self.consumer = consumer
        self.partition = partition
        self._part = f"{consumer}-{partition}"
        self._health = health
        self._metrics = metrics
        self.halted: str | None = None
        """Why, once it has."""
        self.is_resting = False
        """Whether to end between two batches, so that another process or another time may go on."""

    def rests(self) -> None:
        self.is_resting = True

    def goes_on(self) -> None:
        self.is_resting = False

    def reached_end(self) -> None:
        self._health.set(self._part, None)

    def waits(self, reason: str) -> None:
        self._health.set(self._part, reason)

    def fails(self, error: Exception) -> None:
        self._health.set(self._part, str(error))
        _log.warning(
            "will try again", consumer=self.consumer, partition=self.partition, error=type(error).__name__
        )

    def halts(self, reason: str) -> None:
        self.halted = reason
        self._health.set(self._part, f"halted at {reason}")
        self._metrics.halted.labels(self.consumer).inc()
        _log.error("partition halted", consumer=self.consumer, partition=self.partition, reason=reason)


async def keep_going(
    course: Course, attempt: Callable[[], Awaitable[None]], passes_on: tuple[type[Exception], ...] = ()
) -> None:
    """Run `attempt` again whenever it ends, until it is cancelled, or the partition halts or rests.

    Errors in `passes_on` are for the caller. Whatever is not known to pass halts the partition: its reason
    names no more than the kind of error, because texts of bugs may quote personal data.
    """
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE_SECONDS
    while not course.is_resting:
        stop_if_cancelled()
        began = loop.time()
        try:
            await attempt()
        except passes_on:
            raise
        except OutrunError:
            pause = FIRST_PAUSE_SECONDS
        except TRY_AGAIN as error:
            course.fails(error)
            pause = FIRST_PAUSE_SECONDS if loop.time() - began > CALM_SECONDS else pause
        except (CorruptLogError, PostgresRejectedError) as error:
            course.halts(str(error))
            return
        except Exception as error:  # noqa: BLE001  # a bug stops its partition, visibly, and no other
            course.halts(f"a bug: {type(error).__name__} in {place_of_bug(error)}")
            return
        if course.is_resting:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def stop_if_cancelled() -> None:
    """End a task that was told to end.

    Loops ask here, because `asyncio.wait_for` of Python 3.11, which drivers use, forgets a cancellation that
    comes together with its result.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def place_of_bug(error: Exception) -> str:
    """Where it was raised. A whole traceback would print the error's text too."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
