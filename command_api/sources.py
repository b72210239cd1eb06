"""The name under which a network appears to those who may know no address: a keyed digest that changes every day.

It tells that two sign-ins of one day came from one network, and nothing else: not which, not whether it is the one of
yesterday. Whoever has `CHANCERY_SECRET_KEY` could try all networks, and could read the sealed addresses as well.
"""

from datetime import UTC, datetime

from domain.origins import is_of_the_internet, network_of
from events.streams import base32
from runtime.keys import keyed_digest

_BYTES = 10


def source_of(key: bytes, ip: str | None, at: datetime) -> str | None:
    """None where it is not known where a call came from: a private address is that of a proxy of our own."""
    network = network_of(ip)
    if network is None or not is_of_the_internet(ip):
        return None
    day = f"{at.astimezone(UTC):%Y-%m-%d}"
    return base32(keyed_digest(key, day.encode(), network.encode())[:_BYTES])
