"""What every way to sign in shares: the session that is asked for, where it comes from, and the answer with its tokens."""

from command_api.answers import position_header
from command_api.callers import PUBLIC_CLIENT
from command_api.calls import Call
from command_api.sources import source_of
from command_api.tokens import Tokens
from domain.account_commands import NewSession, Origin
from domain.account_state import Active
from events.streams import account_stream
from eventstore.writer import Draft
from runtime.keys import DerivedKeys
from runtime.refresh_token import new_session_id
from runtime.serving.answers import HttpAnswer, json_answer


class NewSessions:
    def __init__(self, keys: DerivedKeys, tokens: Tokens) -> None:
        self._keys = keys
        self._tokens = tokens

    def asked_for(self, account_id: str) -> NewSession:
        """The session that a sign-in to this account will be, if it succeeds."""
        policy = self._tokens.policy
        return NewSession(
            session_id=new_session_id(self._keys.session_key, account_id),
            client_id=PUBLIC_CLIENT,
            scope=policy.person_scope,
            idle=policy.refresh_idle,
            absolute=policy.refresh_absolute,
        )

    def origin(self, call: Call, draft: Draft) -> Origin:
        source = source_of(self._keys.source_key, call.ip, draft.at)
        return Origin(ip=call.ip, user_agent=call.user_agent, source=source)

    def signed_in(self, draft: Draft, account_id: str, session_id: str) -> HttpAnswer:
        """201 with the token response of a session that this draft has started."""
        state = draft.state(account_stream(account_id))
        assert isinstance(state, Active)
        session = state.sessions[session_id]
        content = self._tokens.for_session(session, account_id, session.scope, draft.position)
        return json_answer(201, content, position_header(draft.position))
