"""The form of what browsers and authenticators send for a passkey, checked before it is interpreted.

Only what was asked for passes: no other site around the page, no attestation but none or an authenticator's own,
CBOR and JSON with one reading, sizes with a bound.
"""

from typing import Any

import cbor2

from runtime.encoding import parse_base64url
from runtime.plain_cbor import end_of_item
from runtime.strict_json import StrictJsonError, parse_strict

MAX_CREDENTIAL_ID = 1023
"""WebAuthn section 7.1."""
MAX_CLIENT_DATA = 4096
MAX_AUTHENTICATOR_DATA = 4096
MAX_ATTESTATION = 8192
_FLAGS = 32
"""Where the flags stand in authenticator data, behind the hash of the relying party id (WebAuthn section 6.1)."""
_FIXED_BYTES = 37
_ID_LENGTH = slice(_FIXED_BYTES + 16, _FIXED_BYTES + 18)
_BACKUP_ELIGIBLE, _ATTESTED, _EXTENDED = 0x08, 0x40, 0x80
_RSA_BYTES = range(256, 513)
"""Keys of 2048 to 4096 bits: less is weak, more takes long."""
_COMMON_EXPONENT = b"\x01\x00\x01"
_COORDINATE_BYTES = 32


def claimed_challenge(client_data: bytes) -> bytes | None:
    """The challenge that the client says it signed, None if there is none in its one spelling."""
    members = _members(client_data)
    challenge = members.get("challenge") if members else None
    return parse_base64url(challenge) if isinstance(challenge, str) else None


def is_wanted_client_data(client_data: bytes) -> bool:
    """Whether it is from a page that no other site frames, in a form that can be read only one way."""
    members = _members(client_data)
    return (
        members is not None
        and claimed_challenge(client_data) is not None
        and members.get("crossOrigin", False) is False
        and "topOrigin" not in members
        and "tokenBinding" not in members
    )


def is_wanted_attestation(attestation: bytes, credential_id: bytes) -> bool:
    """Whether it is CBOR of the form that was asked for, about this very credential."""
    if len(attestation) > MAX_ATTESTATION or end_of_item(attestation) != len(attestation):
        return False
    members = _loaded(attestation)
    if not isinstance(members, dict) or members.keys() != {"fmt", "attStmt", "authData"}:
        return False
    data = members["authData"]
    return (
        _is_wanted_statement(members["fmt"], members["attStmt"])
        and isinstance(data, bytes)
        and _is_attested_data(data, credential_id)
    )


def is_assertion_data(data: bytes) -> bool:
    """Whether it is authenticator data as assertions have it: without a credential, perhaps with extensions."""
    if not _FIXED_BYTES <= len(data) <= MAX_AUTHENTICATOR_DATA or data[_FLAGS] & _ATTESTED:
        return False
    return _ends_after_extensions(data, _FIXED_BYTES)


def has_backup_eligibility(data: bytes) -> bool:
    return bool(data[_FLAGS] & _BACKUP_ELIGIBLE)


def is_offered_key(public_key: bytes) -> bool:
    """Whether it is a COSE key of ES256, Ed25519 or RS256, with nothing beside it (WebAuthn section 5.8.5)."""
    if end_of_item(public_key, depth_left=1) != len(public_key):
        return False
    match _loaded(public_key):
        case {1: 2, 3: -7, -1: 1, -2: bytes(x), -3: bytes(y), **rest}:
            return not rest and len(x) == len(y) == _COORDINATE_BYTES
        case {1: 1, 3: -8, -1: 6, -2: bytes(x), **rest}:
            return not rest and len(x) == _COORDINATE_BYTES
        case {1: 3, 3: -257, -1: bytes(n), -2: bytes(e), **rest}:
            return not rest and len(n) in _RSA_BYTES and n[0] != 0 and e == _COMMON_EXPONENT
        case _:
            return False


def _members(client_data: bytes) -> dict[str, Any] | None:
    if len(client_data) > MAX_CLIENT_DATA:
        return None
    try:
        value = parse_strict(client_data)
    except StrictJsonError:
        return None
    return value if isinstance(value, dict) else None


def _is_wanted_statement(form: object, statement: object) -> bool:
    """`none`, or what an authenticator without a certificate signs with the passkey itself (section 5.4.7)."""
    match form, statement:
        case "none", {**rest}:
            return not rest
        case "packed", {"alg": int(), "sig": bytes(), **rest}:
            return not rest
        case _:
            return False


def _is_attested_data(data: bytes, credential_id: bytes) -> bool:
    if not _ID_LENGTH.stop <= len(data) <= MAX_AUTHENTICATOR_DATA or not data[_FLAGS] & _ATTESTED:
        return False
    begin = _ID_LENGTH.stop
    end = begin + int.from_bytes(data[_ID_LENGTH], "big")
    if data[begin:end] != credential_id:
        return False
    end_of_key = end_of_item(data, end)
    if end_of_key is None or not is_offered_key(data[end:end_of_key]):
        return False
    return _ends_after_extensions(data, end_of_key)


def _ends_after_extensions(data: bytes, at: int) -> bool:
    if not data[_FLAGS] & _EXTENDED:
        return at == len(data)
    return end_of_item(data, at) == len(data) and isinstance(_loaded(data[at:]), dict)


def _loaded(item: bytes) -> Any:
    """The value of an item whose form was looked at; None if a key occurs twice or text is not UTF-8."""
    try:
        return cbor2.loads(item, allow_duplicate_keys=False)
    except cbor2.CBORDecodeError:
        return None
