"""Facts about risk: what workers concluded about an account from what they counted."""

from datetime import datetime
from typing import Literal

from events.fact import Event, fact, personal

RiskReason = Literal[
    "sign-in-failures", "guessing-source", "unfamiliar-sign-in", "unfamiliar-burst", "refresh-reuse-burst"
]


@fact("session.flagged")
class SessionFlagged(Event):
    """Somebody should look at what this session did. It goes on, if it has not ended."""

    session_id: str
    reason: RiskReason
    flagged_at: datetime


@fact("session.step_up_required")
class StepUpRequired(Event):
    """The session gets no new tokens; the person has to prove again who they are."""

    session_id: str
    reason: RiskReason
    required_at: datetime


@fact("owner_notice.requested")
class OwnerNoticeRequested(Event):
    """The owner is told by mail of something that may not have been them."""

    notice_id: str
    reason: RiskReason
    requested_at: datetime
    email: str | None = personal(default=None)
