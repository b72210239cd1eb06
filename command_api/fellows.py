"""This process among its fellows: how it is known to them, and how calls go between them. Wiring only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from socket import socket

from starlette.types import ASGIApp

from command_api.forwarding import Alone, Forwarding, PeerChannel
from command_api.replicas import Replica, Replicas
from events.streams import new_id
from runtime.circuit import Circuit
from runtime.keys import derive_keys
from runtime.logs import get_logger
from runtime.redis import Valkey
from runtime.serving.forwarded import Gate, Sender, Tls
from runtime.serving.server import Listener, bind
from runtime.settings import Settings, secret_bytes

VALKEY_SECONDS = 0.5
_log = get_logger("fellows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The address that forwarded calls come to, and what proves them."""

    socket: socket
    key: bytes
    tls: Tls | None


class Fellows:
    """`inside` and `replicas` are None in a process that keeps to itself."""

    def __init__(
        self,
        forwarding: Forwarding | Alone,
        replicas: Replicas | None,
        inside: Inside | None,
        *,
        partitions: int,
    ) -> None:
        self.forwarding = forwarding
        self._replicas = replicas
        self._inside = inside
        self._partitions = partitions
        self._beating: asyncio.Task[None] | None = None
        self.circuits: Mapping[str, Circuit] = {}
        """Before the stores that are asked for one's fellows."""

    def own_partitions(self) -> Sequence[int]:
        return range(self._partitions) if self._replicas is None else self._replicas.own_partitions()

    def listeners(self, app: ASGIApp) -> Sequence[Listener]:
        if self._inside is None:
            return ()
        gate = Gate(app, self._inside.key)
        return (Listener(app=gate, socket=self._inside.socket, tls=self._inside.tls),)

    async def join(self) -> None:
        """From now on others send calls here."""
        if self._replicas is not None:
            self._beating = asyncio.create_task(self._replicas.run())

    async def leave_when(self, leaving: asyncio.Event) -> None:
        """Once it is set, others send no more calls here, while those that they sent are still answered."""
        await leaving.wait()
        await self.leave()

    async def leave(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])


@contextlib.asynccontextmanager
async def open_fellows(settings: Settings) -> AsyncIterator[Fellows]:
    if not settings.forwards:
        _log.info("calls are neither forwarded nor taken from others; see CHANCERY_INTERNAL_URL")
        yield Fellows(Alone(), None, None, partitions=settings.partitions)
        return
    key = derive_keys(secret_bytes(settings.secret_key)).channel_key
    tls = _tls(settings)
    inside = Inside(socket=bind(settings.internal_host, settings.internal_port), key=key, tls=tls)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(inside.socket.close)
        sender = Sender(key, tls)
        stack.push_async_callback(sender.close)
        valkey = Valkey.open(settings.redis_url.get_secret_value(), timeout_seconds=VALKEY_SECONDS)
        stack.push_async_callback(valkey.close)
        own = Replica(new_id(), settings.internal_url or _address(inside))
        replicas = Replicas(own, valkey, partitions=settings.partitions)
        forwarding = Forwarding(replicas, PeerChannel(sender), partitions=settings.partitions)
        fellows = Fellows(forwarding, replicas, inside, partitions=settings.partitions)
        fellows.circuits = {"valkey": valkey.circuit}
        stack.push_async_callback(fellows.leave)
        yield fellows


def _address(inside: Inside) -> str:
    host, port = inside.socket.getsockname()[:2]
    return f"{'http' if inside.tls is None else 'https'}://{host}:{port}"


def _tls(settings: Settings) -> Tls | None:
    if not settings.internal_tls_certificate:
        return None
    return Tls(
        certificate=settings.internal_tls_certificate,
        key=settings.internal_tls_key,
        authority=settings.internal_tls_authority,
    )
