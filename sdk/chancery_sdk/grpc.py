"""A gRPC interceptor for services that are called with Chancery's access tokens in `authorization` metadata."""

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import grpc
from grpc.aio import ServerInterceptor

from chancery_sdk.asgi import Checks, RefusalError, claims_of
from chancery_sdk.claims import Claims

caller: ContextVar[Claims] = ContextVar("caller")
"""Who makes the present call."""

_STATUS = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class TokenInterceptor(ServerInterceptor):
    """For `grpc.aio` servers. Calls with an active access token pass, and find its claims in `caller`."""

    def __init__(
        self, tokens: Callable[[], Checks], scopes: Iterable[str] = (), *, open_to_all: Iterable[str] = ()
    ) -> None:
        """`tokens` is asked for each call. `open_to_all` are calls as `/package.Service/Method`, such as health's."""
        self._tokens = tokens
        self._scopes = frozenset(scopes)
        self._open_to_all = frozenset(open_to_all)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method in self._open_to_all:
            return handler
        sent = [
            (key.encode(), value.encode() if isinstance(value, str) else value)
            for key, value in handler_call_details.invocation_metadata or ()
        ]
        try:
            caller.set(await claims_of(sent, self._tokens(), self._scopes))
        except RefusalError as refusal:
            return _refused(handler, refusal)
        return handler


def _refused(handler: Any, refusal: RefusalError) -> Any:
    """A handler of the same kind, which ends the call."""

    async def refuse(_: Any, context: Any) -> None:
        challenge = (("www-authenticate", refusal.challenge),) if refusal.challenge else ()
        await context.abort(_STATUS[refusal.status], refusal.title, challenge)

    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(refuse, handler.request_deserializer, handler.response_serializer)
