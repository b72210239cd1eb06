"""People who live with the platform while things break: they sign up, rename, refresh, sign in and out.

Everything they ask goes into one history. What they are told about sessions is kept, to be asked again later.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from localstack.ports import LOOPBACK
from tests.support.chancery import PASSWORD, Chancery, bearer, new_email
from tests.support.history import Command, History
from tests.support.letters import Letters

PATIENCE_SECONDS = 60.0
ASKED_AGAIN = 20
REVOKED_SECONDS = 5.0
"""After one fault an ended session may be called active for so long, and no longer (rule 8)."""


@dataclass(slots=True, kw_only=True)
class Life:
    history: History
    letters: Letters
    ended: list[tuple[str, float]] = field(default_factory=list)
    """Access tokens of sessions whose end was acknowledged, and when."""
    live: dict[int, str] = field(default_factory=dict)
    done: Counter[int] = field(default_factory=Counter)

    @classmethod
    def among(cls, sides: Sequence[Chancery], letters: Letters) -> Self:
        return cls(history=History(sides=sides), letters=letters)

    async def lead(self, client: int) -> None:
        """Until cancelled."""
        email = new_email()
        tokens = await self._arrive(client, email)
        for number in itertools.count():
            headers = bearer(tokens["access_token"])
            body = {"display_name": f"Ada {number}"}
            await self._ask(client, "PATCH", "/v1/me", "profile.changed", json=body, headers=headers)
            form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
            answer = await self._ask(client, "POST", "/oauth/token", "session.refreshed", data=form)
            tokens = answer.json()
            self.live[client] = tokens["access_token"]
            if number % 4 == 3:
                tokens = await self._sign_in_anew(client, email, tokens)
            self.done[client] += 1

    async def _arrive(self, client: int, email: str) -> dict[str, Any]:
        sign_up = {"email": email, "password": PASSWORD}
        await self._ask(client, "POST", "/v1/accounts", "account.registered", json=sign_up)
        code = await self.letters.code(email, within_seconds=PATIENCE_SECONDS)
        proof = {"email": email, "code": code}
        await self._ask(client, "POST", "/v1/email-verifications", "account.email_verified", json=proof)
        tokens = await self._sign_in(client, email)
        self.done[client] += 1
        return tokens

    async def _sign_in(self, client: int, email: str) -> dict[str, Any]:
        body = {"email": email, "password": PASSWORD}
        tokens: dict[str, Any] = (
            await self._ask(client, "POST", "/v1/sessions", "session.started", json=body)
        ).json()
        self.live[client] = tokens["access_token"]
        return tokens

    async def _sign_in_anew(self, client: int, email: str, before: dict[str, Any]) -> dict[str, Any]:
        tokens = await self._sign_in(client, email)
        path, headers = f"/v1/sessions/{before['session_id']}", bearer(tokens["access_token"])
        await self._ask(client, "DELETE", path, "session.revoked", headers=headers)
        self.ended.append((before["access_token"], time.monotonic()))
        return tokens

    async def _ask(self, client: int, method: str, path: str, effect: str, **request: Any) -> httpx.Response:
        command = Command(method=method, path=path, effect=effect, request=request, client=client)
        answer = await self.history.ask(command, patience_seconds=PATIENCE_SECONDS)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    async def until_everybody_did_something(self, people: int) -> None:
        """Once more than they had when it was asked."""
        before = self.done.copy()
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            while not all(self.done[client] > before[client] for client in range(people)):  # noqa: ASYNC110  # clients have no event
                await asyncio.sleep(0.02)

    async def settle(self) -> None:
        """After healing: no outcome stays unknown. Who was cut off in the middle is asked about too."""
        await self.history.settle()

    async def judge_reads(self, chancery: Chancery) -> None:
        """An ended session is refused, a live one is live. Until stores are whole: 503, and only that."""
        for token, ended_at in self.ended[-ASKED_AGAIN:]:
            while await _is_active(chancery, token):
                assert time.monotonic() < ended_at + REVOKED_SECONDS, "an ended session is still active"
        for token in self.live.values():
            assert await _is_active(chancery, token), "a live session is refused"


async def _is_active(chancery: Chancery, token: str) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = await chancery.query(
                "POST", "/oauth/introspect", auth=chancery.basic, data={"token": token}
            )
            if answer.status_code == 200:
                return bool(answer.json()["active"])
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
        assert time.monotonic() < until, "the stores never became whole again"
        await asyncio.sleep(0.1)  # between two questions, within the patience above


def health_urls(chancery: Chancery) -> list[str]:
    names = ("COMMAND", "QUERY", "PROJECTORS", "MAILER", "RELAY", "RISK")
    return [f"http://{LOOPBACK}:{chancery.settings[f'CHANCERY_{name}_PORT']}" for name in names]
