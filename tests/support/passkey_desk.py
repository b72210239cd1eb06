"""Sign-in with passkeys as one command process does it, on a log in memory: without HTTP, Kafka and PostgreSQL."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

from command_api.calls import Call
from command_api.executor import Executor
from command_api.new_sessions import NewSessions
from command_api.passkey_proof import PasskeyProof
from command_api.passkey_rules import Passkeys
from command_api.passkey_schemas import PasskeyBody
from command_api.passkey_sign_in import PasskeySignIn
from command_api.tokens import TokenPolicy, Tokens
from domain.factor_commands import RegisterPasskey
from domain.signing_keys import CreateFirstKey
from events.streams import SIGNING_KEYS
from eventstore.memory_log import MemoryLog
from eventstore.writer import Draft, Writer
from runtime.encoding import parse_base32
from runtime.keys import derive_keys
from runtime.passkeys import Holder, verify_registration
from runtime.serving.answers import HttpAnswer
from runtime.signing import new_signing_key
from tests.support.authenticator import HONEST, Authenticator, Lies
from tests.support.examples import ABSOLUTE, IDLE, MINUTE, REGISTER, sign_in
from tests.support.memory_keys import KeyTopic
from tests.support.relying_party import PARTY, new_authenticator, registration_of
from tests.support.writers import ACCOUNT, ACCOUNT_ID, SYSTEM, new_writer, now

KEYS = derive_keys(bytes(32))
POLICY = TokenPolicy(
    issuer="i",
    audience="a",
    person_scope="openid",
    access_lifetime=5 * MINUTE,
    refresh_idle=IDLE,
    refresh_absolute=ABSOLUTE,
    refresh_grace=timedelta(seconds=30),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyDesk:
    writer: Writer
    passkeys: Passkeys
    sign_ins: PasskeySignIn

    @classmethod
    def on(cls, log: MemoryLog, keys: KeyTopic) -> Self:
        """Several on one log are several processes."""
        writer = new_writer(log, keys)
        executor = Executor(writer, KEYS.request_key, now)
        passkeys = Passkeys(PARTY, 5 * MINUTE, KEYS.passkey_key)
        proof = PasskeyProof(executor, writer, passkeys)
        sessions = NewSessions(KEYS, Tokens(writer, KEYS, POLICY, now))
        return cls(
            writer=writer,
            passkeys=passkeys,
            sign_ins=PasskeySignIn(executor, proof, passkeys, sessions, now),
        )

    async def open_account(self) -> None:
        """An account with a live session `s1`, and a key to sign its tokens with."""
        pem, jwk = new_signing_key("ES256")

        def create(draft: Draft) -> None:
            first = CreateFirstKey(kid="k", alg="ES256", public_jwk=jwk, private_pem=pem, at=draft.at)
            draft.decide(SIGNING_KEYS, first)
            draft.decide(ACCOUNT, replace(REGISTER, account_id=ACCOUNT_ID, policy="open"))
            draft.decide(ACCOUNT, sign_in("s1", draft.at))

        await self.writer.transact(SIGNING_KEYS, create, SYSTEM)
        await self.learn_signing_key()

    async def learn_signing_key(self) -> None:
        await self.writer.pin(SIGNING_KEYS)

    async def register(self, passkey: Authenticator) -> None:
        """The account has the passkey from now on."""
        handle = parse_base32(ACCOUNT_ID)
        assert handle is not None
        holder = Holder(handle=handle, name="ada", credential_ids=())
        answer = registration_of(passkey.create(self.passkeys.creation_options(holder, now())))
        claimed = self.passkeys.claimed("register", answer.client_data)
        assert claimed is not None
        new = verify_registration(PARTY, answer, claimed.raw)
        assert new is not None

        def register(draft: Draft) -> None:
            command = RegisterPasskey(
                acting_session_id="s1",
                passkey_id="p1",
                challenge_id=claimed.named.challenge_id,
                challenge_expires_at=claimed.named.expires_at,
                credential_id=new.credential_id,
                public_key=new.public_key,
                is_synced=new.is_synced,
                sign_count=new.sign_count,
                recent=15 * MINUTE,
                at=draft.at,
            )
            draft.decide(ACCOUNT, command)

        await self.writer.transact(ACCOUNT, register, SYSTEM)

    async def sign_in(self, passkey: Authenticator, lies: Lies = HONEST) -> HttpAnswer:
        options = json.loads((await self.sign_ins.options(new_call())).body)
        return await self.sign_ins.sign_in(new_call(), PasskeyBody(**passkey.get(options, lies)))


def new_call(**more: Any) -> Call:
    members = {
        "method": "POST",
        "path": "/v1/passkey-sessions",
        "key": None,
        "body": b"",
        "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ip": "127.0.0.1",
        "user_agent": "test",
    }
    return Call(**{**members, **more})


def passkey_of(account_id: str = ACCOUNT_ID) -> Authenticator:
    """One that says that it is this account's, whoever knows of it."""
    handle = parse_base32(account_id)
    assert handle is not None
    return new_authenticator(user_handle=handle)
