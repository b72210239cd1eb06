"""OAuth's form bodies (RFC 6749 section 3.2): no parameter twice, and an empty one counts as left out."""

from urllib.parse import parse_qsl

from fastapi import Request

from runtime.serving.answers import AnswerError, oauth_error
from runtime.serving.app import require_media_type

_MAX_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """FastAPI dependency."""
    require_media_type(request, "application/x-www-form-urlencoded")
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise AnswerError(oauth_error(400, "invalid_request", "The body is not a form.")) from None
    form = dict(pairs)
    if len(form) != len(pairs) or any("\x00" in part for pair in pairs for part in pair):
        title = "A parameter occurs twice or holds a NUL character."
        raise AnswerError(oauth_error(400, "invalid_request", title))
    return {name: value for name, value in form.items() if value}
