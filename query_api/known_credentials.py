"""Callers whose secret was right a moment ago, so that not every request reads the clients' table.

Law: no secret is kept, only a digest under a key of this process; and nothing serves longer than `LIFE_SECONDS` after
its row was asked for. That is how long a secret that was withdrawn may go on; a deleted client is refused at once,
because the revocation feed names it.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from readmodels.clients import Client

LIFE_SECONDS = 1.0
RENEW_SECONDS = 0.5
"""One that is used after this is read again beside, so that busy callers never wait."""
MOST = 1000


@dataclass(slots=True, kw_only=True)
class _Known:
    client: Client
    secret_digest: str
    asked_at: float
    is_renewing: bool = False


class KnownCredentials:
    """`read` gives the client as it is now if this digest is still one of its secrets, else None."""

    def __init__(self, read: Callable[[str, str], Awaitable[Client | None]]) -> None:
        self._read = read
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._renewing: set[asyncio.Task[None]] = set()

    def find(self, authorization: bytes) -> Client | None:
        """Whose this header is, if it was found right so lately."""
        name = self._name(authorization)
        known = self._known.get(name)
        if known is None:
            return None
        age = time.monotonic() - known.asked_at
        if age > LIFE_SECONDS:
            return None
        if age > RENEW_SECONDS and not known.is_renewing:
            known.is_renewing = True
            task = asyncio.create_task(self._renew(name, known))
            self._renewing.add(task)
            task.add_done_callback(self._renewing.discard)
        return known.client

    def keep(self, authorization: bytes, client: Client, secret_digest: str, asked_at: float) -> None:
        """`asked_at`: when, in monotonic seconds, the row was asked for that says so."""
        name = self._name(authorization)
        self._known.pop(name, None)
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[name] = _Known(client=client, secret_digest=secret_digest, asked_at=asked_at)

    async def _renew(self, name: bytes, known: _Known) -> None:
        asked_at = time.monotonic()
        client = None
        with contextlib.suppress(
            Exception
        ):  # whoever comes after its time asks again, and hears of what failed
            client = await self._read(known.client.client_id, known.secret_digest)
        if self._known.get(name) is not known:
            return
        if client is None:
            del self._known[name]
        else:
            self._known[name] = _Known(client=client, secret_digest=known.secret_digest, asked_at=asked_at)

    def _name(self, authorization: bytes) -> bytes:
        return hashlib.blake2b(authorization, digest_size=32, key=self._key).digest()
