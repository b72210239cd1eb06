"""The second factors of one account, and the challenges that they answer.

| challenge of a sign-in | answer                                  | locked | outcome                       |
|------------------------|-----------------------------------------|--------|-------------------------------|
| waiting                | code of a step later than the last one  | no     | session, challenge and step used up |
| waiting                | recovery code that is left              | no     | session, challenge and code used up |
| waiting                | passkey of the account                  | -      | session, challenge used up    |
| waiting                | wrong code                              | no     | failure, counts to the lock-out of codes |
| waiting                | any code                                | yes    | failure                       |
| waiting                | wrong passkey                           | -      | failure                       |
| used, expired, unknown | any                                     | -      | failure                       |

Laws: a step, a recovery code and a challenge are good once, whoever presents them where. Recovery codes live
only beside a factor. Only a factor that was accepted, or an administrator, forgives wrong codes. A passkey whose counter
did not grow is refused (WebAuthn section 7.2).
"""

from dataclasses import dataclass, replace
from datetime import datetime

from events.account import AccountUnlocked, SignInFailed
from events.fact import Event, personal
from events.factors import (
    FactorsLocked,
    PasskeyAccepted,
    PasskeyRegistered,
    PasskeyRemoved,
    RecoveryCodeAccepted,
    RecoveryCodesIssued,
    SignInChallenged,
    TotpAccepted,
    TotpEnrolled,
    TotpEnrolmentStarted,
    TotpRemoved,
)

RECOVERY_CODES = 10
MAX_PASSKEYS = 20
MAX_SPENT = 100
"""Passkey challenges that one account may have answered and that would still be fresh; more have to wait."""
GUESSED_CODES = frozenset({"wrong-totp", "wrong-recovery-code"})
"""Failed answers that could have been guesses."""
MAX_CHALLENGES = 10
"""Sign-ins of one account that may wait for a second factor at once; one more drops the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totp:
    """`last_step` is the newest one whose code was accepted. `secret` is None once the data key was erased."""

    claim_id: str
    last_step: int
    secret: str | None = personal(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTotp:
    """A secret whose first code was not presented yet."""

    enrolment_id: str
    session_id: str
    expires_at: datetime
    secret: str | None = personal(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodes:
    """`left` are the numbers of the codes that were not used."""

    set_id: str
    left: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    passkey_id: str
    claim_id: str
    sign_count: int
    is_synced: bool
    credential_id: str | None = personal(default=None)
    public_key: str | None = personal(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    challenge_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """`challenges` wait for a second factor, oldest first; `spent` are passkey challenges that would still be fresh.

    `failures` counts wrong codes in a row; until `locked_until` none is taken.
    """

    totp: Totp | None = None
    waiting_totp: WaitingTotp | None = None
    recovery_codes: RecoveryCodes | None = None
    passkeys: tuple[Passkey, ...] = ()
    challenges: tuple[Challenge, ...] = ()
    spent: tuple[Challenge, ...] = ()
    failures: int = 0
    locked_until: datetime | None = None

    @property
    def is_enrolled(self) -> bool:
        """Whether a password alone does not open the account."""
        return self.totp is not None or bool(self.passkeys)


def evolve_factors(state: Factors, event: Event) -> Factors:
    match event:
        case SignInChallenged():
            waiting = tuple(c for c in state.challenges if event.challenged_at < c.expires_at)
            challenge = Challenge(challenge_id=event.challenge_id, expires_at=event.expires_at)
            return replace(state, challenges=(*waiting, challenge)[-MAX_CHALLENGES:])
        case TotpEnrolmentStarted():
            waiting_totp = WaitingTotp(
                enrolment_id=event.enrolment_id,
                session_id=event.session_id,
                expires_at=event.expires_at,
                secret=event.secret,
            )
            return replace(state, waiting_totp=waiting_totp)
        case TotpEnrolled() if state.waiting_totp is not None:
            totp = Totp(claim_id=event.claim_id, secret=state.waiting_totp.secret, last_step=event.step)
            return replace(state, totp=totp, waiting_totp=None)
        case TotpAccepted() if state.totp is not None:
            met = _met(state, event.challenge_id)
            return replace(met, totp=replace(state.totp, last_step=max(event.step, state.totp.last_step)))
        case TotpRemoved():
            return _kept(replace(state, totp=None, waiting_totp=None))
        case RecoveryCodesIssued():
            codes = RecoveryCodes(set_id=event.set_id, left=tuple(range(event.count)))
            return replace(state, recovery_codes=codes)
        case RecoveryCodeAccepted() if state.recovery_codes is not None:
            left = tuple(number for number in state.recovery_codes.left if number != event.number)
            return replace(
                _met(state, event.challenge_id), recovery_codes=replace(state.recovery_codes, left=left)
            )
        case PasskeyRegistered() | PasskeyAccepted() | PasskeyRemoved():
            return _evolve_passkeys(state, event)
        case SignInFailed(cause=cause) if cause in GUESSED_CODES:
            return replace(state, failures=state.failures + 1)
        case FactorsLocked():
            return replace(state, failures=0, locked_until=event.locked_until)
        case AccountUnlocked():
            return replace(state, failures=0, locked_until=None)
        case _:
            return state


def is_locked(state: Factors, at: datetime) -> bool:
    """Whether codes are refused at that time, right or wrong."""
    return state.locked_until is not None and at < state.locked_until


def is_spent(state: Factors, challenge_id: str, expires_at: datetime, at: datetime) -> bool:
    """Whether a passkey's challenge is good no more: answered before, late, or one too many to be remembered."""
    fresh = [one.challenge_id for one in state.spent if at < one.expires_at]
    return at >= expires_at or challenge_id in fresh or len(fresh) >= MAX_SPENT


def without_challenges(state: Factors) -> Factors:
    """Whatever was begun and not ended is dead. What is spent stays spent."""
    return replace(state, waiting_totp=None, challenges=())


def find_challenge(state: Factors, challenge_id: str, at: datetime) -> Challenge | None:
    """The challenge, if it still waits."""
    return next((c for c in state.challenges if c.challenge_id == challenge_id and at < c.expires_at), None)


def find_passkey(state: Factors, passkey_id: str) -> Passkey | None:
    return next((passkey for passkey in state.passkeys if passkey.passkey_id == passkey_id), None)


def has_grown(passkey: Passkey, sign_count: int) -> bool:
    """Whether the counter says that this is not a copy of the authenticator; both 0 where it does not count."""
    return sign_count > passkey.sign_count or sign_count == passkey.sign_count == 0


def _evolve_passkeys(state: Factors, event: PasskeyRegistered | PasskeyAccepted | PasskeyRemoved) -> Factors:
    match event:
        case PasskeyRegistered():
            passkey = Passkey(
                passkey_id=event.passkey_id,
                claim_id=event.claim_id,
                sign_count=event.sign_count,
                is_synced=event.is_synced,
                credential_id=event.credential_id,
                public_key=event.public_key,
            )
            spent = _with_spent(state, event.challenge_id, event.challenge_expires_at, event.registered_at)
            return replace(state, passkeys=(*state.passkeys, passkey), spent=spent)
        case PasskeyAccepted():
            passkeys = tuple(
                replace(passkey, sign_count=event.sign_count)
                if passkey.passkey_id == event.passkey_id
                else passkey
                for passkey in state.passkeys
            )
            spent = _with_spent(state, event.challenge_id, event.challenge_expires_at, event.accepted_at)
            return replace(_met(state, event.challenge_id), passkeys=passkeys, spent=spent)
        case PasskeyRemoved():
            kept = tuple(passkey for passkey in state.passkeys if passkey.passkey_id != event.passkey_id)
            return _kept(replace(state, passkeys=kept))


def _with_spent(
    state: Factors, challenge_id: str, expires_at: datetime, at: datetime
) -> tuple[Challenge, ...]:
    """Remembered as long as they would still be fresh."""
    fresh = (c for c in state.spent if at < c.expires_at and c.challenge_id != challenge_id)
    return (*fresh, Challenge(challenge_id=challenge_id, expires_at=expires_at))


def _met(state: Factors, challenge_id: str) -> Factors:
    """The challenge is answered, and wrong codes before that are forgiven."""
    others = tuple(c for c in state.challenges if c.challenge_id != challenge_id)
    return replace(state, challenges=others, failures=0, locked_until=None)


def _kept(state: Factors) -> Factors:
    """Without a factor there are no recovery codes, and no sign-in waits for one."""
    return state if state.is_enrolled else Factors(spent=state.spent)
