"""Chancery as a client sees it: both HTTP APIs, the inbox, and the command line, on a running stack."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from events.streams import new_id
from localstack.inbox import inbox_file, read_mails

PASSWORD = "a sentence nobody guesses"
OTHER_PASSWORD = "another sentence nobody guesses"
PATIENCE_SECONDS = 15.0
READY_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Person:
    email: str
    password: str
    account_id: str
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def bearer(self) -> dict[str, str]:
        return bearer(self.tokens["access_token"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Chancery:
    home: Path
    settings: Mapping[str, str]
    http: httpx.AsyncClient
    command_url: str
    query_url: str
    client: Mapping[str, str]

    async def command(self, method: str, path: str, **request: Any) -> httpx.Response:
        return await self.http.request(method, self.command_url + path, **request)

    async def query(self, method: str, path: str, **request: Any) -> httpx.Response:
        return await self.http.request(method, self.query_url + path, **request)

    async def sign_up(self, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        body = {"email": email, "password": password, **more}
        return await self.command("POST", "/v1/accounts", json=body)

    async def verify(self, email: str, code: str) -> httpx.Response:
        return await self.command("POST", "/v1/email-verifications", json={"email": email, "code": code})

    async def sign_in(self, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        return await self.command("POST", "/v1/sessions", json={"email": email, "password": password}, **more)

    async def refresh(self, token: str, **form: str) -> httpx.Response:
        data = {"grant_type": "refresh_token", "refresh_token": token, **form}
        return await self.command("POST", "/oauth/token", data=data)

    async def introspect(self, token: str, **headers: str) -> dict[str, Any]:
        answer = await self.query(
            "POST", "/oauth/introspect", auth=self.basic, data={"token": token}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content

    @property
    def basic(self) -> tuple[str, str]:
        return self.client["client_id"], self.client["client_secret"]

    async def new_person(self, **more: Any) -> Person:
        """Somebody who signed up, proved the address and signed in."""
        email = new_email()
        assert (await self.sign_up(email, **more)).status_code == 202
        answer = await self.verify(email, await self.code_for(email))
        assert answer.status_code == 200, answer.text
        person = Person(email=email, password=PASSWORD, account_id=answer.json()["account_id"])
        person.tokens = (await self.sign_in(email)).json()
        return person

    async def mails_to(self, email: str, count: int = 1) -> list[Any]:
        """All mails to an address, once there are at least `count`."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            mails = list(read_mails(inbox_file(self.home), email))
            if len(mails) >= count:
                return mails
            assert time.monotonic() < until, f"{len(mails)} of {count} mails came"
            await asyncio.sleep(0.05)

    async def code_for(self, email: str, count: int = 1) -> str:
        """The code of the `count`-th mail that has one. Mails of the risk worker come when they come, and have none."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            codes = [mail.code for mail in read_mails(inbox_file(self.home), email) if mail.code is not None]
            if len(codes) >= count:
                return str(codes[count - 1])
            assert time.monotonic() < until, f"{len(codes)} of {count} codes came"
            await asyncio.sleep(0.05)

    async def until_inactive(self, token: str, seconds: float = 1.0) -> float:
        """The seconds until a token was refused, which must be within the bound."""
        began = time.monotonic()
        while (await self.introspect(token)) != {"active": False}:
            assert time.monotonic() - began < seconds, "still active"
        return time.monotonic() - began

    async def cli(self, *arguments: str, more: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of `chancery …`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli.main",
            *arguments,
            env={**os.environ, **self.settings, **(more or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()

    async def new_client(self, scopes: str, audiences: str = "") -> dict[str, str]:
        """A machine client that the query side knows already."""
        arguments = ("--name", "test", "--scopes", scopes, "--audiences", audiences, "--json")
        status, out, err = await self.cli("admin", "create-client", *arguments)
        assert status == 0, err
        made: dict[str, str] = json.loads(out)
        await self.until_known(made)
        return made

    async def until_known(self, client: Mapping[str, str]) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        credentials = (client["client_id"], client["client_secret"])
        while True:
            answer = await self.query("POST", "/oauth/introspect", auth=credentials, data={"token": "x"})
            if answer.status_code != 401:
                return
            assert time.monotonic() < until, "the client never became known"
            await asyncio.sleep(0.05)


async def until_ready(http: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                if (await http.get(url + "/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def new_email() -> str:
    return f"Ada.{new_id()[:10]}@example.com"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def problem_code(answer: httpx.Response) -> str:
    """The stable code of a problem document, which must be well-formed."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    content = answer.json()
    assert content["status"] == answer.status_code
    assert content["title"]
    return str(content["type"]).rpartition(":")[2]
