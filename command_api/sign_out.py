"""Ending sessions: one's own, all others, or whatever a token belongs to (RFC 7009)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import Request

from command_api.answers import position_header
from command_api.callers import (
    PUBLIC_CLIENT,
    Callers,
    Person,
    acting_as,
    read_client_credentials,
)
from command_api.calls import Call
from command_api.executor import Executor
from command_api.tokens import Tokens
from domain.account_commands import Attend, RevokeSession, RevokeSessions
from domain.client import RevokeClientToken
from domain.refusals import InvalidClient, UnknownSession
from events.streams import account_stream, client_stream
from eventstore.commit import Actor
from eventstore.writer import Draft
from runtime.access_token import Claims
from runtime.keys import DerivedKeys
from runtime.refresh_token import is_own_session_id
from runtime.serving.answers import HttpAnswer, empty_answer, json_answer, oauth_error


class SignOut:
    def __init__(self, executor: Executor, callers: Callers, tokens: Tokens, keys: DerivedKeys) -> None:
        self._executor = executor
        self._callers = callers
        self._tokens = tokens
        self._keys = keys

    async def end_session(self, call: Call, person: Person, session_id: str) -> HttpAnswer:
        """Ending a session twice, the present one too, is the same as once."""
        stream = account_stream(person.account_id)

        def decide(draft: Draft) -> HttpAnswer:
            if session_id != person.session_id:
                draft.decide(stream, Attend(acting_session_id=person.session_id, at=draft.at))
            if not is_own_session_id(self._keys.session_key, person.account_id, session_id):
                raise UnknownSession
            draft.decide(stream, RevokeSession(session_id=session_id, cause="sign-out"))
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(acting_as(call, person), stream, decide)

    async def end_sessions(self, call: Call, person: Person, *, keeps_current: bool) -> HttpAnswer:
        stream = account_stream(person.account_id)

        def decide(draft: Draft) -> HttpAnswer:
            spare = person.session_id if keeps_current else None
            revoke = RevokeSessions(acting_session_id=person.session_id, spare=spare, at=draft.at)
            draft.decide(stream, revoke)
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(acting_as(call, person), stream, decide)

    async def revoke_token(self, request: Request, call: Call, form: Mapping[str, str]) -> HttpAnswer:
        if "token" not in form:
            return oauth_error(400, "invalid_request", "token is missing.")
        client_id = await self._calling_client(request, form)
        refresh = self._tokens.parse_refresh(form["token"])
        claims = None if refresh else self._callers.claims(form["token"])
        owner = PUBLIC_CLIENT if claims is None else claims.client_id
        if (refresh or claims) and client_id != owner:
            raise InvalidClient
        if refresh is not None:
            return await self._revoke_session(call, refresh.account_id, refresh.session_id)
        if claims is None:
            return json_answer(200, {})
        if claims.session_id is not None:
            return await self._revoke_session(call, claims.subject, claims.session_id)
        return await self._revoke_client_token(call, claims)

    async def _calling_client(self, request: Request, form: Mapping[str, str]) -> str:
        """The client whose secret came with the request; the public one if none came."""
        credentials = read_client_credentials(request, form)
        if credentials is None and form.get("client_id", PUBLIC_CLIENT) != PUBLIC_CLIENT:
            raise InvalidClient
        if credentials is None:
            return PUBLIC_CLIENT
        await self._callers.require_client(credentials)
        return credentials.client_id

    async def _revoke_session(self, call: Call, account_id: str, session_id: str) -> HttpAnswer:
        stream = account_stream(account_id)

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, RevokeSession(session_id=session_id, cause="token-revoked"))
            return json_answer(200, {}, position_header(draft.position))

        actor = Actor(kind="account", id=account_id)
        return await self._executor.run(replace(call, actor=actor), stream, decide)

    async def _revoke_client_token(self, call: Call, claims: Claims) -> HttpAnswer:
        stream = client_stream(claims.client_id)
        expires_at = datetime.fromtimestamp(claims.expires_at, UTC)

        def decide(draft: Draft) -> HttpAnswer:
            draft.decide(stream, RevokeClientToken(jti=claims.token_id, expires_at=expires_at, at=draft.at))
            return json_answer(200, {}, position_header(draft.position))

        actor = Actor(kind="client", id=claims.client_id)
        return await self._executor.run(replace(call, actor=actor), stream, decide)
