"""Facts about one e-mail address, named only by its HMAC: who asked for it, who holds it, what was tried."""

from datetime import datetime
from typing import Literal

from events.fact import Event, fact


@fact("identifier.reserved")
class IdentifierReserved(Event):
    account_id: str
    challenge_id: str
    code_expires_at: datetime


@fact("identifier.challenge_renewed")
class ChallengeRenewed(Event):
    account_id: str
    challenge_id: str
    code_expires_at: datetime


@fact("identifier.reservation_dropped")
class ReservationDropped(Event):
    account_id: str


@fact("identifier.claimed")
class IdentifierClaimed(Event):
    account_id: str


@fact("identifier.claimed_by_change")
class IdentifierClaimedByChange(Event):
    """An account that changes to this address holds it, on top of any claim that it had."""

    account_id: str
    change_id: str


@fact("identifier.released")
class IdentifierReleased(Event):
    """One claim is given back. The address is free once its holder has none left."""

    account_id: str
    claim_id: str


@fact("identifier.code_rejected")
class CodeRejected(Event):
    """A wrong, used or expired code was presented, whether or not the address is known."""


@fact("identifier.resend_ignored")
class ResendIgnored(Event):
    """A new code was asked for where none is pending. Recorded so that both answers cost the same."""


@fact("identifier.reset_ignored")
class UnknownResetIgnored(Event):
    """A password reset was asked for an address that no account holds."""


@fact("identifier.reset_code_rejected")
class UnknownResetRejected(Event):
    """A reset code was presented for an address that no account holds."""


@fact("identifier.sign_in_failed")
class UnknownSignInFailed(Event):
    """A sign-in named an address that no account holds."""

    cause: Literal["unknown"]
