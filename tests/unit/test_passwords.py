"""The password pool: Argon2id, bounded, and as much work for nobody as for somebody."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from argon2.low_level import Type

from runtime.passwords import PasswordPool, PasswordPoolFullError

PASSWORD = "a sentence nobody guesses"


@pytest.fixture
async def pool() -> AsyncIterator[PasswordPool]:
    pool = PasswordPool(threads=2, queue=8)
    yield pool
    pool.close()


async def test_a_password_is_the_one_that_was_hashed_or_not(pool: PasswordPool) -> None:
    stored = await pool.hash(PASSWORD)
    assert await pool.verify(stored, PASSWORD)
    assert not await pool.verify(stored, PASSWORD.upper())


async def test_hashes_are_argon2id_with_the_documented_cost(pool: PasswordPool) -> None:
    cost = extract_parameters(await pool.hash(PASSWORD))
    assert (cost.type, cost.memory_cost, cost.time_cost, cost.parallelism) == (Type.ID, 19_456, 2, 1)


async def test_the_same_password_never_has_the_same_hash(pool: PasswordPool) -> None:
    assert await pool.hash(PASSWORD) != await pool.hash(PASSWORD)


@pytest.mark.parametrize(
    ("stored", "other"),
    [
        ("x" * 72 + "a", "x" * 72 + "b"),
        ("x" * 72, "x" * 73),
        ("a sentence\x00one", "a sentence\x00two"),
        ("a sentence", "a sentence\x00"),
        ("é", "e\u0301"),
        ("", "\x00"),
    ],
    ids=["73rd byte", "73 bytes", "after NUL", "NUL at the end", "two forms of é", "nothing and NUL"],
)
async def test_abuse_j2_passwords_that_differ_anywhere_differ(
    pool: PasswordPool, stored: str, other: str
) -> None:
    hashed = await pool.hash(stored)
    assert (await pool.verify(hashed, stored), await pool.verify(hashed, other)) == (True, False)


async def test_abuse_c2_nobody_has_a_password_that_matches(pool: PasswordPool) -> None:
    assert not await pool.verify(None, PASSWORD)
    assert not await pool.verify(None, "a password that nobody has")


async def test_abuse_c2_nobody_takes_as_much_work_as_somebody(pool: PasswordPool) -> None:
    """Counted in the pool's own threads, where the clock of a busy machine does not matter."""
    stored = await pool.hash(PASSWORD)
    pool_of_one = PasswordPool(threads=1, queue=100)
    worker = pool_of_one._executor  # noqa: SLF001  # the thread whose time is measured
    spent = {}
    for name, target in (("somebody", stored), ("nobody", None)):
        before = await asyncio.wrap_future(worker.submit(cpu_seconds))
        for _ in range(8):
            assert not await pool_of_one.verify(target, "not the password")
        spent[name] = await asyncio.wrap_future(worker.submit(cpu_seconds)) - before
    pool_of_one.close()
    assert 0.5 < spent["nobody"] / spent["somebody"] < 2


def cpu_seconds() -> float:
    import time  # noqa: PLC0415  # only here

    return time.thread_time()


async def test_a_full_pool_says_so_at_once() -> None:
    pool = PasswordPool(threads=1, queue=2)
    outcomes = await asyncio.gather(*(pool.verify(None, PASSWORD) for _ in range(6)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [bool] * 3 + [PasswordPoolFullError] * 3
    assert not await pool.verify(None, PASSWORD)
    pool.close()


async def test_a_caller_that_goes_away_does_not_free_its_place_before_the_work_is_done() -> None:
    pool = PasswordPool(threads=1, queue=0)
    gate = threading.Event()
    waiting = asyncio.create_task(pool._run(lambda _: gate.wait(10), PASSWORD))  # noqa: SLF001  # work that ends when told
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(PasswordPoolFullError):
        await pool.hash(PASSWORD)
    gate.set()
    async with asyncio.timeout(10):
        while pool._busy:  # noqa: SLF001, ASYNC110  # the place itself is what is waited for
            await asyncio.sleep(0.01)
    assert await pool.verify(await pool.hash(PASSWORD), PASSWORD)
    pool.close()


async def test_a_failure_frees_its_place_and_reaches_the_caller() -> None:
    pool = PasswordPool(threads=1, queue=0)
    for _ in range(3):
        with pytest.raises(InvalidHashError):
            await pool.verify("not a hash", PASSWORD)
    pool.close()


async def test_work_that_never_began_is_dropped_when_the_pool_closes() -> None:
    pool = PasswordPool(threads=1, queue=1)
    gate = threading.Event()
    first = asyncio.create_task(pool._run(lambda _: gate.wait(10), PASSWORD))  # noqa: SLF001  # keeps the only thread busy
    second = asyncio.create_task(pool.hash(PASSWORD))
    await asyncio.sleep(0.05)
    pool.close()
    gate.set()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_abuse_j3_nobody_waits_for_a_turn_that_would_come_too_late() -> None:
    """A longer queue would be of calls that are given up before they are answered, one after the other."""
    pool = PasswordPool(threads=1, queue=1000, patience_seconds=0.2)
    tries = [asyncio.create_task(pool.verify(None, PASSWORD)) for _ in range(200)]
    await asyncio.sleep(0)
    told_at_once = [one for one in tries if one.done()]
    assert all(isinstance(one.exception(), PasswordPoolFullError) for one in told_at_once)
    assert 150 < len(told_at_once) < 200
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert outcomes.count(False) >= 1
    assert not await pool.verify(None, PASSWORD)
    pool.close()


async def test_what_waited_too_long_all_the_same_is_not_begun() -> None:
    pool = PasswordPool(threads=1, queue=2, patience_seconds=0.2)
    gate = threading.Event()
    first = asyncio.create_task(pool._run(lambda _: gate.wait(10), PASSWORD))  # noqa: SLF001  # as above
    second = asyncio.create_task(pool.hash(PASSWORD))
    await asyncio.sleep(0.4)  # longer than anybody may wait
    gate.set()
    assert await first
    with pytest.raises(PasswordPoolFullError):
        await second
    pool.close()


async def test_a_process_that_is_more_polite_already_hashes_all_the_same() -> None:
    """Only a privileged process may become less polite than it is."""
    code = (
        "import asyncio, os\n"
        "from runtime.passwords import PasswordPool\n"
        "os.nice(10); os.getuid() or os.setuid(65534)\n"
        "print(asyncio.run(PasswordPool(threads=1, queue=1).verify(None, 'x')))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert out == b"False\n", err
