"""The same tokens over gRPC, and checked in this process by the SDK."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc.aio
import httpx
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from bench.load import CpuMeter, Tally
from chancery_sdk.claims import Key, read_keys
from chancery_sdk.token_feed import Source, Tokens, open_tokens
from chancery_sdk.tokens import InvalidTokenError
from localstack.stack import StackInfo, running_stack
from query_api.rpc import token_service_pb2 as pb
from runtime.encoding import parse_base64url

SERVICE = "/chancery.v1.TokenService/"
CALLS = 32
BATCH = 100
_HALF = 32
"""Bytes of a number in an ES256 signature (RFC 7518 section 3.4)."""


async def measure_grpc(
    stack: StackInfo, tokens: Sequence[str], gone: frozenset[str], bearer: str, seconds: float
) -> dict[str, dict[str, float]]:
    """Unary calls, and batches. Client and server take a processor each."""
    address, query = stack.grpc, query_process(stack)
    metadata = (("authorization", f"Bearer {bearer}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        validate: Any = channel.unary_unary(
            SERVICE + "Validate", pb.ValidateRequest.SerializeToString, pb.ValidateResponse.FromString
        )
        batch: Any = channel.unary_unary(
            SERVICE + "ValidateBatch",
            pb.ValidateBatchRequest.SerializeToString,
            pb.ValidateBatchResponse.FromString,
        )

        async def one(number: int) -> bool:
            token = tokens[number % len(tokens)]
            answer = await validate(pb.ValidateRequest(token=token), metadata=metadata, timeout=20)
            return bool(answer.active) != (token in gone)

        async def many(number: int) -> bool:
            first = number * BATCH % len(tokens)
            some = tokens[first : first + BATCH]
            answer = await batch(pb.ValidateBatchRequest(tokens=some), metadata=metadata, timeout=20)
            return [one.active for one in answer.results] == [token not in gone for token in some]

        return {
            "grpc_unary": await _row(one, query, seconds),
            f"grpc_batch_{BATCH}": await _row(many, query, seconds),
        }


def query_process(stack: StackInfo) -> int:
    state = running_stack(stack.home)
    assert state is not None
    pid = state.processes["query"].pid
    assert pid is not None
    return pid


async def _row(ask: Any, query: int, seconds: float) -> dict[str, float]:
    tally, taken = Tally(), iter(range(10**9))
    meter = CpuMeter({"query": query})
    until = time.perf_counter() + seconds

    async def asking() -> None:
        while (sent := time.perf_counter()) < until:
            is_right = await ask(next(taken))
            tally.seconds.append(time.perf_counter() - sent)
            tally.wrong += not is_right

    await asyncio.gather(*(asking() for _ in range(CALLS)))
    tally.elapsed = seconds
    return {
        "rps": round(tally.per_second, 1),
        "p50_ms": round(tally.quantile_ms(0.5), 2),
        "p99_ms": round(tally.quantile_ms(0.99), 2),
        "cpu_seconds_per_1000": round(1000 * meter.used()["query"] / len(tally.seconds), 4),
        "wrong_answers": tally.wrong,
    }


async def measure_sdk(
    url: str, client: Mapping[str, str], tokens: Sequence[str], gone: frozenset[str]
) -> dict[str, dict[str, float]]:
    """Each token for the first time and again; beside, in turn, the bare signature checks of the same tokens."""
    source = Source(url=url, client_id=client["client_id"], client_secret=client["client_secret"])
    some = tokens[:4000]
    async with open_tokens(source, audience="chancery") as sdk:
        keys = await _keys(url)
        cold, bare, wrong = 0.0, 0.0, 0
        for first in range(0, len(some), BATCH):
            part = some[first : first + BATCH]
            began = time.perf_counter()
            wrong += _wrong(sdk, part, gone)
            cold += time.perf_counter() - began
            began = time.perf_counter()
            for token in part:
                _bare_check(token, keys)
            bare += time.perf_counter() - began
            await asyncio.sleep(0)  # for the feed
        live = [token for token in some if token not in gone]
        began = time.perf_counter()
        for _ in range(100):
            for token in live:
                sdk.verify(token)
        warm = time.perf_counter() - began
    return {
        "sdk_cold": {
            "rps": round(len(some) / cold, 1),
            "ratio_to_bare_signature": round(cold / bare, 3),
            "wrong_answers": wrong,
        },
        "sdk_warm": {"rps": round(100 * len(live) / warm, 1), "wrong_answers": wrong},
    }


def _wrong(sdk: Tokens, tokens: Sequence[str], gone: frozenset[str]) -> int:
    wrong = 0
    for token in tokens:
        try:
            sdk.verify(token)
            wrong += token in gone
        except InvalidTokenError:
            wrong += token not in gone
    return wrong


async def _keys(url: str) -> Mapping[str, Key]:
    async with httpx.AsyncClient() as http:
        return read_keys((await http.get(url + "/.well-known/jwks.json")).content)


def _bare_check(token: str, keys: Mapping[str, Key]) -> None:
    signed, _, signature = token.rpartition(".")
    raw = parse_base64url(signature)
    (key,) = keys.values()
    assert raw is not None
    assert isinstance(key.public, EllipticCurvePublicKey)
    r, s = (int.from_bytes(half, "big") for half in (raw[:_HALF], raw[_HALF:]))
    key.public.verify(encode_dss_signature(r, s), signed.encode(), ECDSA(SHA256()))
