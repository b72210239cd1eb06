"""What every call goes through: trace, measurement and errors; bounds; who asks.

An interceptor is a context manager that a call lives in, whether it has one answer or a stream of them.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from grpc.aio import AbortError, ServerInterceptor, ServicerContext
from prometheus_client import CollectorRegistry, Histogram

from query_api.callers import CallerRefusedError, Callers
from query_api.positions import BadPositionError, BehindError
from query_api.tokens import CannotKnowError
from runtime.access_token import Claims
from runtime.logs import get_logger
from runtime.postgres import PostgresRejectedError, PostgresUnavailableError
from runtime.serving.observe import new_traceparent

CALL_SECONDS = 12.0
"""Of a call with one answer whose client sets no earlier deadline; more than it may wait for a position."""
MOST_CALLS = 1000
"""With one answer, at the same time, in one process."""

caller: ContextVar[Claims] = ContextVar("caller")
"""What the token says that the present call bears."""
_log = get_logger("grpc")
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
        coding = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream

        async def one(request: Any, context: Context) -> Any:
            async with self.around(call, context):
                return await behaviour(request, context)

        async def many(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self.around(call, context):
                async for answer in behaviour(request, context):
                    yield answer

        if not handler.response_streaming:
            return grpc.unary_unary_rpc_method_handler(one, **coding)
        if not handler.request_streaming:
            return grpc.unary_stream_rpc_method_handler(many, **coding)
        return grpc.stream_stream_rpc_method_handler(many, **coding)


class Observe(Interceptor):
    """Outermost. Every error becomes a status here; a bug's tells no more than the trace id of its line in the log."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._seconds = Histogram(
            "chancery_grpc_call_seconds",
            "Time from a call's arrival to its end",
            ("method", "status"),
            registry=registry,
        )

    @asynccontextmanager
    async def around(self, call: str, context: Context) -> AsyncIterator[None]:
        began, status = time.perf_counter(), grpc.StatusCode.OK
        trace_id = new_traceparent(metadata_values(context, "traceparent")).split("-")[1]
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        try:
            yield
        except asyncio.CancelledError:
            status = grpc.StatusCode.CANCELLED
            raise
        except AbortError:
            status = context.code()
            raise
        except Exception as error:  # noqa: BLE001  # none may leave a call without a status
            refused = _refused(error, trace_id)
            status = refused.status
            await context.abort(status, str(refused))
        finally:
            seconds = time.perf_counter() - began
            self._seconds.labels(call, status.name).observe(seconds)
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


class Limits(Interceptor):
    """No more calls at the same time than fit, and none for ever. Streams have bounds of their own."""

    def __init__(self, most_calls: int = MOST_CALLS, call_seconds: float = CALL_SECONDS) -> None:
        super().__init__()
        self._most_calls = most_calls
        self._call_seconds = call_seconds
        self._calls = 0

    @asynccontextmanager
    async def around(self, call: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG002  # as all have it
        if self._calls >= self._most_calls:
            title = "Too many calls are in work here. Try again."
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", title)
        self._calls += 1
        try:
            async with asyncio.timeout(self._call_seconds):
                yield
        except TimeoutError:
            title = "The call took longer than it may."
            raise RefusedError(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-exceeded", title) from None
        finally:
            self._calls -= 1

    def _wrap(self, call: str, handler: Handler) -> Handler:
        return handler if handler.response_streaming else super()._wrap(call, handler)


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
