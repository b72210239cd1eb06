"""The gRPC server of the query process: services, health, reflection, and their bounds."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from query_api.routes import validation
from query_api.rpc import ext_authz, token_service
from query_api.rpc.interceptors import CallerAuthentication, FirstMessage, Limits, Observe
from query_api.services import Services
from runtime.serving.app import Vitals
from runtime.serving.server import MAX_HEAD_BYTES, MOST_CONNECTIONS

LOOK_SECONDS = 0.5
GRACE_SECONDS = 2.0
MOST_CALLS_OF_A_CONNECTION = 250
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVED = ("", token_service.NAME, ext_authz.NAME)
"""What health is told of; the empty name is the whole process."""


@asynccontextmanager
async def serving_rpc(
    services: Services, vitals: Vitals, *, host: str, port: int, is_shared: bool
) -> AsyncIterator[None]:
    """Serve while the block lasts. OSError if the port cannot be had; it may be shared as HTTP's."""
    server = grpc.aio.server(
        interceptors=(
            Observe(vitals.registry),
            FirstMessage(),
            Limits(endless=token_service.ENDLESS),
            CallerAuthentication(services.callers, token_service.NAME),
        ),
        options=(*_OPTIONS, ("grpc.so_reuseport", int(is_shared))),
        maximum_concurrent_rpcs=MOST_CONNECTIONS,
    )
    checks = ext_authz.ExtAuthz(services.tokens)
    tokens = token_service.TokenService(services)
    server.add_generic_rpc_handlers((tokens.handlers(), checks.handlers()))
    judge = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(judge, server)
    reflection.enable_server_reflection((*_SERVED[1:], health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError:
        raise OSError(
            errno.EADDRINUSE, f"gRPC cannot listen on port {port}; choose with CHANCERY_GRPC_PORT"
        ) from None
    await server.start()
    looking = asyncio.create_task(_tell(judge, vitals.failing, services.leaving))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        await judge.enter_graceful_shutdown()
        await server.stop(GRACE_SECONDS)


_OPTIONS = (
    ("grpc.max_receive_message_length", validation.MOST_BYTES),
    ("grpc.max_metadata_size", MAX_HEAD_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_HEAD_BYTES),
    ("grpc.max_concurrent_streams", MOST_CALLS_OF_A_CONNECTION),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
)


async def _tell(
    judge: health.aio.HealthServicer, failing: Callable[[], Mapping[str, str]], leaving: asyncio.Event
) -> None:
    while not leaving.is_set():
        status = _NOT_SERVING if failing() else _SERVING
        for name in _SERVED:
            await judge.set(name, status)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await leaving.wait()
    await judge.enter_graceful_shutdown()
