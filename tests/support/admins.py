"""Clients with the scope `chancery.admin`, and what they do."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.chancery import Chancery, bearer

CLIENTS = "/v1/admin/clients"
BODY = {"name": "billing", "scopes": ["chancery.introspect", "bills.read"], "audiences": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """A client with the scope `chancery.admin`, and what it does."""

    chancery: Chancery
    client: dict[str, str]
    token: str

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {**bearer(self.token), **request.pop("headers", {})}
        return await self.chancery.command(method, path, headers=headers, **request)

    async def register(self, **more: Any) -> dict[str, str]:
        answer = await self.ask("POST", CLIENTS, json={**BODY, **more})
        assert answer.status_code == 201, answer.text
        made: dict[str, str] = answer.json()
        return made

    async def read(self, path: str, **request: Any) -> httpx.Response:
        headers = {**bearer(self.token), **request.pop("headers", {})}
        return await self.chancery.query("GET", path, headers=headers, **request)


async def new_admin(chancery: Chancery, audiences: str = "") -> Admin:
    client = await chancery.new_client("chancery.admin,chancery.introspect", audiences)
    return Admin(chancery=chancery, client=client, token=await token_of(chancery, client))


async def grant(chancery: Chancery, client: dict[str, str], **form: str) -> httpx.Response:
    data = {"grant_type": "client_credentials", **form}
    return await chancery.command(
        "POST", "/oauth/token", auth=(client["client_id"], client["client_secret"]), data=data
    )


async def token_of(chancery: Chancery, client: dict[str, str], **form: str) -> str:
    answer = await grant(chancery, client, **form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
