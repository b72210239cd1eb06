"""Keeps a verifier's knowledge up to date: keys from the JWK Set, revocations from the stream of server-sent events.

Law: knowledge is as old as the moment at which the server said that it was complete. How long a heartbeat was under way
is told by the server's own clock: one that comes late, or is read late by a process that slept, makes nothing fresh.
"""

import asyncio
import base64
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import httpx

from chancery_sdk.claims import Claims, read_keys
from chancery_sdk.tokens import Knowledge, StaleError, TokenVerifier, UnknownKeyError

START_SECONDS = 15.0
ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 3.0
"""A stream that says nothing for so long is opened again."""
PAUSE_SECONDS = 0.5
LEAST_KEYS_SECONDS = 1.0
"""However many tokens name unknown keys, the JWK Set is asked for no more often than this."""
_MAX_AGE = re.compile(r"max-age=(\d+)")
MOST_DELAY_SECONDS = 1.0
"""A connection whose events seem to be under way for longer is opened again: its first one may have been slow."""
_IDS = ("session_id", "client_id", "jti")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where Chancery is, and the client that asks it: it needs the scope `chancery.introspect`.

    `url` is that of the Query API; the rest is found through its metadata (RFC 8414).
    """

    url: str
    client_id: str
    client_secret: str = field(repr=False)


class Tokens:
    """A verifier that keeps itself up to date, made by `open_tokens`."""

    def __init__(self, verifier: TokenVerifier, following: "_Following") -> None:
        self._following = following
        self.verifier = verifier
        self.verify = verifier.verify
        """As TokenVerifier.verify: it waits for nothing, and so knows no key that is newer than the last look."""

    async def check(self, token: str) -> Claims:
        """As `verify`, but an unknown key is looked for, at most once a second; StaleError if that fails."""
        try:
            return self.verify(token)
        except UnknownKeyError:
            await self._following.look_for_keys()
            return self.verify(token)


@contextlib.asynccontextmanager
async def open_tokens(source: Source, *, audience: str, stale_seconds: float = 5.0) -> AsyncIterator[Tokens]:
    """Knows all keys and revocations when it is entered. StaleError if that takes longer than 15 seconds."""
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
        knowledge = Knowledge()
        following = _Following(http, source, knowledge)
        try:
            async with asyncio.timeout(START_SECONDS):
                issuer = await following.begin()
        except Exception as error:  # noqa: BLE001  # whatever answers there, it is not Chancery
            raise StaleError(f"Chancery does not answer: {type(error).__name__}") from None
        verifier = TokenVerifier(knowledge, issuer=issuer, audience=audience, stale_seconds=stale_seconds)
        tasks = [asyncio.create_task(work) for work in (following.follow(), following.keep_keys())]
        try:
            await following.until_known()
            yield Tokens(verifier, following)
        finally:
            await _stop(tasks)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class _Following:
    def __init__(self, http: httpx.AsyncClient, source: Source, knowledge: Knowledge) -> None:
        self._http = http
        self._source = source
        self._knowledge = knowledge
        self._metadata: Mapping[str, Any] = {}
        self._last_event_id: str | None = None
        self._access_token, self._access_until = "", 0.0
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self._keys_life = LEAST_KEYS_SECONDS
        self.is_known = asyncio.Event()

    async def begin(self) -> str:
        """Read metadata and keys; the issuer."""
        answer = await self._http.get(self._source.url + "/.well-known/oauth-authorization-server")
        self._metadata = answer.raise_for_status().json()
        await self._read_keys()
        return str(self._metadata["issuer"])

    async def until_known(self) -> None:
        """StaleError if that takes too long."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.is_known.wait()
        except TimeoutError:
            raise StaleError("the stream of revocations does not begin") from None

    async def keep_keys(self) -> None:
        """Until cancelled: read them again before what may be cached of them is over."""
        while True:
            await asyncio.sleep(max(LEAST_KEYS_SECONDS, self._keys_life / 2))
            with contextlib.suppress(Exception):  # it is tried again, and old keys are not believed for ever
                await self._read_keys()

    async def look_for_keys(self) -> None:
        """StaleError if it cannot be known now which keys there are."""
        async with self._looking:
            if time.monotonic() >= self._looked_at + LEAST_KEYS_SECONDS:
                self._looked_at = time.monotonic()
                with contextlib.suppress(Exception):  # told below
                    await self._read_keys()
            if self._knowledge.keys_at < self._looked_at:
                raise StaleError("it is not known now which keys there are")

    async def follow(self) -> None:
        """Until cancelled: listen, and after whatever went wrong go on from where that was."""
        while True:
            with contextlib.suppress(Exception):  # whatever it is, what is known grows old meanwhile
                await self._listen()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _read_keys(self) -> None:
        asked_at = time.monotonic()
        answer = (await self._http.get(self._metadata["jwks_uri"])).raise_for_status()
        self._knowledge.keys = read_keys(answer.content)
        self._knowledge.keys_at = asked_at
        match = _MAX_AGE.search(answer.headers.get("cache-control", ""))
        self._keys_life = float(match[1]) if match else LEAST_KEYS_SECONDS

    async def _listen(self) -> None:
        headers = {"authorization": f"Bearer {await self._own_token()}"}
        if self._last_event_id is not None:
            headers["last-event-id"] = self._last_event_id
        url, began = self._source.url + "/v1/revocations/stream", time.monotonic()
        timeout = httpx.Timeout(ANSWER_SECONDS, read=SILENCE_SECONDS)
        async with self._http.stream("GET", url, headers=headers, timeout=timeout) as answer:
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._access_until = 0.0
            answer.raise_for_status()
            delay = _Delay(began)
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    self._take(fields, delay)
                    fields = {}
                    if delay.seconds > MOST_DELAY_SECONDS:
                        return

    def _take(self, fields: Mapping[str, str], delay: "_Delay") -> None:
        kind, data = fields["event"], json.loads(fields["data"])
        knowledge = self._knowledge
        if kind == "snapshot":
            for one in data["revocations"]:
                self._revoke(one)
        elif kind == "revoked":
            self._revoke(data)
        elif kind == "heartbeat":
            age_seconds = (data["age_ms"] + delay.of(data["sent_ms"])) / 1000
            knowledge.complete_at = max(knowledge.complete_at, time.monotonic() - age_seconds)
            self._forget()
            self.is_known.set()
        self._last_event_id = fields["id"]

    def _revoke(self, one: Mapping[str, Any]) -> None:
        for name in _IDS:
            if name in one:
                self._knowledge.revoked[one[name]] = int(one["until_ms"])

    def _forget(self) -> None:
        """What no token can outlive. It is looked for when there is much of it."""
        revoked, now_ms = self._knowledge.revoked, time.time() * 1000
        oldest = next(iter(revoked.values()), now_ms)
        if oldest + 60_000 < now_ms:
            self._knowledge.revoked = {name: until for name, until in revoked.items() if until > now_ms}

    async def _own_token(self) -> str:
        """An access token of this client, from the token endpoint (RFC 6749 section 4.4)."""
        if time.monotonic() < self._access_until:
            return self._access_token
        pair = f"{quote_plus(self._source.client_id)}:{quote_plus(self._source.client_secret)}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
        data = {"grant_type": "client_credentials", "scope": "chancery.introspect"}
        asked_at = time.monotonic()
        answer = await self._http.post(
            self._metadata["token_endpoint"], data=data, headers={"authorization": basic}
        )
        content = answer.raise_for_status().json()
        self._access_token = content["access_token"]
        self._access_until = asked_at + content["expires_in"] / 2
        return self._access_token


class _Delay:
    """How long events of one connection were under way, at most."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._least: float | None = None
        self.seconds = 0.0
        """Of the latest one."""

    def of(self, sent_ms: float) -> float:
        """Milliseconds. The first may have been under way since the connection was asked for, so that is supposed."""
        now_ms = time.monotonic() * 1000
        apart = now_ms - sent_ms
        if self._least is None:
            self._least = apart - (now_ms - self._began * 1000)
        self._least = min(self._least, apart)
        self.seconds = (apart - self._least) / 1000
        return apart - self._least
