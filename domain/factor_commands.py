"""What may be asked of an account's second factors. Times, ids and verdicts come in with the command."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.account_commands import LockOut, NewSession, Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpAnswer:
    """`matching_step` is the newest step around now whose code it is; None for a wrong code."""

    matching_step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryAnswer:
    """`matching_number` is which of the codes of `set_id` it is; None for none of them."""

    set_id: str
    matching_number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPasskey:
    """An assertion whose signature, origin, relying party and flags are right for the account's passkey."""

    passkey_id: str
    sign_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyAnswer:
    """`verified` is None for an assertion that is wrong, or of nobody's passkey."""

    verified: VerifiedPasskey | None


Answer = TotpAnswer | RecoveryAnswer | PasskeyAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerChallenge:
    """The second half of a sign-in whose password was right."""

    challenge_id: str
    answer: Answer
    session: NewSession
    origin: Origin
    lock_out: LockOut
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInWithPasskey:
    """A whole sign-in. The challenge was made here and names its own end, which is not to be trusted further."""

    challenge_id: str
    challenge_expires_at: datetime
    answer: PasskeyAnswer
    session: NewSession
    origin: Origin
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTotp:
    """`recent` is how long ago the session may have begun."""

    acting_session_id: str
    enrolment_id: str
    secret: str = field(repr=False)
    expires_at: datetime
    recent: timedelta
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmTotp:
    """`matching_step` as above, for the waiting secret of `enrolment_id`."""

    acting_session_id: str
    enrolment_id: str | None
    matching_step: int | None
    set_id: str
    recent: timedelta
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveTotp:
    acting_session_id: str
    is_password_right: bool
    lock_out: LockOut
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRecoveryCodes:
    acting_session_id: str
    is_password_right: bool
    set_id: str
    lock_out: LockOut
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparePasskey:
    """Whether this session could register a passkey now, before anybody touches an authenticator."""

    acting_session_id: str
    recent: timedelta
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterPasskey:
    """A credential whose registration is right. `credential_id` and `public_key` (COSE) are base64url."""

    acting_session_id: str
    passkey_id: str
    challenge_id: str
    challenge_expires_at: datetime
    credential_id: str = field(repr=False)
    public_key: str = field(repr=False)
    is_synced: bool
    sign_count: int
    recent: timedelta
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePasskey:
    acting_session_id: str
    passkey_id: str
    recent: timedelta
    at: datetime


FactorCommand = (
    AnswerChallenge
    | SignInWithPasskey
    | StartTotp
    | ConfirmTotp
    | RemoveTotp
    | IssueRecoveryCodes
    | PreparePasskey
    | RegisterPasskey
    | RemovePasskey
)
