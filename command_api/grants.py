"""The token endpoint's grants (RFC 6749): refresh with rotation, and client credentials."""

from collections.abc import Mapping
from dataclasses import replace

from fastapi import Request

from command_api.answers import position_header, refusal_answer
from command_api.callers import PUBLIC_CLIENT, Callers, read_client_credentials
from command_api.calls import Call
from command_api.executor import Executor
from command_api.rate_limits import RateLimits
from command_api.tokens import Tokens
from domain import account_commands as account
from domain.account_state import Active
from domain.client import Registered
from domain.refusals import InvalidClient, InvalidGrant, InvalidScope
from domain.values import parse_scope
from events.account import RefreshReused
from events.streams import account_stream, client_stream, is_id
from eventstore.commit import Actor
from eventstore.writer import Draft
from runtime.refresh_token import RefreshToken
from runtime.serving.answers import HttpAnswer, json_answer, oauth_error
from runtime.serving.oauth import ClientCredentials


class Grants:
    def __init__(self, executor: Executor, callers: Callers, tokens: Tokens, rate_limits: RateLimits) -> None:
        self._executor = executor
        self._callers = callers
        self._tokens = tokens
        self._rate_limits = rate_limits

    async def grant(self, request: Request, call: Call, form: Mapping[str, str]) -> HttpAnswer:
        match form.get("grant_type"):
            case "refresh_token":
                return await self._refresh(request, call, form)
            case "client_credentials":
                return await self._client_credentials(request, call, form)
            case None:
                return oauth_error(400, "invalid_request", "grant_type is missing.")
            case _:
                return oauth_error(400, "unsupported_grant_type", "Use refresh_token or client_credentials.")

    async def _refresh(self, request: Request, call: Call, form: Mapping[str, str]) -> HttpAnswer:
        if "refresh_token" not in form:
            return oauth_error(400, "invalid_request", "refresh_token is missing.")
        is_public = read_client_credentials(request, form) is None
        if not is_public or form.get("client_id", PUBLIC_CLIENT) != PUBLIC_CLIENT:
            raise InvalidClient
        token = self._tokens.parse_refresh(form["refresh_token"])
        if token is None:
            raise InvalidGrant
        scope = parse_scope(form["scope"]) if "scope" in form else None
        signed_in = replace(call, actor=Actor(kind="account", id=token.account_id))
        return await self._executor.run(
            signed_in, account_stream(token.account_id), lambda draft: self._rotate(draft, call, token, scope)
        )

    def _rotate(
        self, draft: Draft, call: Call, token: RefreshToken, scope: tuple[str, ...] | None
    ) -> HttpAnswer:
        stream = account_stream(token.account_id)
        before = draft.state(stream)
        session = before.sessions.get(token.session_id) if isinstance(before, Active) else None
        if session is None:
            raise InvalidGrant
        if scope is not None and not set(scope) <= set(session.scope.split()):
            raise InvalidScope
        policy = self._tokens.policy
        refresh = account.Refresh(
            session_id=token.session_id,
            generation=token.generation,
            grace=policy.refresh_grace,
            idle=policy.refresh_idle,
            at=draft.at,
        )
        if any(isinstance(event, RefreshReused) for event in draft.decide(stream, refresh)):
            return refusal_answer(InvalidGrant(), call.path)
        state = draft.state(stream)
        assert isinstance(state, Active)
        rotated = state.sessions[token.session_id]
        granted = " ".join(scope) if scope else rotated.scope
        content = self._tokens.for_session(rotated, token.account_id, granted, draft.position)
        return json_answer(200, content, position_header(draft.position))

    async def _client_credentials(self, request: Request, call: Call, form: Mapping[str, str]) -> HttpAnswer:
        """The secret is checked on every presentation, before anything that was kept could be answered."""
        credentials = read_client_credentials(request, form)
        if credentials is None or form.get("client_id", credentials.client_id) != credentials.client_id:
            raise InvalidClient
        if not is_id(credentials.client_id):
            raise InvalidClient
        call = await self._executor.settle(call, client_stream(credentials.client_id))
        await self._callers.require_client(credentials)
        await self._rate_limits.count_client(request, credentials.client_id)
        scope = parse_scope(form["scope"]) if "scope" in form else None
        return await self._executor.run(
            replace(call, actor=Actor(kind="client", id=credentials.client_id)),
            client_stream(credentials.client_id),
            lambda draft: self._issue(draft, credentials, scope),
        )

    def _issue(
        self, draft: Draft, credentials: ClientCredentials, scope: tuple[str, ...] | None
    ) -> HttpAnswer:
        client = draft.state(client_stream(credentials.client_id))
        if not isinstance(client, Registered):
            raise InvalidClient
        granted = client.scopes if scope is None else scope
        if not set(granted) <= set(client.scopes):
            raise InvalidScope
        content = self._tokens.for_client(client, granted, draft.position)
        return json_answer(200, content, position_header(draft.position))
