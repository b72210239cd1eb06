"""An authenticator and its browser in one, in software: makes passkeys, signs with them, and lies as it is told."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from runtime.encoding import base64url, parse_base64url

PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED, EXTENDED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Lies:
    """What is said in place of the truth. `client` are members of the client data; `tail` follows authenticator data."""

    client: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    client_data: bytes | None = None
    set_flags: int = 0
    clear_flags: int = 0
    rp_id: str | None = None
    sign_count: int | None = None
    cose_key: bytes | None = None
    attestation: Mapping[str, Any] = field(default_factory=dict)
    attestation_object: bytes | None = None
    signature: bytes | None = None
    tail: bytes = b""


HONEST = Lies()


@dataclass(slots=True, kw_only=True)
class Authenticator:
    """One passkey. `step` is what its counter grows by; 0 for one that does not count."""

    origin: str
    rp_id: str = "localhost"
    algorithm: Literal["ES256", "EdDSA", "RS256"] = "ES256"
    step: int = 1
    is_synced: bool = False
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""
    sign_count: int = 0
    key: Key | None = None

    def create(self, options: Mapping[str, Any], lies: Lies = HONEST) -> dict[str, Any]:
        """RegistrationResponseJSON, as `PublicKeyCredential.toJSON()` gives it."""
        self.key = self.key or _new_key(self.algorithm)
        self.user_handle = _raw(options["user"]["id"])
        client_data = self._client_data("webauthn.create", options["challenge"], lies)
        cose_key = cose_of(self.key) if lies.cose_key is None else lies.cose_key
        id_length = len(self.credential_id).to_bytes(2, "big")
        attested = bytes(16) + id_length + self.credential_id + cose_key
        data = self._data(ATTESTED, lies, attested)
        content = {"fmt": "none", "attStmt": {}, "authData": data, **lies.attestation}
        attestation = cbor2.dumps(content) if lies.attestation_object is None else lies.attestation_object
        response = {
            "clientDataJSON": base64url(client_data),
            "attestationObject": base64url(attestation),
            "authenticatorData": base64url(data),
            "transports": ["internal"],
            "publicKeyAlgorithm": -7,
        }
        return self._credential(response)

    def get(self, options: Mapping[str, Any], lies: Lies = HONEST) -> dict[str, Any]:
        """AuthenticationResponseJSON, as `PublicKeyCredential.toJSON()` gives it."""
        assert self.key is not None, "has no passkey yet"
        client_data = self._client_data("webauthn.get", options["challenge"], lies)
        data = self._data(0, lies)
        signature = sign(self.key, data + hashlib.sha256(client_data).digest())
        response = {
            "clientDataJSON": base64url(client_data),
            "authenticatorData": base64url(data),
            "signature": base64url(signature if lies.signature is None else lies.signature),
            "userHandle": base64url(self.user_handle),
        }
        return self._credential(response)

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        name = base64url(self.credential_id)
        return {
            "id": name,
            "rawId": name,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        }

    def _client_data(self, kind: str, challenge: str, lies: Lies) -> bytes:
        if lies.client_data is not None:
            return lies.client_data
        truth = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        said = {name: value for name, value in {**truth, **lies.client}.items() if name not in lies.without}
        return json.dumps(said, separators=(",", ":")).encode()

    def _data(self, flags: int, lies: Lies, attested: bytes = b"") -> bytes:
        self.sign_count += self.step
        flags |= PRESENT | VERIFIED | (ELIGIBLE | BACKED_UP if self.is_synced else 0)
        flags = (flags | lies.set_flags) & ~lies.clear_flags
        count = self.sign_count if lies.sign_count is None else lies.sign_count
        rp_id = self.rp_id if lies.rp_id is None else lies.rp_id
        fixed = hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + count.to_bytes(4, "big")
        return fixed + attested + lies.tail


def with_response(answer: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """The same credential with other members of its response."""
    return {**answer, "response": {**answer["response"], **members}}


def stolen(passkey: Authenticator, **changes: Any) -> Authenticator:
    """A copy, as somebody has it who got at the key."""
    return replace(passkey, **changes)


def cose_of(key: Key) -> bytes:
    """The public key as COSE (RFC 9052)."""
    match key:
        case ec.EllipticCurvePrivateKey():
            numbers = key.public_key().public_numbers()
            x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
            return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        case ed25519.Ed25519PrivateKey():
            return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: key.public_key().public_bytes_raw()})
        case rsa.RSAPrivateKey():
            public = key.public_key().public_numbers()
            modulus = public.n.to_bytes((public.n.bit_length() + 7) // 8, "big")
            return cbor2.dumps({1: 3, 3: -257, -1: modulus, -2: public.e.to_bytes(3, "big")})


def sign(key: Key, message: bytes) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(hashes.SHA256()))
        case ed25519.Ed25519PrivateKey():
            return key.sign(message)
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def _new_key(algorithm: str) -> Key:
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _raw(text: str) -> bytes:
    raw = parse_base64url(text)
    assert raw is not None, "not base64url"
    return raw
