"""Machine clients, as an administrator makes and ends them. A secret is shown once and stored nowhere."""

import hashlib
import secrets
from collections.abc import Sequence

from command_api.answers import position_header
from command_api.callers import Admin, acting_as
from command_api.calls import Call
from command_api.executor import Executor
from domain.client import AddClientSecret, DeleteClient, RegisterClient
from domain.refusals import UnknownClient
from domain.values import parse_audiences, parse_client_name, parse_client_scopes
from events.streams import SLOTS, client_stream, is_id, new_id
from eventstore.writer import Draft
from runtime.encoding import base64url
from runtime.serving.answers import HttpAnswer, empty_answer, json_answer

_SECRET_BYTES = 32


class Clients:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def register(
        self, call: Call, admin: Admin, name: str, scopes: Sequence[str], audiences: Sequence[str]
    ) -> HttpAnswer:
        client_id, secret = _new_client_id(call), new_secret()
        parsed = (parse_client_name(name), parse_client_scopes(scopes), parse_audiences(audiences))

        def decide(draft: Draft) -> HttpAnswer:
            register = RegisterClient(
                client_id=client_id,
                name=parsed[0],
                scopes=parsed[1],
                audiences=parsed[2],
                secret_digest=digest_of(secret),
                at=draft.at,
            )
            draft.decide(client_stream(client_id), register)
            return _shown_once(draft, client_id, secret)

        return await self._executor.run(acting_as(call, admin), client_stream(client_id), decide)

    async def add_secret(self, call: Call, admin: Admin, client_id: str) -> HttpAnswer:
        """The new secret and the one before are good; one that is older is dead from now on."""
        stream, secret = _stream_of(client_id), new_secret()

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, AddClientSecret(secret_digest=digest_of(secret), at=draft.at))
            return _shown_once(draft, client_id, secret)

        return await self._executor.run(acting_as(call, admin), stream, decide)

    async def delete(self, call: Call, admin: Admin, client_id: str) -> HttpAnswer:
        """Deleting twice is the same as once. Deleting oneself is allowed: `chancery admin` makes a new one."""
        stream = _stream_of(client_id)

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, DeleteClient(at=draft.at))
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(acting_as(call, admin), stream, decide)


def new_secret() -> str:
    return "ccs_" + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """What is stored of a secret. It has 256 random bits, which need no slow hash."""
    return base64url(hashlib.sha256(secret.encode()).digest())


def _new_client_id(call: Call) -> str:
    """In the slot of its Idempotency-Key, so that a repetition looks for its kept answer where that is."""
    if call.key is None:
        return new_id()
    return new_id(int.from_bytes(hashlib.sha256(call.key.encode()).digest()[:4], "big") % SLOTS)


def _stream_of(client_id: str) -> str:
    if not is_id(client_id):
        raise UnknownClient
    return client_stream(client_id)


def _shown_once(draft: Draft, client_id: str, secret: str) -> HttpAnswer:
    content = {"client_id": client_id, "client_secret": secret, "position": str(draft.position)}
    return json_answer(201, content, position_header(draft.position))
