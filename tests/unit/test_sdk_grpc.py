"""A gRPC service lets in who has an active token with the scope, whatever the shape of its methods."""

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from chancery_sdk.claims import Key
from chancery_sdk.grpc import TokenInterceptor, caller
from chancery_sdk.tokens import Knowledge
from tests.support.forge import ISSUER, KID, PAYLOAD, Mint
from tests.unit.test_sdk_tokens import Verifier

MINT = Mint.new()
SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
OPEN = "/test.v1.Test/Open"


def token(**members: object) -> str:
    now = int(time.time())
    return MINT.token(payload={**PAYLOAD, "iat": now, "exp": now + 300, **members})


async def one(_: Any, __: Any) -> bytes:
    return caller.get().subject.encode()


async def many(_: Any, __: Any) -> AsyncIterator[bytes]:
    for _ in range(2):
        yield caller.get().subject.encode()


async def anybody(_: Any, __: Any) -> bytes:
    return b"anybody"


@pytest.fixture
async def service() -> AsyncIterator[tuple[grpc.aio.Channel, Knowledge]]:
    now = time.monotonic()
    keys = {KID: Key(kid=KID, alg="ES256", public=MINT.key.key)}
    knowledge = Knowledge(keys=keys, keys_at=now, complete_at=now)
    checks = Verifier(knowledge, issuer=ISSUER, audience="chancery")
    server = grpc.aio.server(interceptors=(TokenInterceptor(lambda: checks, ["email"], open_to_all=[OPEN]),))
    methods: dict[str, Any] = {"Open": grpc.unary_unary_rpc_method_handler(anybody)}
    for shape in SHAPES:
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        methods[shape] = make(many if shape.endswith("stream") else one)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.v1.Test", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel, knowledge
    await server.stop(None)


async def ask(channel: grpc.aio.Channel, shape: str, *authorization: str) -> tuple[str, str]:
    """Status, and the answers or the challenge."""
    make: Any = getattr(channel, shape)(f"/test.v1.Test/{shape}")
    request = iter([b""]) if shape.startswith("stream") else b""
    call = make(request, metadata=[("authorization", value) for value in authorization], timeout=10)
    try:
        answers = [answer async for answer in call] if shape.endswith("stream") else [await call]
    except grpc.aio.AioRpcError as failed:
        told = dict(failed.trailing_metadata() or ())
        return failed.code().name, str(told.get("www-authenticate", ""))
    return "OK", b",".join(answers).decode()


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_of_call_asks_for_an_active_token(
    service: tuple[grpc.aio.Channel, Knowledge], shape: str
) -> None:
    channel, knowledge = service
    active, subject = f"Bearer {token()}", str(PAYLOAD["sub"])
    let_in = ("OK", ",".join([subject] * (2 if shape.endswith("stream") else 1)))
    invalid = ("UNAUTHENTICATED", 'Bearer error="invalid_token"')
    assert await ask(channel, shape, active) == let_in
    assert await ask(channel, shape) == ("UNAUTHENTICATED", "Bearer")
    assert await ask(channel, shape, active, active) == ("UNAUTHENTICATED", "Bearer")
    assert await ask(channel, shape, "Bearer x.y.z") == invalid
    assert await ask(channel, shape, f"Bearer {token(scope='openid')}") == (
        "PERMISSION_DENIED",
        'Bearer error="insufficient_scope", scope="email"',
    )
    knowledge.revoked[str(PAYLOAD["sid"])] = 2**60
    assert await ask(channel, shape, active) == invalid
    knowledge.revoked.clear()
    knowledge.complete_at -= 6
    assert await ask(channel, shape, active) == ("UNAVAILABLE", "")


async def test_what_is_open_to_all_asks_for_nothing(service: tuple[grpc.aio.Channel, Knowledge]) -> None:
    call: Any = service[0].unary_unary(OPEN)
    assert await call(b"", timeout=10) == b"anybody"
