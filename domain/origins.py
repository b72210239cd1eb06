"""Where a sign-in comes from, as coarse as an account remembers it: the network and the device.

A network is the /24 of an IPv4 address or the /56 of an IPv6 one, about as much as one household or office keeps. A
device is its user agent without version numbers, so that an update makes nobody a stranger.
"""

import ipaddress
import re

_IPV4_BITS = 24
_IPV6_BITS = 56
_LONGEST_DEVICE = 128
_VERSIONS = re.compile(r"[\d._]+")


def network_of(ip: str | None) -> str | None:
    """None for what is no address."""
    address = _address(ip)
    if address is None:
        return None
    bits = _IPV4_BITS if address.version == 4 else _IPV6_BITS  # noqa: PLR2004  # of the two that there are
    plain = str(address).partition("%")[0]
    return str(ipaddress.ip_network(f"{plain}/{bits}", strict=False))


def is_of_the_internet(ip: str | None) -> bool:
    """Whether strangers can come from it: no loopback, private, or reserved address."""
    address = _address(ip)
    return address is not None and address.is_global


def device_of(user_agent: str | None) -> str | None:
    return _VERSIONS.sub("", user_agent)[:_LONGEST_DEVICE] or None if user_agent else None


def _address(ip: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
