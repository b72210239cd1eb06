"""What every gRPC call goes through, on a real server with methods of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from query_api.rpc.interceptors import Bound, FirstMessage, Limits, Observe
from query_api.tokens import CannotKnowError
from tests.support.tasks import eventually

TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
Answer = Callable[[bytes, Any], Awaitable[bytes]]


async def _talk(_: bytes, __: Any) -> AsyncIterator[bytes]:
    while True:
        yield b"word"
        await asyncio.sleep(0.05)  # as somebody who talks without an end


async def _talk_by_writing(_: bytes, context: Any) -> None:
    """The other way to answer with a stream, which health's Watch takes."""
    async for word in _talk(b"", None):
        await context.write(word)


@asynccontextmanager
async def serving(
    answer: Answer, limits: Limits, registry: CollectorRegistry, first: FirstMessage | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    interceptors = (Observe(registry), first or FirstMessage(), limits)
    server = grpc.aio.server(interceptors=interceptors, maximum_concurrent_rpcs=600)
    methods: dict[str, Any] = {
        "Ask": grpc.unary_unary_rpc_method_handler(answer),
        "Hear": grpc.unary_stream_rpc_method_handler(_talk),
        "Watch": grpc.unary_stream_rpc_method_handler(_talk_by_writing),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.v1.Test", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


def ask(channel: grpc.aio.Channel, content: bytes = b"", timeout: float = 10) -> Any:
    call: Any = channel.unary_unary("/test.v1.Test/Ask")
    return call(content, timeout=timeout, metadata=(("traceparent", TRACE),))


async def failure_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value


async def is_counted(registry: CollectorRegistry, status: str) -> bool:
    """Once."""
    labels = {"method": "/test.v1.Test/Ask", "status": status}
    return registry.get_sample_value("chancery_grpc_call_seconds_count", labels) == 1


async def test_a_bug_tells_its_trace_and_nothing_else() -> None:
    async def answer(content: bytes, _: Any) -> bytes:
        raise ZeroDivisionError(content)

    registry = CollectorRegistry()
    async with serving(answer, Limits(), registry) as channel:
        with capture_logs() as lines:
            failed = await failure_of(ask(channel, b"secret"))
            await eventually(partial(is_counted, registry, "INTERNAL"))  # after the answer has gone
    assert failed.code() is grpc.StatusCode.INTERNAL
    assert failed.details() == (
        "internal-error: Something is wrong on our side. Trace id: 0123456789abcdef0123456789abcdef"
    )
    assert [line["event"] for line in lines] == ["a bug", "call"]


async def test_doubt_is_unavailable() -> None:
    async def answer(_: bytes, __: Any) -> bytes:
        raise CannotKnowError

    async with serving(answer, Limits(), CollectorRegistry()) as channel:
        failed = await failure_of(ask(channel))
    assert (failed.code(), (failed.details() or "").partition(":")[0]) == (
        grpc.StatusCode.UNAVAILABLE,
        "revocations-unknown",
    )


async def test_a_call_has_an_end_and_calls_a_bound() -> None:
    inside, holding = asyncio.Semaphore(0), asyncio.Event()

    async def answer(content: bytes, _: Any) -> bytes:
        inside.release()
        await holding.wait()
        return content

    async with serving(answer, Limits(Bound(2, 0.5)), CollectorRegistry()) as channel:
        held = [ask(channel, b"1"), ask(channel, b"2")]
        for _ in held:
            await inside.acquire()
        assert (await failure_of(ask(channel))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        ends = [await failure_of(call) for call in held]
        assert {end.code() for end in ends} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert {end.details() for end in ends} == {"deadline-exceeded: The call took longer than it may."}
        gone = [ask(channel, timeout=0.1) for _ in range(2)]
        assert {(await failure_of(call)).code() for call in gone} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        holding.set()
        assert await ask(channel, b"again") == b"again"


async def _all_of(stream: Any) -> None:
    while True:
        await stream.read()


@pytest.mark.parametrize("method", ["Hear", "Watch"])
async def test_streams_that_are_open_to_all_have_an_end_and_a_bound(method: str) -> None:
    async def answer(content: bytes, _: Any) -> bytes:
        return content

    async with serving(answer, Limits(streams=Bound(2, 0.5)), CollectorRegistry()) as channel:
        hear: Any = channel.unary_stream(f"/test.v1.Test/{method}")
        streams = [hear(b"", timeout=10) for _ in range(2)]
        assert [await stream.read() for stream in streams] == [b"word"] * 2
        assert (await failure_of(hear(b"", timeout=10).read())).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for stream in streams:
            ended = await failure_of(_all_of(stream))
            assert ended.details() == "deadline-exceeded: The call took longer than it may."
        assert await hear(b"", timeout=10).read() == b"word"


async def test_a_call_whose_message_never_comes_has_an_end_too() -> None:
    async def answer(content: bytes, _: Any) -> bytes:
        return content

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with serving(answer, Limits(), CollectorRegistry(), FirstMessage(seconds=0.3)) as channel:
        silent: Any = channel.stream_unary("/test.v1.Test/Ask")
        calls = [silent(never()) for _ in range(600)]
        late = grpc.StatusCode.DEADLINE_EXCEEDED
        assert {(await failure_of(call)).code() for call in calls} == {late}
        assert await ask(channel, b"again") == b"again"


async def test_no_answer_is_crossed_when_calls_are_cancelled() -> None:
    """As ABUSE_CASES J7: of 4,000 calls every second one is given up at a random point."""

    async def answer(content: bytes, _: Any) -> bytes:
        await asyncio.sleep(content[0] / 100_000)  # the work that a call is cut in
        return content

    async def one(channel: grpc.aio.Channel, number: int) -> bool:
        content = number.to_bytes(4, "big")[::-1]
        call = ask(channel, content)
        if number % 2:
            await asyncio.sleep(number % 17 / 10_000)  # so that calls are cut at different points
            call.cancel()
        try:
            assert await call == content
        except asyncio.CancelledError:
            return True
        return False

    registry = CollectorRegistry()
    async with serving(answer, Limits(Bound(500, 10)), registry) as channel:
        cancelled = 0
        for first in range(0, 4_000, 200):
            cancelled += sum(await asyncio.gather(*(one(channel, first + n) for n in range(200))))
        assert await ask(channel, b"last") == b"last"
    assert cancelled > 800
