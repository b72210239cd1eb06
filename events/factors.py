"""Facts about second factors: time-based codes (RFC 6238), recovery codes, passkeys (WebAuthn), and their use."""

from datetime import datetime

from events.fact import Event, fact, personal


@fact("sign_in.challenged")
class SignInChallenged(Event):
    """The password was right, and a second factor is asked for. Nothing is opened yet."""

    challenge_id: str
    challenged_at: datetime
    expires_at: datetime
    ip: str | None = personal(default=None)
    user_agent: str | None = personal(default=None)


@fact("totp.enrolment_started")
class TotpEnrolmentStarted(Event):
    """A new secret waits for its first code; one that waited before is dead. `secret` is base32."""

    enrolment_id: str
    session_id: str
    expires_at: datetime
    secret: str | None = personal(default=None)


@fact("totp.enrolled")
class TotpEnrolled(Event):
    """The waiting secret is the account's from now on. The code of `step` proved it, and is used up with that.

    A step is a number of 30 seconds since 1970 (RFC 6238 section 4). `claim_id` names the claim of the address that
    the account had then; `email` is where the owner is told.
    """

    enrolment_id: str
    claim_id: str
    step: int
    enrolled_at: datetime
    email: str | None = personal(default=None)


@fact("totp.accepted")
class TotpAccepted(Event):
    """A code answered a sign-in's challenge. Neither it nor an earlier one is good again."""

    challenge_id: str
    step: int


@fact("totp.removed")
class TotpRemoved(Event):
    email: str | None = personal(default=None)


@fact("recovery_codes.issued")
class RecoveryCodesIssued(Event):
    """So many codes that follow from `set_id`, each good once. Those of an earlier set are dead.

    `email` is where the owner is told; absent where a new factor brought them, which is told itself.
    """

    set_id: str
    count: int
    issued_at: datetime
    email: str | None = personal(default=None)


@fact("recovery_code.accepted")
class RecoveryCodeAccepted(Event):
    """The code with this number, from 0, answered a sign-in's challenge."""

    challenge_id: str
    number: int
    email: str | None = personal(default=None)


@fact("factors.locked")
class FactorsLocked(Event):
    """Codes are refused for a while after too many wrong ones. Passkeys and running sessions go on."""

    locked_until: datetime


@fact("passkey.registered")
class PasskeyRegistered(Event):
    """A credential (WebAuthn section 7.1). `credential_id` and `public_key` (COSE) are base64url.

    `claim_id` as above. `is_synced` is whether it may be on several devices (the flag "backup eligible"); `sign_count` is 0 where
    its authenticator does not count.
    """

    passkey_id: str
    claim_id: str
    challenge_id: str
    challenge_expires_at: datetime
    is_synced: bool
    sign_count: int
    registered_at: datetime
    credential_id: str | None = personal(default=None)
    public_key: str | None = personal(default=None)
    email: str | None = personal(default=None)


@fact("passkey.accepted")
class PasskeyAccepted(Event):
    """An assertion (WebAuthn section 7.2) opened the account or answered a sign-in's challenge."""

    passkey_id: str
    challenge_id: str
    challenge_expires_at: datetime
    accepted_at: datetime
    sign_count: int


@fact("passkey.removed")
class PasskeyRemoved(Event):
    passkey_id: str
    email: str | None = personal(default=None)
