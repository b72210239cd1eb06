"""One relying party and its passkeys without any server: what was asked, and what is made of the answer."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from runtime.encoding import base64url, parse_base64url
from runtime.passkeys import (
    Assertion,
    Credential,
    Holder,
    NewCredential,
    Registration,
    RelyingParty,
    creation_options,
    request_options,
    verify_assertion,
    verify_registration,
)
from tests.support.authenticator import HONEST, Authenticator, Lies

ORIGIN = "https://id.example.com"
PARTY = RelyingParty(
    rp_id="example.com", name="Example", origins=(ORIGIN, "https://example.com", "http://localhost:8081")
)
HOLDER = Holder(handle=b"0123456789abcdef", name="ada@example.com", credential_ids=())
CHALLENGE = b"challenge of the test, 32 bytes."
OTHER_CHALLENGE = b"another challenge, that is as long"
FIVE_MINUTES = timedelta(minutes=5)


def new_authenticator(**more: Any) -> Authenticator:
    return Authenticator(**{"origin": ORIGIN, "rp_id": PARTY.rp_id, **more})


def raw(text: str) -> bytes:
    value = parse_base64url(text)
    assert value is not None
    return value


def registered(authenticator: Authenticator, lies: Lies = HONEST) -> NewCredential | None:
    """What comes of a registration."""
    answer = authenticator.create(creation_options(PARTY, HOLDER, CHALLENGE, FIVE_MINUTES), lies)
    return verify_registration(PARTY, registration_of(answer), CHALLENGE)


def registration_of(answer: dict[str, Any]) -> Registration:
    response = answer["response"]
    return Registration(
        credential_id=raw(answer["id"]),
        client_data=raw(response["clientDataJSON"]),
        attestation=raw(response["attestationObject"]),
    )


def assertion_of(answer: dict[str, Any]) -> Assertion:
    response = answer["response"]
    return Assertion(
        credential_id=raw(answer["id"]),
        client_data=raw(response["clientDataJSON"]),
        authenticator_data=raw(response["authenticatorData"]),
        signature=raw(response["signature"]),
        user_handle=raw(response["userHandle"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A passkey that was registered, and what is stored of it."""

    authenticator: Authenticator
    credential: Credential
    challenge: bytes = field(default=CHALLENGE)

    def answers(self, lies: Lies = HONEST, challenge: bytes = CHALLENGE) -> int | None:
        """The counter that comes of an assertion."""
        return verify_assertion(PARTY, self.assertion(lies), challenge, self.credential)

    def assertion(self, lies: Lies = HONEST) -> Assertion:
        options = request_options(PARTY, self.challenge, FIVE_MINUTES)
        return assertion_of(self.authenticator.get(options, lies))


def known(**more: Any) -> Known:
    authenticator = new_authenticator(**more)
    credential = registered(authenticator)
    assert credential is not None, "was not registered"
    return Known(authenticator=authenticator, credential=credential)


def text(value: bytes) -> str:
    return base64url(value)
