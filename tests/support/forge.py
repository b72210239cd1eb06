"""A forger's bench: tokens signed with the right key and wrong in one thing at a time."""

import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from runtime.access_token import Claims
from runtime.encoding import base64url
from runtime.signing import VerificationKey, new_signing_key, verification_key
from tests.support.examples import NOON

ISSUER = "https://id.example.com"
KID = "key-1"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ISSUED = int(NOON.timestamp())
EXPIRES = ISSUED + 300
HEADER = {"alg": "ES256", "kid": KID, "typ": "at+jwt"}
PAYLOAD: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "acc",
    "aud": "chancery",
    "exp": EXPIRES,
    "iat": ISSUED,
    "jti": "token-1",
    "client_id": "chancery",
    "scope": "openid email",
    "sid": "s1",
    "auth_time": ISSUED,
    "acr": "aal1",
    "amr": ["pwd"],
}
CLAIMS = Claims(
    issuer=ISSUER,
    subject="acc",
    audience=("chancery",),
    client_id="chancery",
    scope="openid email",
    token_id="token-1",
    issued_at=ISSUED,
    expires_at=EXPIRES,
    session_id="s1",
    auth_time=ISSUED,
    acr="aal1",
    amr=("pwd",),
)
"""What `PAYLOAD` says."""


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def as_bytes(content: object) -> bytes:
    """Bytes as they are, anything else as JSON."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


@dataclass(frozen=True, slots=True)
class Mint:
    """One signing key with both its halves, for who may and for who may not."""

    private_pem: str
    key: VerificationKey
    jwk: dict[str, str]

    @classmethod
    def new(cls) -> "Mint":
        pem, members = new_signing_key("ES256")
        return cls(pem, verification_key(KID, "ES256", dict(members)), dict(members))

    @property
    def keys(self) -> dict[str, VerificationKey]:
        return {KID: self.key}

    def signature(self, signed: bytes, *, high: bool = False) -> bytes:
        """R and s over `signed`, s in the lower half of its range or in the upper one."""
        private = serialization.load_pem_private_key(self.private_pem.encode(), None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(hashes.SHA256())))
        low, upper = min(s, ORDER - s), max(s, ORDER - s)
        return r.to_bytes(32, "big") + (upper if high else low).to_bytes(32, "big")

    def token(self, header: object = HEADER, payload: object = PAYLOAD, *, high: bool = False) -> str:
        """Signed as it should be, whatever is signed."""
        signed = f"{base64url(as_bytes(header))}.{base64url(as_bytes(payload))}"
        return f"{signed}.{base64url(self.signature(signed.encode(), high=high))}"

    def public_forms(self) -> dict[str, bytes]:
        """Every form in which a verifier may have been given the public key."""
        public, encoding, spki = (
            self.key.key,
            serialization.Encoding,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        pem = public.public_bytes(encoding.PEM, spki)
        return {
            "PEM": pem,
            "PEM without its last line's end": pem.rstrip(b"\n"),
            "PEM after a BOM": b"\xef\xbb\xbf" + pem,
            "DER": public.public_bytes(encoding.DER, spki),
            "point": public.public_bytes(encoding.X962, serialization.PublicFormat.UncompressedPoint),
            "JWK": json.dumps(self.jwk).encode(),
            "JWK without spaces": json.dumps(self.jwk, separators=(",", ":")).encode(),
            "nothing": b"",
        }
