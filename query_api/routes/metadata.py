"""Keys and metadata for clients and resource servers (RFC 7517, RFC 8414, OpenID Connect Discovery)."""

from typing import Any

from fastapi import APIRouter, Response

from query_api.services import UseServices
from query_api.tokens import CannotKnowError
from runtime.serving.answers import json_answer

router = APIRouter(tags=["metadata"])
_METADATA_CACHED = {"cache-control": "public, max-age=300"}
_CLIENT_METHODS = ["client_secret_basic", "client_secret_post"]


@router.get("/.well-known/jwks.json", response_class=Response)
async def jwks(services: UseServices) -> Response:
    """A new key is here before it signs, for longer than anybody may keep this answer."""
    if not services.key_set.keys:
        raise CannotKnowError
    keys = [{**key.public_jwk, "kid": key.kid, "alg": key.alg, "use": "sig"} for key in services.key_set.keys]
    seconds = int(services.key_set.lead.total_seconds())
    return json_answer(200, {"keys": keys}, {"cache-control": f"public, max-age={seconds}"}).response()


@router.get("/.well-known/openid-configuration", response_class=Response)
@router.get("/.well-known/oauth-authorization-server", response_class=Response)
async def metadata(services: UseServices) -> Response:
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
        "id_token_signing_alg_values_supported": sorted({key.alg for key in services.key_set.keys}),
    }
    return json_answer(200, content, _METADATA_CACHED).response()
