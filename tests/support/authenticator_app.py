"""An authenticator app, and people who have one."""

import time
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import pyotp

from tests.support.chancery import Chancery, Person

STEP_SECONDS = 30
MARGIN_SECONDS = 10
"""A code that is given away is good for so long at least."""


@dataclass(slots=True, kw_only=True)
class App:
    """`used` is the newest step whose code was given away; a later one is needed next time."""

    secret: str
    recovery_codes: list[str] = field(default_factory=list)
    used: int = 0

    @classmethod
    async def enrolled(cls, chancery: Chancery, person: Person) -> Self:
        """Proven with the oldest code that will do, so that later ones are still good."""
        begun = await start(chancery, person)
        assert begun.status_code == 201, begun.text
        app = cls(secret=begun.json()["secret"])
        done = await confirm(chancery, person, app.next_code())
        assert done.status_code == 200, done.text
        app.recovery_codes = done.json()["recovery_codes"]
        return app

    def code(self, offset: int = 0) -> str:
        """The code so many steps from now."""
        self.used = int(time.time()) // STEP_SECONDS + offset
        return pyotp.TOTP(self.secret).generate_otp(self.used)

    def next_code(self) -> str:
        """The code of the oldest step that is later than the one used, and good until the margin is over."""
        now, oldest = time.time(), int(time.time() + MARGIN_SECONDS) // STEP_SECONDS - 1
        step = max(self.used + 1, oldest)
        assert step <= now // STEP_SECONDS + 1, "used up: the next code is good in some seconds only"
        return self.code(step - int(now) // STEP_SECONDS)

    def wrong_code(self) -> str:
        return f"{(int(self.code()) + 1) % 10**6:06d}"


async def start(chancery: Chancery, person: Person, **headers: str) -> httpx.Response:
    return await chancery.command("POST", "/v1/me/factors/totp", headers={**person.bearer, **headers})


async def confirm(chancery: Chancery, person: Person, code: str, **headers: str) -> httpx.Response:
    path, body = "/v1/me/factors/totp/confirm", {"code": code}
    return await chancery.command("POST", path, headers={**person.bearer, **headers}, json=body)


async def challenged(chancery: Chancery, person: Person) -> dict[str, Any]:
    """A sign-in as far as the password brings it."""
    answer = await chancery.sign_in(person.email, person.password)
    assert answer.status_code == 202, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def answer_challenge(chancery: Chancery, challenge: str, **answer: Any) -> httpx.Response:
    body = {"challenge": challenge, **answer}
    return await chancery.command("POST", "/v1/sessions/challenge", json=body)
