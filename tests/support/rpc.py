"""Asking about tokens over gRPC, as a resource server or Envoy does."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from query_api.rpc import ext_authz_pb2 as authz
from query_api.rpc import token_service_pb2 as pb
from tests.support.admins import token_of
from tests.support.chancery import Chancery

PATIENCE_SECONDS = 10.0
SERVICE = "/chancery.v1.TokenService/"
CHECK = "/envoy.service.auth.v3.Authorization/Check"
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """A channel, and the metadata of a caller who may ask."""

    channel: grpc.aio.Channel
    metadata: Metadata

    async def validate(self, token: str, *more: tuple[str, str]) -> pb.ValidateResponse:
        call = self.channel.unary_unary(
            SERVICE + "Validate", pb.ValidateRequest.SerializeToString, pb.ValidateResponse.FromString
        )
        answer: pb.ValidateResponse = await call(
            pb.ValidateRequest(token=token), metadata=self.metadata + more, timeout=PATIENCE_SECONDS
        )
        return answer

    def batch(self, tokens: list[str]) -> "grpc.aio.UnaryUnaryCall[Any, Any]":
        call = self.channel.unary_unary(
            SERVICE + "ValidateBatch",
            pb.ValidateBatchRequest.SerializeToString,
            pb.ValidateBatchResponse.FromString,
        )
        return call(pb.ValidateBatchRequest(tokens=tokens), metadata=self.metadata, timeout=PATIENCE_SECONDS)

    def watch(self, from_position: str = "") -> "grpc.aio.UnaryStreamCall[Any, pb.Revocation]":
        call = self.channel.unary_stream(
            SERVICE + "WatchRevocations",
            pb.WatchRevocationsRequest.SerializeToString,
            pb.Revocation.FromString,
        )
        request = pb.WatchRevocationsRequest(from_position=from_position)
        return call(request, metadata=self.metadata, timeout=60)

    async def check(self, **headers: str) -> authz.CheckResponse:
        """As Envoy asks; it bears no token of its own."""
        call = self.channel.unary_unary(
            CHECK, authz.CheckRequest.SerializeToString, authz.CheckResponse.FromString
        )
        request = authz.CheckRequest()
        request.attributes.request.http.headers.update(headers)
        answer: authz.CheckResponse = await call(request, timeout=PATIENCE_SECONDS)
        return answer


@asynccontextmanager
async def asking(
    chancery: Chancery, *metadata: tuple[str, str], options: Sequence[tuple[str, int]] = ()
) -> AsyncIterator[Asking]:
    own = metadata or (("authorization", "Bearer " + await token_of(chancery, dict(chancery.client))),)
    target = f"127.0.0.1:{chancery.settings['CHANCERY_GRPC_PORT']}"
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        yield Asking(channel, own)
