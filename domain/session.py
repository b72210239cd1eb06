"""The refresh family of one session: what each presented refresh token means.

| session   | generation presented        | within the grace | verdict   |
|-----------|-----------------------------|------------------|-----------|
| live      | current                     | -                | ROTATE    |
| live      | the one before              | yes              | REPEAT    |
| live      | the one before              | no               | THEFT     |
| live      | older                       | -                | THEFT     |
| live      | newer than any given        | -                | UNKNOWN   |
| ended     | any                         | -                | UNKNOWN   |

REPEAT hands out the successor that was handed out before, so that a lost answer signs nobody out and no
second chain can begin. THEFT ends the session. (RFC 9700 section 4.14.2.)
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto


class RefreshVerdict(Enum):
    ROTATE = auto()
    REPEAT = auto()
    THEFT = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session. `generation` counts its refresh tokens from 1; `refreshed_at` dates the current one."""

    session_id: str
    client_id: str
    scope: str
    amr: tuple[str, ...]
    acr: str
    started_at: datetime
    refreshed_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    generation: int = 1
    needs_step_up: bool = False


def is_live(session: Session, at: datetime) -> bool:
    return at < min(session.idle_expires_at, session.expires_at)


def judge_refresh(session: Session, generation: int, at: datetime, grace: timedelta) -> RefreshVerdict:
    """What the table above says of this presentation."""
    if not is_live(session, at) or generation > session.generation:
        return RefreshVerdict.UNKNOWN
    if generation == session.generation:
        return RefreshVerdict.ROTATE
    is_previous = generation == session.generation - 1
    if is_previous and at - session.refreshed_at <= grace:
        return RefreshVerdict.REPEAT
    return RefreshVerdict.THEFT
