"""`chancery.v1.TokenService`. What it says is what the routes say of the same tokens."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc

from query_api.checked_tokens import CheckedToken, access_members
from query_api.revocation_stream import (
    MEMBERS,
    MOST_STREAMS,
    PIECE,
    Heartbeat,
    News,
    Seqs,
    Snapshot,
    follow_revocations,
    parse_positions,
    render_positions,
)
from query_api.routes import introspection, revocations, validation
from query_api.rpc import token_service_pb2 as pb
from query_api.rpc.interceptors import Context, Handler, RefusedError, caller, metadata_values
from query_api.services import Services
from query_api.tokens import Ask, CannotKnowError
from readmodels.revocation_feed import Revocation

NAME = pb.DESCRIPTOR.services_by_name["TokenService"].full_name
ENDLESS = frozenset({f"/{NAME}/WatchRevocations"})
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,8192}")


class TokenService:
    def __init__(self, services: Services) -> None:
        self._services = services

    def handlers(self) -> grpc.GenericRpcHandler:
        methods: dict[str, Handler] = {
            "Validate": grpc.unary_unary_rpc_method_handler(
                self.validate,
                request_deserializer=pb.ValidateRequest.FromString,
                response_serializer=pb.ValidateResponse.SerializeToString,
            ),
            "ValidateBatch": grpc.unary_unary_rpc_method_handler(
                self.validate_batch,
                request_deserializer=pb.ValidateBatchRequest.FromString,
                response_serializer=pb.ValidateBatchResponse.SerializeToString,
            ),
            "WatchRevocations": grpc.unary_stream_rpc_method_handler(
                self.watch_revocations,
                request_deserializer=pb.WatchRevocationsRequest.FromString,
                response_serializer=pb.Revocation.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(NAME, methods)

    async def validate(self, request: pb.ValidateRequest, context: Context) -> pb.ValidateResponse:
        ask = await self._reach(context, *introspection.PROJECTORS)
        (result,) = await self._validated_all((request.token,), ask)
        return result

    async def validate_batch(
        self, request: pb.ValidateBatchRequest, context: Context
    ) -> pb.ValidateBatchResponse:
        if len(request.tokens) > validation.MOST_TOKENS:
            title = f"At most {validation.MOST_TOKENS} tokens in one call."
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "validation-failed", title)
        ask = await self._reach(context, *validation.PROJECTORS)
        shown = self._services.tokens.position()
        results = await self._validated_all(request.tokens, ask)
        context.set_trailing_metadata(tuple((name.lower(), value) for name, value in shown.items()))
        return pb.ValidateBatchResponse(results=results)

    async def watch_revocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.Revocation]:
        services, claims, feed = self._services, caller.get(), self._services.revocations
        await self._reach(context, *revocations.PROJECTORS)
        heard = parse_positions(request.from_position, services.partitions)
        if heard is None and request.from_position:
            title = "from_position must be the position that an earlier stream told."
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "bad-position", title)
        if services.leaving.is_set():
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, "unavailable", "This process is about to end.")
        if not feed.is_fresh:
            raise CannotKnowError
        if feed.listeners >= MOST_STREAMS:
            title = "Too many streams are open here. Try again."
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", title)
        async for told in follow_revocations(feed, heard, lambda: services.may_follow(claims)):
            async for message in _messages(told):
                yield message

    async def _reach(self, context: Context, *projectors: str) -> Ask:
        """Wait for the position that the call asks for; whom to ask then."""
        positions = self._services.positions
        texts = metadata_values(context, "chancery-min-position")
        if not texts:
            return "first"
        least = positions.read(texts, ",".join(metadata_values(context, "prefer")))
        await positions.reach(least, *projectors)
        return "at-position"

    async def _validated_all(self, tokens: Sequence[str], ask: Ask) -> Sequence[pb.ValidateResponse]:
        """In their order. The stores are asked only of those of which memory is unsure."""
        found = [self._known(token, ask) for token in tokens]
        unsure = [token for token, known in zip(tokens, found, strict=True) if known is None]
        asked = iter(await self._services.tokens.introspect_all(unsure, ask) if unsure else ())
        return [_response(next(asked)) if known is None else known for known in found]

    def _known(self, token: str, ask: Ask) -> pb.ValidateResponse | None:
        """What memory alone can tell; None where the stores must be asked."""
        if _TOKEN.fullmatch(token) is None:
            return pb.ValidateResponse(active=False)
        found = self._services.tokens.look(token) if ask == "first" else "unsure"
        if isinstance(found, CheckedToken):
            return _response(access_members(found.claims))
        return pb.ValidateResponse(active=False) if found == "inactive" else None


def _response(members: Mapping[str, Any]) -> pb.ValidateResponse:
    audience = members.get("aud", ())
    return pb.ValidateResponse(**{**members, "aud": [audience] if isinstance(audience, str) else audience})


async def _messages(told: Snapshot | News | Heartbeat) -> AsyncIterator[pb.Revocation]:
    match told:
        case Snapshot():
            for number, one in enumerate(told.revocations, 1):
                yield _revocation(one, None)
                if number % PIECE == 0:
                    await asyncio.sleep(0)  # others have their turn
        case News():
            yield _revocation(told.revocation, told.position)
        case Heartbeat():
            known = render_positions(told.position)
            yield pb.Revocation(position=known, heartbeat=True, age_ms=told.age_ms, sent_ms=told.sent_ms)


def _revocation(revocation: Revocation, position: Seqs | None) -> pb.Revocation:
    known = "" if position is None else render_positions(position)
    message = pb.Revocation(position=known)
    setattr(message, MEMBERS[revocation.kind], revocation.id)
    return message
