"""Signatures that the standards print, for the server's check and for the SDK's; as access tokens none of them is one.

RFC 7520 section 4.1 (RS256), RFC 7515 appendix A.3 (ES256), RFC 8037 appendix A.4 (EdDSA).
"""

import json

import pytest

from chancery_sdk import claims as sdk
from runtime.access_token import key_named_by, verify_signature
from runtime.encoding import base64url, parse_base64url
from runtime.signing import VerificationKey, is_signed

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEYS = {
    "RS256": {
        "kty": "RSA",
        "e": "AQAB",
        "n": (
            "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKr"
            "Kb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5l"
            "FHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__"
            "kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
        ),
    },
    "ES256": {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    },
    "EdDSA": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
}
TOKENS = {
    "RS256": (
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9."
        "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwg"
        "YW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9m"
        "ZiB0by4."
        "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDk"
        "oBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9Uzp"
        "ERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogo"
        "ree7vjbU5y18kDquDg"
    ),
    "ES256": (
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    ),
    "EdDSA": (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    ),
}


def with_low_s(signature: bytes) -> bytes:
    """The same ECDSA signature in the form that is made here."""
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + min(s, ORDER - s).to_bytes(32, "big")


def answers(signed: str, signature: bytes, server: VerificationKey, edge: sdk.Key) -> set[bool]:
    content = signed.encode()
    return {is_signed(content, signature, server), sdk.is_signed(content, signature, edge)}


@pytest.mark.parametrize("alg", TOKENS)
def test_a_signature_of_a_standard_holds_and_none_beside_it(alg: str) -> None:
    document = {"keys": [{**KEYS[alg], "kid": "k", "alg": alg}]}
    edge = sdk.read_keys(json.dumps(document).encode())["k"]
    server = VerificationKey(kid="k", alg=alg, key=edge.public)
    signed, _, last = TOKENS[alg].rpartition(".")
    printed = parse_base64url(last)
    assert printed is not None
    good = with_low_s(printed) if alg == "ES256" else printed
    changed = bytes([good[0] ^ 1]) + good[1:]
    assert answers(signed, good, server, edge) == {True}
    assert answers(signed, printed, server, edge) == {printed == good}
    assert answers(signed, changed, server, edge) == {False}
    assert answers(signed + "x", good, server, edge) == {False}
    for token in (TOKENS[alg], f"{signed}.{base64url(good)}"):
        assert verify_signature(token, {str(key_named_by(token)): server}, issuer="joe") is None
