"""Which calls are counted, by what, and the answer to one too many.

A key is made of the source of a call, never of what is in its body: whether an e-mail address is known shows nowhere.
A call is counted before anything is decided or kept, by the process that its client reached.
"""

from collections.abc import Mapping
from typing import Literal, Self

from fastapi import Request

from events.streams import base32
from runtime.keys import keyed_digest
from runtime.rate_counters import Exceeded, Limit, LimitUnknownError, RateCounters
from runtime.rates import Rate
from runtime.serving.answers import AnswerError, HttpAnswer, failure
from runtime.serving.client_address import prefix_of
from runtime.settings import Settings

ByAddress = Literal[
    "address-sign-ups", "address-sign-ins", "address-codes", "address-mails", "address-tokens"
]
ByAccount = Literal["account-mails", "account-factors"]
_BYTES = 15


class RateLimits:
    """`rates` has one for each name. A name is its setting's, as in `CHANCERY_LIMIT_ADDRESS_SIGN_UPS`."""

    def __init__(self, counters: RateCounters, rates: Mapping[str, Rate], key: bytes) -> None:
        self._counters = counters
        self._limits = {
            name: Limit(name=name, count=rate.count, seconds=rate.seconds) for name, rate in rates.items()
        }
        self._key = key

    @classmethod
    def of(cls, settings: Settings, counters: RateCounters, key: bytes) -> Self:
        rates: dict[str, Rate] = {
            "address-sign-ups": settings.limit_address_sign_ups,
            "address-sign-ins": settings.limit_address_sign_ins,
            "address-codes": settings.limit_address_codes,
            "address-mails": settings.limit_address_mails,
            "address-tokens": settings.limit_address_tokens,
            "account-mails": settings.limit_account_mails,
            "account-factors": settings.limit_account_factors,
            "client-tokens": settings.limit_client_tokens,
        }
        return cls(counters, rates, key)

    async def count_address(self, request: Request, name: ByAddress) -> None:
        """AnswerError with a 429 if there were too many from the caller's prefix, or a 503 if that is not known now."""
        if not _was_counted(request):
            address = request.client.host if request.client else None
            await self._count(request, name, prefix_of(address))

    async def count_account(self, request: Request, name: ByAccount, account_id: str) -> None:
        """As above for what a signed-in account asks for."""
        if not _was_counted(request):
            await self._count(request, name, account_id)

    async def count_client(self, request: Request, client_id: str) -> None:
        """As above for the tokens of a client that has proven its secret: nobody else uses up what it has.

        That is known where the call is decided, and so it is counted there, whoever it came through.
        """
        await self._count(request, "client-tokens", client_id)

    async def _count(self, request: Request, name: str, subject: str) -> None:
        digest = keyed_digest(self._key, name.encode(), subject.encode())
        try:
            exceeded = await self._counters.hit(self._limits[name], base32(digest[:_BYTES]))
        except LimitUnknownError:
            raise AnswerError(nobody_knows(request.url.path)) from None
        if exceeded is not None:
            raise AnswerError(too_many(exceeded, request.url.path))


def too_many(exceeded: Exceeded, path: str) -> HttpAnswer:
    """429 with the fields of draft-ietf-httpapi-ratelimit-headers-10, as structured fields (RFC 9651)."""
    limit, wait = exceeded.limit, exceeded.wait_seconds
    headers = {
        "retry-after": str(wait),
        "ratelimit-policy": f'"{limit.name}";q={limit.count};w={limit.seconds}',
        "ratelimit": f'"{limit.name}";r=0;t={wait}',
    }
    return failure(path, 429, "rate-limited", "Too many requests. Try again later.", headers)


def nobody_knows(path: str) -> HttpAnswer:
    """503 for the moment in which the counters do not answer."""
    title = "It cannot be told now whether this call is one too many. Nothing was changed. Try again."
    return failure(path, 503, "unavailable", title, {"retry-after": "1"})


def _was_counted(request: Request) -> bool:
    """Whether another process had the call first, and handed it on."""
    return "forwarded" in request.scope["state"]
