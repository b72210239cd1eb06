"""Keys and metadata for clients and resource servers (RFC 7517, RFC 8414, OpenID Connect Discovery)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from query_api.services import UseServices
from query_api.tokens import CannotKnowError
from runtime.serving.answers import empty_answer, rendered_json_answer
from runtime.signing import ALGORITHMS

JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATHS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
PATHS = frozenset({JWKS_PATH, *METADATA_PATHS})
"""What they say is at hand: no store is asked."""
METADATA_SECONDS = 300
router = APIRouter(tags=["metadata"])
_CLIENT_METHODS = ["client_secret_basic", "client_secret_post"]


@router.get(JWKS_PATH, response_class=Response)
async def jwks(request: Request, services: UseServices) -> Response:
    """A new key is here before it signs, for longer than anybody may keep this answer."""
    if not services.key_set.keys:
        raise CannotKnowError
    keys = [{**key.public_jwk, "kid": key.kid, "alg": key.alg, "use": "sig"} for key in services.key_set.keys]
    return _kept(request, {"keys": keys}, services.key_set.cache_seconds)


@router.get(METADATA_PATHS[0], response_class=Response)
@router.get(METADATA_PATHS[1], response_class=Response)
async def metadata(request: Request, services: UseServices) -> Response:
    """All algorithms that a key may have, because one that is new must not wait until this answer is forgotten."""
    urls = services.urls
    content: dict[str, Any] = {
        "issuer": urls.issuer,
        "token_endpoint": f"{urls.command}/oauth/token",
        "revocation_endpoint": f"{urls.command}/oauth/revoke",
        "introspection_endpoint": f"{urls.query}/oauth/introspect",
        "userinfo_endpoint": f"{urls.query}/oauth/userinfo",
        "jwks_uri": f"{urls.query}/.well-known/jwks.json",
        "grant_types_supported": ["refresh_token", "client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "scopes_supported": ["openid", "profile", "email"],
        "token_endpoint_auth_methods_supported": [*_CLIENT_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*_CLIENT_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": _CLIENT_METHODS,
        "id_token_signing_alg_values_supported": sorted(ALGORITHMS),
    }
    return _kept(request, content, METADATA_SECONDS)


def _kept(request: Request, content: Mapping[str, Any], seconds: int) -> Response:
    """For everybody and so many seconds; 304 for who has it already (RFC 9110 section 13.1.2)."""
    body = json.dumps(content, separators=(",", ":")).encode()
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"cache-control": f"public, max-age={seconds}", "etag": tag}
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    if any(one.strip().removeprefix("W/") in (tag, "*") for one in known):
        return empty_answer(304, headers).response()
    return rendered_json_answer(200, body, headers).response()
