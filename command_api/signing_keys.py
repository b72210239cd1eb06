"""The keys that sign access tokens: the first one, their rotation, and their end."""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from command_api.answers import position_header
from command_api.callers import Admin, acting_as
from command_api.calls import Call
from command_api.executor import Executor
from domain.signing_keys import CreateFirstKey, RetireKeys, RotateKey, SigningKeys, retirable
from events.signing_keys import SigningKeyRotated
from events.streams import SIGNING_KEYS, new_id
from eventstore.commit import Actor
from eventstore.errors import CorruptLogError, TryAgainError
from eventstore.writer import Draft, Origin, Writer
from runtime.clock import Clock, rfc3339
from runtime.serving.answers import HttpAnswer, json_answer
from runtime.settings import Settings
from runtime.signing import Algorithm, new_signing_key

MOST_WAIT = timedelta(seconds=5)
"""With a lead up to this the answer to a rotation is given when the new key signs."""
_PROCESS = Origin(actor=Actor(kind="system", id="command_api"))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """`lead` is how long a key is known before it signs; `token_lifetime` how long an access token lives."""

    alg: Algorithm
    lead: timedelta
    token_lifetime: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            alg=settings.signing_algorithm,
            lead=timedelta(seconds=settings.signing_key_lead_seconds),
            token_lifetime=timedelta(seconds=settings.access_token_seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A key that was made already, because that is slow and random, and takes its place when it is decided."""

    kid: str
    private_pem: str
    public_jwk: tuple[tuple[str, str], ...]
    policy: KeyPolicy

    @classmethod
    async def new(cls, policy: KeyPolicy) -> Self:
        private_pem, public_jwk = await asyncio.to_thread(new_signing_key, policy.alg)
        return cls(kid=new_id(), private_pem=private_pem, public_jwk=public_jwk, policy=policy)

    def decide(self, draft: Draft) -> SigningKeyRotated:
        rotate = RotateKey(
            kid=self.kid,
            alg=self.policy.alg,
            public_jwk=self.public_jwk,
            private_pem=self.private_pem,
            lead=self.policy.lead,
            token_lifetime=self.policy.token_lifetime,
            at=draft.at,
        )
        (rotated,) = draft.decide(SIGNING_KEYS, rotate)
        assert isinstance(rotated, SigningKeyRotated)
        return rotated


class KeyRotation:
    def __init__(self, executor: Executor, writer: Writer, policy: KeyPolicy, clock: Clock) -> None:
        self._executor = executor
        self._writer = writer
        self._policy = policy
        self._clock = clock

    async def rotate(self, call: Call, admin: Admin) -> HttpAnswer:
        rotation = await Rotation.new(self._policy)

        def decide(draft: Draft) -> HttpAnswer:
            rotated = rotation.decide(draft)
            content = {
                "kid": rotated.kid,
                "activates_at": rfc3339(rotated.activates_at),
                "position": str(draft.position),
            }
            return json_answer(200, content, position_header(draft.position))

        here = replace(acting_as(call, admin), stays=True)
        answer = await self._executor.run(here, SIGNING_KEYS, decide)
        await self._until_the_newest_signs()
        return answer

    async def _until_the_newest_signs(self) -> None:
        """Whoever reads the answer then finds tokens signed with the key that it names."""
        state: SigningKeys = self._writer.pinned_state(SIGNING_KEYS)
        left = state.keys[-1].activates_at - self._clock()
        if self._policy.lead <= MOST_WAIT and timedelta() < left <= MOST_WAIT:
            await asyncio.sleep(left.total_seconds())


async def ensure_signing_key(writer: Writer, alg: Algorithm) -> None:
    """The first process to start makes the first key; the others find it."""
    pem, jwk = await asyncio.to_thread(new_signing_key, alg)
    kid = new_id()

    def create(draft: Draft) -> None:
        command = CreateFirstKey(kid=kid, alg=alg, public_jwk=jwk, private_pem=pem, at=draft.at)
        draft.decide(SIGNING_KEYS, command)

    await writer.transact(SIGNING_KEYS, create, _PROCESS)


async def retire_signing_keys(writer: Writer, clock: Clock) -> None:
    """Say of keys whose last token has expired that they retired. Any process does, and once is enough."""
    at = clock()
    if not retirable(writer.pinned_state(SIGNING_KEYS), at):
        return

    def retire(draft: Draft) -> None:
        draft.decide(SIGNING_KEYS, RetireKeys(at=at))

    with contextlib.suppress(TryAgainError, CorruptLogError):
        await writer.transact(SIGNING_KEYS, retire, _PROCESS)
