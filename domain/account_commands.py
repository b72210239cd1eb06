"""What may be asked of an account. Times, ids and verdicts come in with the command."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from events.account import DiscardCause, RevocationCause, SignUpPolicy
from events.email_change import AbandonCause
from events.risk import RiskReason


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOut:
    """So many failures in a row lock the password for so long."""

    failures: int
    duration: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from, as the edge saw it."""

    ip: str | None
    user_agent: str | None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    account_id: str
    identifier: str
    policy: SignUpPolicy
    email: str
    display_name: str | None
    password_hash: str
    challenge_id: str
    code_expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVerification:
    challenge_id: str
    code_expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyEmail:
    challenge_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardRegistration:
    cause: DiscardCause


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatSignUp:
    notice_id: str
    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """What the session will be if the sign-in succeeds. Lifetimes are durations from `at`."""

    session_id: str
    client_id: str
    scope: str
    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """`identifier` is the address that was given; it opens only the account whose address it is now.

    Where a second factor is needed, the sign-in becomes a challenge that waits for it so long.
    """

    identifier: str
    is_password_right: bool
    challenge_id: str
    challenge_lifetime: timedelta
    session: NewSession
    origin: Origin
    lock_out: LockOut
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    session_id: str
    generation: int
    grace: timedelta
    idle: timedelta
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeSession:
    """Ending a session that has ended already is no news."""

    session_id: str
    cause: RevocationCause


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeSessions:
    """End every session but `spare`, asked for within the live session `acting_session_id`."""

    acting_session_id: str
    spare: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword:
    acting_session_id: str
    is_password_right: bool
    password_hash: str
    is_short: bool
    lock_out: LockOut
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeProfile:
    acting_session_id: str
    display_name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attend:
    """Nothing but proof that the acting session is live."""

    acting_session_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPasswordReset:
    """At most `mail_limit` mails an hour; one more request changes nothing, and earlier codes stay good."""

    identifier: str
    challenge_id: str
    code_expires_at: datetime
    mail_limit: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPassword:
    """`matching_challenge_id` is whose code it is, by the verdict of who derived the codes; None for nobody's."""

    identifier: str
    matching_challenge_id: str | None
    password_hash: str
    is_short: bool
    limit: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEmailChange:
    """`is_taken` is whether another account holds the new address, as far as could be seen."""

    acting_session_id: str
    is_password_right: bool
    change_id: str
    identifier: str
    email: str
    is_taken: bool
    code_expires_at: datetime
    mail_limit: int
    lock_out: LockOut
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEmail:
    """Take the new address, which is claimed already. `matching_change_id` is a verdict as above."""

    acting_session_id: str
    matching_change_id: str | None
    limit: int
    undo_until: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonEmailChange:
    """Whatever the change still was, it is nothing from now on."""

    change_id: str
    cause: AbandonCause


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoEmailChange:
    change_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EndHold:
    """Give back the address from before a change, once that can be undone no more."""

    change_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAccount:
    acting_session_id: str
    is_password_right: bool
    erase_after: datetime
    lock_out: LockOut
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableAccount:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableAccount:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockAccount:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOutAccount:
    """End every session, as an administrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMailBounced:
    """The owner's mail server refused a mail for good. `kind` is which of our mails it was."""

    message_id: str
    kind: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagSession:
    session_id: str
    reason: RiskReason
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireStepUp:
    """`session_id` is None for every session that is live."""

    session_id: str | None
    reason: RiskReason
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyOwner:
    """`notice_id` is the same for every repetition of one conclusion."""

    notice_id: str
    reason: RiskReason
    at: datetime


Command = (
    Register
    | RequestVerification
    | VerifyEmail
    | DiscardRegistration
    | RepeatSignUp
    | SignIn
    | Refresh
    | RevokeSession
    | RevokeSessions
    | ChangePassword
    | ChangeProfile
    | Attend
    | RequestPasswordReset
    | ResetPassword
    | RequestEmailChange
    | ChangeEmail
    | AbandonEmailChange
    | UndoEmailChange
    | EndHold
    | CloseAccount
    | DisableAccount
    | EnableAccount
    | UnlockAccount
    | SignOutAccount
    | ReportMailBounced
    | FlagSession
    | RequireStepUp
    | NotifyOwner
)
