"""What becomes of the driver's errors."""

import asyncio
import contextlib

import pytest
from redis.exceptions import ConnectionError as DriverError

from runtime.redis import ValkeyUnavailableError, translated


async def fail_while_cleaning_up() -> None:
    """As the driver does with a connection that its peer closed, when it is cancelled."""
    with translated():
        try:
            await asyncio.Event().wait()
        finally:
            raise DriverError


async def test_an_error_while_a_task_is_cancelled_does_not_take_the_cancellation_back() -> None:
    task = asyncio.create_task(fail_while_cleaning_up())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_call_that_succeeds_although_it_was_cancelled_takes_nothing_back() -> None:
    async def try_again() -> None:
        with translated(), contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = asyncio.create_task(try_again())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_who_cleans_up_after_a_cancellation_may_still_ask() -> None:
    answers = []

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with translated():
                answers.append("asked")

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), answers) == (True, ["asked"])


async def test_a_deadline_around_it_stays_a_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await fail_while_cleaning_up()


async def test_any_other_error_says_that_the_store_is_unavailable() -> None:
    with pytest.raises(ValkeyUnavailableError), translated():
        raise DriverError
