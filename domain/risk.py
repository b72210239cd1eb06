"""What an account remembers to judge risk: where it was signed in from, and what was concluded about it already.

Laws: a first sign-in is from nowhere unfamiliar, because there is nothing to compare it with; what was concluded once
is concluded; nothing grows without bound.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from domain.origins import device_of, network_of
from events.account import SessionStarted, Unfamiliar
from events.fact import personal
from events.risk import OwnerNoticeRequested, SessionFlagged

MAX_FAMILIAR = 16
MAX_CONCLUDED = 16
"""Of each kind, the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """`networks` and `devices` are None before the first sign-in, and once the account's data key was erased."""

    networks: tuple[str, ...] | None = personal(default=None)
    devices: tuple[str, ...] | None = personal(default=None)
    flagged: tuple[str, ...] = ()
    noticed: tuple[str, ...] = ()


def unfamiliar(risk: Risk, ip: str | None, user_agent: str | None) -> tuple[Unfamiliar, ...]:
    """What this sign-in comes from that no earlier one did."""
    found: list[Unfamiliar] = []
    network, device = network_of(ip), device_of(user_agent)
    if network is not None and risk.networks is not None and network not in risk.networks:
        found.append("network")
    if device is not None and risk.devices is not None and device not in risk.devices:
        found.append("device")
    return tuple(found)


def evolve_risk(risk: Risk, event: SessionStarted | SessionFlagged | OwnerNoticeRequested) -> Risk:
    match event:
        case SessionStarted():
            return replace(
                risk,
                networks=_with(risk.networks, network_of(event.ip)),
                devices=_with(risk.devices, device_of(event.user_agent)),
            )
        case SessionFlagged():
            return replace(risk, flagged=(*risk.flagged, event.session_id)[-MAX_CONCLUDED:])
        case OwnerNoticeRequested():
            return replace(risk, noticed=(*risk.noticed, event.notice_id)[-MAX_CONCLUDED:])
        case _:
            assert_never(event)


def _with(familiar: tuple[str, ...] | None, seen: str | None) -> tuple[str, ...] | None:
    """The latest last."""
    if seen is None:
        return familiar
    others = tuple(one for one in familiar or () if one != seen)
    return (*others, seen)[-MAX_FAMILIAR:]
