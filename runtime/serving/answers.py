"""Answers as they go over the wire: rendered once, so that a repeated request gets the same bytes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

PROBLEM_TYPE = "urn:chancery:problem:"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        return Response(self.body, status_code=self.status, headers=dict(self.headers))


class AnswerError(Exception):
    """Stops a request with this answer."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """Answers carry tokens and personal data, so nothing between here and the client may keep them."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return rendered_json_answer(status, body, headers)


def rendered_json_answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    base = {"content-type": "application/json", "cache-control": "no-store"}
    return HttpAnswer(status=status, body=body, headers={**base, **(headers or {})})


def empty_answer(status: int, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status=status, headers={"cache-control": "no-store", **(headers or {})})


def problem(
    status: int,
    code: str,
    title: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> HttpAnswer:
    """A problem document (RFC 9457) whose `type` ends in the stable `code`."""
    content: dict[str, Any] = {"type": PROBLEM_TYPE + code, "title": title, "status": status}
    if errors:
        content["errors"] = list(errors)
    return json_answer(status, content, {"content-type": "application/problem+json", **(headers or {})})


def oauth_error(
    status: int, error: str, description: str, headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """An error of the OAuth endpoints (RFC 6749 section 5.2)."""
    return json_answer(status, {"error": error, "error_description": description}, headers)


def failure(
    path: str, status: int, code: str, title: str, headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """A failure in the shape that belongs to the path: OAuth's below `/oauth/`, a problem elsewhere."""
    if not path.startswith("/oauth/"):
        return problem(status, code, title, headers=headers)
    if status == HTTPStatus.UNAUTHORIZED:
        return oauth_error(status, "invalid_token", title, headers)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return oauth_error(status, "temporarily_unavailable", title, headers)
    is_theirs = status < HTTPStatus.INTERNAL_SERVER_ERROR
    return oauth_error(status, "invalid_request" if is_theirs else "server_error", title, headers)
