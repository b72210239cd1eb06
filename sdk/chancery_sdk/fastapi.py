"""A FastAPI dependency: who asks, by an access token that is checked in this process."""

from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request

from chancery_sdk.asgi import Checks, RefusalError, claims_of
from chancery_sdk.claims import Claims


def require(tokens: Callable[[], Checks], *scopes: str) -> Callable[[Request], Awaitable[Claims]]:
    """`Annotated[Claims, Depends(require(lambda: app.state.tokens, "orders.read"))]`."""

    async def caller(request: Request) -> Claims:
        try:
            return await claims_of(request.headers.raw, tokens(), scopes)
        except RefusalError as refusal:
            headers = {"www-authenticate": refusal.challenge} if refusal.challenge else {}
            if refusal.status == 503:  # noqa: PLR2004  # HTTP's
                headers["retry-after"] = "1"
            raise HTTPException(refusal.status, refusal.title, headers) from None

    return caller
