"""How a signed-in person adds passkeys and takes them away."""

from datetime import timedelta

from command_api.answers import position_header
from command_api.callers import Person, acting_within
from command_api.calls import Call
from command_api.executor import Executor
from command_api.passkey_rules import Passkeys, credential_ids, parse_registration
from command_api.passkey_schemas import NewPasskeyBody
from domain.account_state import Active
from domain.factor_commands import PreparePasskey, RegisterPasskey, RemovePasskey
from domain.refusals import InvalidPasskey
from events.streams import account_stream, new_id
from eventstore.writer import Draft
from runtime.encoding import parse_base32
from runtime.passkey_challenges import PasskeyChallenge
from runtime.passkeys import Holder, NewCredential, verify_registration
from runtime.serving.answers import HttpAnswer, empty_answer, json_answer


class OwnPasskeys:
    def __init__(self, executor: Executor, passkeys: Passkeys, recent: timedelta) -> None:
        """`recent` is how long ago a session may have begun that adds or removes one."""
        self._executor = executor
        self._passkeys = passkeys
        self._recent = recent

    async def options(self, call: Call, person: Person) -> HttpAnswer:
        def decide(draft: Draft) -> HttpAnswer:
            holder = _holder(self._prepared(draft, person))
            options = self._passkeys.creation_options(holder, draft.at, person.account_id, person.session_id)
            return json_answer(200, options, position_header(draft.position))

        return await self._executor.run(
            acting_within(call, person), account_stream(person.account_id), decide
        )

    async def register(self, call: Call, person: Person, body: NewPasskeyBody) -> HttpAnswer:
        """201 with the passkey's id. The browser's answer is checked once, before the decision."""
        stream = account_stream(person.account_id)
        call = await self._executor.settle(acting_within(call, person), stream)
        found, passkey_id = self._verify(person, body), new_id()

        def decide(draft: Draft) -> HttpAnswer:
            self._prepared(draft, person)
            if found is None:
                raise InvalidPasskey
            new, challenge = found
            register = RegisterPasskey(
                acting_session_id=person.session_id,
                passkey_id=passkey_id,
                challenge_id=challenge.challenge_id,
                challenge_expires_at=challenge.expires_at,
                credential_id=new.credential_id,
                public_key=new.public_key,
                is_synced=new.is_synced,
                sign_count=new.sign_count,
                recent=self._recent,
                at=draft.at,
            )
            draft.decide(stream, register)
            content = {"id": passkey_id, "position": str(draft.position)}
            return json_answer(201, content, position_header(draft.position))

        return await self._executor.run(call, stream, decide)

    async def remove(self, call: Call, person: Person, passkey_id: str) -> HttpAnswer:
        def decide(draft: Draft) -> HttpAnswer:
            remove = RemovePasskey(
                acting_session_id=person.session_id, passkey_id=passkey_id, recent=self._recent, at=draft.at
            )
            draft.decide(account_stream(person.account_id), remove)
            return empty_answer(204, position_header(draft.position))

        return await self._executor.run(
            acting_within(call, person), account_stream(person.account_id), decide
        )

    def _prepared(self, draft: Draft, person: Person) -> Active:
        """The account, if this session may add a passkey to it."""
        stream = account_stream(person.account_id)
        prepare = PreparePasskey(acting_session_id=person.session_id, recent=self._recent, at=draft.at)
        draft.decide(stream, prepare)
        state = draft.state(stream)
        assert isinstance(state, Active)
        return state

    def _verify(self, person: Person, body: NewPasskeyBody) -> tuple[NewCredential, PasskeyChallenge] | None:
        registration = parse_registration(body)
        if registration is None:
            return None
        claimed = self._passkeys.claimed(
            "register", registration.client_data, person.account_id, person.session_id
        )
        if claimed is None:
            return None
        new = verify_registration(self._passkeys.party, registration, claimed.raw)
        return None if new is None else (new, claimed.named)


def _holder(account: Active) -> Holder:
    handle = parse_base32(account.account_id)
    assert handle is not None
    return Holder(
        handle=handle,
        name=account.email or account.account_id,
        credential_ids=credential_ids(account.factors.passkeys),
    )
