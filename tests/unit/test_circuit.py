"""When a store is not asked for a moment, and how it is asked again."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from runtime.circuit import FAILURES, OPEN_SECONDS, PROBE_SECONDS, Circuit, Places, show_circuits


class GoneError(Exception):
    """As a store's failure looks to callers."""


def opened() -> Circuit:
    circuit = Circuit("store", GoneError)
    fail(circuit, FAILURES)
    return circuit


def fail(circuit: Circuit, times: int) -> None:
    for _ in range(times):
        circuit.unheard(time.monotonic())


def passes(circuit: Circuit) -> bool:
    try:
        circuit.admit()
    except GoneError:
        return False
    return True


def test_silence_in_a_row_opens_it_and_an_answer_in_between_does_not() -> None:
    circuit = Circuit("store", GoneError)
    fail(circuit, FAILURES - 1)
    circuit.heard()
    time.sleep(0.001)  # so that the answer is older than what fails next
    fail(circuit, FAILURES - 1)
    assert not circuit.is_open
    fail(circuit, 1)
    with pytest.raises(GoneError, match="not asked"):
        circuit.admit()


def test_one_call_at_a_time_finds_out_whether_the_store_is_back() -> None:
    circuit = opened()
    assert [passes(circuit) for _ in range(3)] == [False] * 3
    time.sleep(OPEN_SECONDS)  # real time is what it goes by
    assert [passes(circuit) for _ in range(3)] == [True, False, False]
    circuit.unheard(time.monotonic())
    assert not passes(circuit)
    time.sleep(OPEN_SECONDS)  # as above
    assert circuit.admit()
    circuit.heard()
    assert (circuit.is_open, circuit.admit()) == (False, False)


def test_a_probe_whose_caller_went_away_keeps_others_back_for_a_moment_only() -> None:
    circuit = opened()
    time.sleep(OPEN_SECONDS)  # real time is what it goes by
    assert circuit.admit()
    assert not passes(circuit)
    time.sleep(PROBE_SECONDS)  # as above
    assert circuit.admit()


def test_calls_that_waited_for_what_is_back_already_prove_nothing() -> None:
    circuit = Circuit("store", GoneError)
    began = time.monotonic() - 2
    circuit.heard()
    for _ in range(FAILURES):
        circuit.unheard(began)
    assert not circuit.is_open


def test_the_metric_says_which_store_is_not_asked() -> None:
    registry = CollectorRegistry()
    show_circuits(registry, postgres=opened(), valkey=Circuit("store", GoneError))
    values = [
        registry.get_sample_value("chancery_circuit_open", {"store": store})
        for store in ("postgres", "valkey")
    ]
    assert values == [1.0, 0.0]


async def told_to_a_waiter(circuit: Circuit, hold_seconds: float, *, is_heard: bool) -> str:
    """What one is told who waits for the only place."""
    places = Places(1, circuit, answer_seconds=1, patience_seconds=1)

    async def holds() -> None:
        async with places.taken():
            await asyncio.sleep(hold_seconds)  # a call
            if is_heard:
                circuit.heard()

    holder = asyncio.create_task(holds())
    await asyncio.sleep(0)
    told = "may ask"
    try:
        async with places.taken():
            pass
    except GoneError as error:
        told = str(error)
    await holder
    return told


async def test_who_waited_in_silence_need_not_wait_again() -> None:
    circuit = Circuit("store", GoneError)
    assert (
        await told_to_a_waiter(circuit, 0.6, is_heard=False) == "store: not asked, because it did not answer"
    )
    assert await told_to_a_waiter(circuit, 0.01, is_heard=False) == "may ask"
    assert await told_to_a_waiter(circuit, 0.6, is_heard=True) == "may ask"
    assert await told_to_a_waiter(circuit, 1.5, is_heard=True) == "store: no connection was free in time"


async def test_a_waiter_who_is_refused_for_the_silence_is_no_probe() -> None:
    circuit = Circuit("store", GoneError)

    async def fails_meanwhile() -> None:
        await asyncio.sleep(0.1)  # while somebody waits
        fail(circuit, FAILURES)

    failing = asyncio.create_task(fails_meanwhile())
    assert await told_to_a_waiter(circuit, 0.1 + OPEN_SECONDS + 0.1, is_heard=False) != "may ask"
    await failing
    assert circuit.admit(), "the probe is still to be made"
