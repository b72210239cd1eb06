"""Whose request it is: the address that the connection comes from, or what a proxy of our own says of it.

`X-Forwarded-For` counts only on connections from networks that are configured as proxies. `Forwarded` and `X-Real-IP`
never do: one header that every proxy appends to is enough, and each further one would be another way to lie.
"""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from starlette.types import ASGIApp, Receive, Scope, Send

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
IPV6_PREFIX = 64
"""What one household or server is given at least: whoever has one address of it has all of them."""
_HEADER = b"x-forwarded-for"


def parse_networks(text: object) -> object:
    """As pydantic wants it: what is no text passes through, and a ValueError says what is wrong."""
    if not isinstance(text, str):
        return text
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_address(text: str) -> Address | None:
    """One form for each address: aliases of text, zones and IPv4 within IPv6 make no difference. None for others."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The right-most address that no proxy of ours has; `forwarded_for` are the header's lines in their order.

    Each proxy appends the address that it saw, so what is left of the right one is what the client made up. If one of
    the addresses that count is none, the peer's stands. If all are proxies' own, the one that the peer saw does.
    """
    own = None if peer is None else parse_address(peer)
    if own is None:
        return peer
    if not _is_within(own, trusted):
        return str(own)
    parts = ",".join(forwarded_for).split(",") if forwarded_for else []
    seen = own
    for number, part in enumerate(reversed(parts)):
        address = parse_address(part)
        if address is None:
            return str(own)
        if not _is_within(address, trusted):
            return str(address)
        if number == 0:
            seen = address
    return str(seen)


def prefix_of(address: str | None) -> str:
    """What one client surely shares with itself: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = None if address is None else parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_PREFIX), strict=False))
    return "unknown" if parsed is None else str(parsed)


class KnownClient:
    """ASGI middleware: puts the client's address where the server had put the connection's."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["client"] is not None:
            host, port = scope["client"]
            lines = [value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER]
            scope = {**scope, "client": (client_address(host, lines, self._trusted), port)}
        await self._app(scope, receive, send)


def _is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
