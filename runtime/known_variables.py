"""Names that begin with `CHANCERY_` and are no settings, and what is said about a name that nobody knows.

A misspelt setting would be a default that nobody asked for, so a process that is given one does not start.
"""

import difflib
import re
from collections.abc import Collection, Mapping

PREFIX = "CHANCERY_"

OUTSIDE: Mapping[str, str] = {
    "CHANCERY_HOME": "folder of the local stack's state, and of the two files above; `.chancery` if unset",
    "CHANCERY_LOCAL_KAFKA_PORT": "port of the local stack's Kafka (29092)",
    "CHANCERY_LOCAL_KAFKA_CONTROLLER_PORT": "port of its controller; if unset, the next one after Kafka's",
    "CHANCERY_LOCAL_KAFKA_BROKERS": (
        "what `chancery up --brokers` sets (1): with 3, every record is on three brokers and acknowledged by two, "
        "and any one may die"
    ),
    "CHANCERY_LOCAL_KAFKA_CLUSTER_PORTS": (
        "ports of the second and third broker (broker, controller, broker, controller), separated by commas; if "
        "unset, the four after the first one's"
    ),
    "CHANCERY_LOCAL_KAFKA_PROPERTIES": "a file of further settings of a single local broker, which win over the local stack's own",
    "CHANCERY_LOCAL_POSTGRES_PORT": "port of the local stack's PostgreSQL (25432)",
    "CHANCERY_LOCAL_POSTGRES_PASSWORD": "its password: generated, in `secrets.env`",
    "CHANCERY_LOCAL_VALKEY_PORT": "port of the local stack's Valkey (26380)",
    "CHANCERY_LOCAL_SMTP_PORT": "port of the local stack's mail catcher (21025)",
    "CHANCERY_IMAGE": "the image that `docker-compose.yml` starts, for whoever does not build one",
    "CHANCERY_SOAK_FACTOR": "how much of its work each fault test does in `make soak` (1)",
    "CHANCERY_SOAK_RESULTS": "file in which a fault test notes what it did, set by `make soak`",
}
"""What others than Chancery's processes read: the local stack, Docker Compose, the tests."""

_LINK_NAME = re.compile(
    r"CHANCERY(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT)(_.*)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)"
)
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


def unknown_variables(given: Mapping[str, str | None], settings: Collection[str]) -> list[str]:
    """A sentence for each name that nobody reads. Values are never repeated."""
    known = {*(PREFIX + name.upper() for name in settings), *OUTSIDE}
    ours = {name.upper(): value for name, value in given.items() if name.upper().startswith(PREFIX)}
    links = sorted(name for name, value in ours.items() if _is_service_link(name, value))
    unknown = sorted(ours.keys() - known - set(links))
    return [_no_setting(name, known) for name in unknown] + ([_no_links(links)] if links else [])


def _is_service_link(name: str, value: str | None) -> bool:
    """Whether it is one of the variables that Kubernetes makes in every pod for every Service."""
    return _LINK_NAME.fullmatch(name) is not None or _LINK_VALUE.match(value or "") is not None


def _no_setting(name: str, known: Collection[str]) -> str:
    """All names begin alike, so only what follows is compared."""
    ends = sorted(one.removeprefix(PREFIX) for one in known)
    near = difflib.get_close_matches(name.removeprefix(PREFIX), ends, n=1)
    advice = f"Did you mean {PREFIX}{near[0]}?" if near else "docs/reference/configuration.md lists all."
    return f"{name} is not a setting. {advice}"


def _no_links(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"{names[0]}{more} look like what Kubernetes sets for a Service, and some have names of settings. "
        "Set `enableServiceLinks: false` in the pod."
    )
