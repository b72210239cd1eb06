"""Envoy asks over gRPC, by the configuration of docs/how-to/gateways, before a real service and Chancery."""

from collections.abc import AsyncIterator

import pytest

from localstack.ports import LOOPBACK, free_port_variables, free_ports
from tests.e2e.conftest import command_process
from tests.support.admins import token_of
from tests.support.chancery import Chancery
from tests.support.gateways import ENVOY_OVER_GRPC, GatewayPorts, Headers, gateway_process, raw
from tests.support.tasks import eventually
from tests.support.upstream import Arrival, Upstream, serving
from tests.support.wire import Answer, exchange

FORGED = tuple(
    (name, "forged") for name in ("X-Auth-Account", "x-auth-session", "X-Auth-Client", "X-AUTH-SCOPES")
)


class Front:
    """Envoy with the service behind it."""

    def __init__(self, port: int, upstream: Upstream) -> None:
        self._url = f"http://{LOOPBACK}:{port}"
        self._upstream = upstream

    async def ask(self, *headers: tuple[str, str]) -> tuple[Answer, list[Arrival]]:
        self._upstream.take_arrivals()
        return await exchange(self._url, raw(headers, "/orders")), self._upstream.take_arrivals()

    async def status_of(self, headers: Headers) -> int:
        return (await self.ask(*headers))[0].status


@pytest.fixture
async def grpc_port() -> int:
    return int(free_port_variables("grpc")["CHANCERY_GRPC_PORT"])


@pytest.fixture
async def front(grpc_port: int, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    gateway, service = free_ports(2)
    upstream = Upstream()
    ports = GatewayPorts(gateway=gateway, chancery=grpc_port, service=service)
    home = tmp_path_factory.mktemp("envoy")
    async with serving(upstream, service), gateway_process(ENVOY_OVER_GRPC, home, ports):
        yield Front(gateway, upstream)


def bearing(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


async def test_envoy_over_grpc_lets_in_and_refuses_as_over_http(
    chancery: Chancery, front: Front, grpc_port: int
) -> None:
    person, machine = await chancery.new_person(), await token_of(chancery, dict(chancery.client))
    token = bearing(person.tokens["access_token"])
    answer, arrivals = await front.ask(token)
    assert (answer.status, arrivals) == (503, []), "nobody answers, so nobody is let in"
    async with command_process(chancery, {"CHANCERY_GRPC_PORT": str(grpc_port)}, "query") as (_, process):

        async def is_let_in() -> bool:
            return await front.status_of([token]) == 200

        await eventually(is_let_in)
        _, (arrival,) = await front.ask(token, *FORGED)
        assert arrival.identity == [
            ("x-auth-account", person.account_id),
            ("x-auth-scopes", "openid profile email"),
            ("x-auth-session", person.tokens["session_id"]),
        ]
        _, (arrival,) = await front.ask(bearing(machine), *FORGED)
        client = chancery.client["client_id"]
        assert arrival.identity == [("x-auth-client", client), ("x-auth-scopes", "chancery.introspect")]
        for headers, challenge in (
            (FORGED, "Bearer"),
            ((token, token), "Bearer"),
            ((bearing("x.y.z"), *FORGED), 'Bearer error="invalid_token"'),
        ):
            answer, arrivals = await front.ask(*headers)
            assert (answer.status, arrivals) == (401, [])
            assert answer.headers["www-authenticate"].startswith(challenge)
        assert (await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)).status_code == 204

        async def is_refused() -> bool:
            return await front.status_of([token]) == 401

        await eventually(is_refused, within_seconds=1)
        process.kill()
        await process.wait()
        answer, arrivals = await front.ask(bearing(machine))
        assert (answer.status, arrivals) == (503, [])
