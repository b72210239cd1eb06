"""The signature by which one of our processes proves to another that a request is from it.

HMAC-SHA-256 over everything that is believed: method, target, the headers that the channel covers, on whose behalf
the request comes, when it was sent, how long it may take, and the body. It hides nothing: that is the work of TLS.
A request that is seen on its way can be repeated for a minute: whoever takes one must bear that.
"""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.encoding import base64url
from runtime.keys import keyed_digest

LONGEST_MS = 60_000
"""A request that is older is refused, and so is one from the future: clocks may differ by as much."""
_FIELDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One use of the signature: the header that it travels in, and the headers that it covers."""

    header: str
    covers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request between processes. `target` is path and query as they came; `seconds` is what is left for it.

    `client` is on whose behalf: an address of the one who asked, or the name of one of our workers.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    client: str
    seconds: float


def stamp(channel: Channel, key: bytes, request: SignedRequest) -> str:
    """The header's value, for a request that is sent now."""
    said = f"v1;{int(time.time() * 1000)};{int(request.seconds * 1000)};{request.client}"
    return signed(said, channel, key, request)


def signed(said: str, channel: Channel, key: bytes, request: SignedRequest) -> str:
    """What is said in the open, and the signature over it and the request."""
    covered = sorted((name, request.headers[name]) for name in channel.covers if name in request.headers)
    named = [part.encode("latin-1") for pair in covered for part in pair]
    believed = (part.encode("latin-1") for part in (said, request.method, request.target))
    return f"{said};{base64url(keyed_digest(key, *believed, *named, request.body))}"


def verified(text: str, channel: Channel, key: bytes, came: SignedRequest) -> SignedRequest | None:
    """The request as its sender meant it, if `text` is the stamp that belongs to it and is not old.

    Client and seconds are taken from the stamp, whatever `came` says of them.
    """
    version, *fields = text.split(";")
    if version != "v1" or len(fields) != _FIELDS or not (fields[0].isdecimal() and fields[1].isdecimal()):
        return None
    if not hmac.compare_digest(signed(text.rpartition(";")[0], channel, key, came).encode(), text.encode()):
        return None
    if abs(time.time() * 1000 - int(fields[0])) > LONGEST_MS:
        return None
    return SignedRequest(
        method=came.method,
        target=came.target,
        headers={name: came.headers[name] for name in channel.covers if name in came.headers},
        body=came.body,
        client=fields[2],
        seconds=int(fields[1]) / 1000,
    )
