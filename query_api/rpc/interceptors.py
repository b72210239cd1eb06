"""What every call goes through: trace, measurement and errors; bounds; who asks.

An interceptor is a context manager that a call lives in, whether it has one answer or a stream of them.
"""

import asyncio
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import structlog
from grpc.aio import AbortError, ServerInterceptor, ServicerContext
from prometheus_client import CollectorRegistry

from query_api.callers import CallerRefusedError, Callers
from query_api.positions import BadPositionError, BehindError
from query_api.tokens import CannotKnowError
from runtime.access_token import Claims
from runtime.logs import get_logger
from runtime.metrics import GRPC_CALL_SECONDS
from runtime.postgres import PostgresRejectedError, PostgresUnavailableError
from runtime.tracing import Span, server_span

CALL_SECONDS = 12.0
"""Of a call with one answer whose client sets no earlier deadline; more than it may wait for a position."""
MESSAGE_SECONDS = 5.0
"""From a call's beginning to its message."""
MOST_CALLS = 1000
"""With one answer, at the same time, in one process."""
MOST_OTHER_STREAMS = 100
"""Of health and reflection, which are open to all. Each ends after a while, and comes again."""
OTHER_STREAM_SECONDS = 60.0

caller: ContextVar[Claims] = ContextVar("caller")
"""What the token says that the present call bears."""
_log = get_logger("grpc")
_OUR_FAULTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = ServicerContext[Any, Any]
else:  # generic in its stubs alone
    Handler, Context = grpc.RpcMethodHandler, ServicerContext


class RefusedError(Exception):
    """Ends a call with this status. `problem` is one of docs/reference/errors.md."""

    def __init__(self, status: grpc.StatusCode, problem: str, title: str) -> None:
        super().__init__(f"{problem}: {title}")
        self.status = status


class Interceptor(ServerInterceptor, ABC):
    """A method is wrapped at its first call, and not again."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    @abstractmethod
    def around(self, call: str, context: Context) -> AbstractAsyncContextManager[None]:
        """`call` is `/package.Service/Method`."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        call = str(handler_call_details.method)
        if call in self._wrapped:
            return self._wrapped[call]
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method; grpc says so
            return handler
        wrapped = self._wrapped[call] = self._wrap(call, handler)
        return wrapped

    def _wrap(self, call: str, handler: Handler) -> Handler:
        return _wrapped(handler, partial(self.around, call))


def _wrapped(handler: Handler, around: Callable[[Context], AbstractAsyncContextManager[None]]) -> Handler:
    """A handler of the same kind, whose calls live in this. Streams either yield their messages, or write them."""
    kind = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"
    behaviour: Any = getattr(handler, kind)

    async def whole(request: Any, context: Context) -> Any:
        async with around(context):
            return await behaviour(request, context)

    async def many(request: Any, context: Context) -> AsyncIterator[Any]:
        async with around(context):
            async for answer in behaviour(request, context):
                yield answer

    make: Any = {
        "unary_unary": grpc.unary_unary_rpc_method_handler,
        "unary_stream": grpc.unary_stream_rpc_method_handler,
        "stream_unary": grpc.stream_unary_rpc_method_handler,
        "stream_stream": grpc.stream_stream_rpc_method_handler,
    }[kind]
    made: Handler = make(many if inspect.isasyncgenfunction(behaviour) else whole, **_coding(handler))
    return made


def _coding(handler: Handler) -> dict[str, Any]:
    return {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }


class Observe(Interceptor):
    """Every error becomes a status here; a bug's tells no more than the trace id of its line in the log."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._seconds = GRPC_CALL_SECONDS.made(registry)

    @asynccontextmanager
    async def around(self, call: str, context: Context) -> AsyncIterator[None]:
        told: AbortError | None = None
        with server_span(call, metadata_values(context, "traceparent")) as span:
            structlog.contextvars.bind_contextvars(trace_id=span.trace_id)
            try:
                async with self._measured(call, context, span):
                    yield
            except AbortError as error:  # how grpc.aio ends a call whose status was told
                told = error
        if told is not None:
            raise told

    @asynccontextmanager
    async def _measured(self, call: str, context: Context, span: Span) -> AsyncIterator[None]:
        began, status = time.perf_counter(), grpc.StatusCode.OK
        try:
            yield
        except asyncio.CancelledError:
            status = grpc.StatusCode.CANCELLED
            raise
        except AbortError:
            status = context.code()
            raise
        except Exception as error:  # noqa: BLE001  # none may leave a call without a status
            refused = _refused(error, span.trace_id)
            status = refused.status
            await context.abort(status, str(refused))
        finally:
            seconds = time.perf_counter() - began
            self._seconds.labels(call, status.name).observe(seconds)
            if status in _OUR_FAULTS:
                span.fails(status.name)
            span.describe({"rpc.system": "grpc", "rpc.grpc.status_code": status.value[0]})
            if status is not grpc.StatusCode.OK:
                _log.info("call", method=call, status=status.name, ms=round(seconds * 1000, 1))


def _refused(error: Exception, trace_id: str) -> RefusedError:
    unavailable = grpc.StatusCode.UNAVAILABLE
    match error:
        case RefusedError():
            return error
        case CannotKnowError():
            title = "It cannot be known now whether the token was revoked."
            return RefusedError(unavailable, "revocations-unknown", title)
        case PostgresUnavailableError() | PostgresRejectedError():
            return RefusedError(unavailable, "unavailable", "The read models cannot be reached. Try again.")
        case BehindError():
            return RefusedError(unavailable, error.code, str(error))
        case BadPositionError():
            return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, error.code, str(error))
        case CallerRefusedError(code="insufficient-scope"):
            return RefusedError(grpc.StatusCode.PERMISSION_DENIED, error.code, str(error))
        case CallerRefusedError():
            return RefusedError(grpc.StatusCode.UNAUTHENTICATED, error.code, str(error))
    _log.error("a bug", exc_info=error)
    title = f"Something is wrong on our side. Trace id: {trace_id}"
    return RefusedError(grpc.StatusCode.INTERNAL, "internal-error", title)


class FirstMessage(Interceptor):
    """What follows begins once the call's one message has come; without it, `grpc.aio` would wait for ever."""

    def __init__(self, seconds: float = MESSAGE_SECONDS) -> None:
        super().__init__()
        self._seconds = seconds

    def around(self, call: str, context: Context) -> AbstractAsyncContextManager[None]:  # noqa: ARG002  # as all have it
        return nullcontext()

    def _wrap(self, call: str, handler: Handler) -> Handler:  # noqa: ARG002  # as above
        if handler.request_streaming:
            return handler
        behaviour: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary

        async def whole(requests: AsyncIterator[Any], context: Context) -> Any:
            return await behaviour(await self._only_of(requests), context)

        async def many(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async for answer in behaviour(await self._only_of(requests), context):
                yield answer

        coding = _coding(handler)
        if not handler.response_streaming:
            return grpc.stream_unary_rpc_method_handler(whole, **coding)
        stream: Any = many if inspect.isasyncgenfunction(behaviour) else whole
        return grpc.stream_stream_rpc_method_handler(stream, **coding)

    async def _only_of(self, requests: AsyncIterator[Any]) -> Any:
        try:
            async with asyncio.timeout(self._seconds):
                async for request in requests:
                    return request
        except TimeoutError:
            title = "The call's message did not come in time."
            raise RefusedError(grpc.StatusCode.DEADLINE_EXCEEDED, "request-timeout", title) from None
        title = "The call has no message."
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "validation-failed", title)


class Bound(NamedTuple):
    """How many at the same time, and each for how long."""

    most: int
    seconds: float


_CALLS = Bound(MOST_CALLS, CALL_SECONDS)
_OTHER_STREAMS = Bound(MOST_OTHER_STREAMS, OTHER_STREAM_SECONDS)


class Limits(Interceptor):
    """No more calls at the same time than fit, and none for ever. The streams of `endless` have bounds of their own."""

    def __init__(
        self,
        calls: Bound = _CALLS,
        streams: Bound = _OTHER_STREAMS,
        endless: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self._bounds = {"calls": calls, "streams": streams}
        self._in_work = {"calls": 0, "streams": 0}
        self._endless = endless

    def around(self, call: str, context: Context) -> AbstractAsyncContextManager[None]:  # noqa: ARG002  # as all have it
        return self._place("calls")

    @asynccontextmanager
    async def _place(self, kind: str) -> AsyncIterator[None]:
        bound = self._bounds[kind]
        if self._in_work[kind] >= bound.most:
            title = f"Too many {kind} are in work here. Try again."
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", title)
        self._in_work[kind] += 1
        try:
            async with asyncio.timeout(bound.seconds):
                yield
        except TimeoutError:
            title = "The call took longer than it may."
            raise RefusedError(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-exceeded", title) from None
        finally:
            self._in_work[kind] -= 1

    def _wrap(self, call: str, handler: Handler) -> Handler:
        if not handler.response_streaming:
            return super()._wrap(call, handler)
        return handler if call in self._endless else _wrapped(handler, lambda _: self._place("streams"))


class CallerAuthentication(Interceptor):
    """Calls of this service bear the access token of a client that may ask about tokens."""

    def __init__(self, callers: Callers, service: str) -> None:
        super().__init__()
        self._callers = callers
        self._calls = f"/{service}/"

    @asynccontextmanager
    async def around(self, call: str, context: Context) -> AsyncIterator[None]:
        if call.startswith(self._calls):
            caller.set(await self._callers.introspector(metadata_values(context, "authorization")))
        yield


def metadata_values(context: ServicerContext[Any, Any], name: str) -> list[str]:
    """Metadata of this name; binary ones have names of their own."""
    return [str(value) for key, value in context.invocation_metadata() or () if key == name]
