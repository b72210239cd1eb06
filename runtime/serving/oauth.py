"""OAuth's HTTP forms: form bodies, client authentication, bearer tokens (RFC 6749, RFC 6750)."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request

from runtime.serving.answers import AnswerError, oauth_error
from runtime.serving.app import require_media_type

_MOST_FIELDS = 20


class InvalidClientAuthenticationError(Exception):
    """Client credentials came in a form that is none, or in two forms at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    client_id: str
    secret: str = field(repr=False)


async def read_form(request: Request) -> dict[str, str]:
    """FastAPI dependency. No parameter twice; an empty one counts as left out (RFC 6749 section 3.2)."""
    require_media_type(request, "application/x-www-form-urlencoded")
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise AnswerError(oauth_error(400, "invalid_request", "The body is not a form.")) from None
    form = dict(pairs)
    if len(form) != len(pairs) or any("\x00" in part for pair in pairs for part in pair):
        title = "A parameter occurs twice or holds a NUL character."
        raise AnswerError(oauth_error(400, "invalid_request", title))
    return {name: value for name, value in form.items() if value}


def form_body(*required: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """OpenAPI's note of a form body."""
    properties = {name: {"type": "string"} for name in (*required, *optional)}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def client_credentials(request: Request, form: Mapping[str, str]) -> ClientCredentials | None:
    """From the header or from the body (RFC 6749 section 2.3.1); None if there are none."""
    headers = request.headers.getlist("authorization")
    if not headers:
        secret = form.get("client_secret")
        return (
            None if secret is None else ClientCredentials(client_id=form.get("client_id", ""), secret=secret)
        )
    scheme, _, encoded = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "basic" or "client_secret" in form:
        raise InvalidClientAuthenticationError
    return _basic(encoded.strip())


def bearer_token(authorization: Sequence[str]) -> str | None:
    """The one access token of these Authorization headers."""
    scheme, _, token = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _basic(encoded: str) -> ClientCredentials:
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        named = ClientCredentials(
            client_id=unquote_plus(client_id, errors="strict"), secret=unquote_plus(secret, errors="strict")
        )
    except (binascii.Error, ValueError):
        raise InvalidClientAuthenticationError from None
    if not colon:
        raise InvalidClientAuthenticationError
    return named
