"""What all ways of using passkeys share: for whom they are, what is asked of them, and what was answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from command_api.passkey_schemas import NewPasskeyBody, PasskeyBody
from domain.factors import Passkey
from events.streams import stream
from runtime.encoding import base32
from runtime.keys import keyed_digest
from runtime.passkey_challenges import (
    PasskeyChallenge,
    Purpose,
    new_challenge,
    parse_challenge,
    second_step_challenge,
)
from runtime.passkey_forms import claimed_challenge
from runtime.passkeys import (
    Assertion,
    Holder,
    Registration,
    RelyingParty,
    creation_options,
    parse_members,
    request_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A challenge of ours that an answer says it is for. Whether it was signed is still to be checked."""

    raw: bytes
    named: PasskeyChallenge


class Passkeys:
    def __init__(self, party: RelyingParty, lifetime: timedelta, key: bytes) -> None:
        self.party = party
        self._lifetime = lifetime
        self._key = key

    def creation_options(self, holder: Holder, at: datetime, *bound: str) -> dict[str, Any]:
        """For a passkey that only those can register whom the challenge is bound to."""
        challenge = new_challenge(self._key, "register", at + self._lifetime, *bound)
        return creation_options(self.party, holder, challenge, self._lifetime)

    def sign_in_options(self, at: datetime) -> dict[str, Any]:
        """The same for everybody but for the challenge: nobody is known yet."""
        challenge = new_challenge(self._key, "sign-in", at + self._lifetime)
        return request_options(self.party, challenge, self._lifetime)

    def second_step_options(
        self, challenge_id: str, passkeys: Sequence[Passkey], timeout: timedelta
    ) -> dict[str, Any]:
        """For one of these passkeys, to answer the challenge of a sign-in whose password was right."""
        ids = credential_ids(passkeys)
        return request_options(self.party, self.second_step_challenge(challenge_id), timeout, ids)

    def second_step_challenge(self, challenge_id: str) -> bytes:
        return second_step_challenge(self._key, challenge_id)

    def kept_in(self, idempotency_key: str) -> str:
        """The stream that a repetition of a call for such options is told by."""
        digest = keyed_digest(self._key, b"options of a key", idempotency_key.encode())
        return stream("request", base32(digest))

    def claimed(self, purpose: Purpose, client_data: bytes, *bound: str) -> Claimed | None:
        raw = claimed_challenge(client_data)
        named = None if raw is None else parse_challenge(self._key, purpose, raw, *bound)
        return None if raw is None or named is None else Claimed(raw=raw, named=named)


def credential_ids(passkeys: Sequence[Passkey]) -> tuple[str, ...]:
    return tuple(passkey.credential_id for passkey in passkeys if passkey.credential_id is not None)


def parse_registration(body: NewPasskeyBody) -> Registration | None:
    """None if a member is not base64url in its one spelling, or the two ids differ."""
    raw = parse_members(
        {
            "credential_id": body.id,
            "client_data": body.response.client_data,
            "attestation": body.response.attestation,
        }
    )
    return None if raw is None or body.id != body.raw_id else Registration(**raw)


def parse_assertion(body: PasskeyBody) -> Assertion | None:
    """As above."""
    response = body.response
    raw = parse_members(
        {
            "credential_id": body.id,
            "client_data": response.client_data,
            "authenticator_data": response.authenticator_data,
            "signature": response.signature,
            "user_handle": response.user_handle or "",
        }
    )
    if raw is None or body.id != body.raw_id:
        return None
    return Assertion(
        credential_id=raw["credential_id"],
        client_data=raw["client_data"],
        authenticator_data=raw["authenticator_data"],
        signature=raw["signature"],
        user_handle=None if response.user_handle is None else raw["user_handle"],
    )
