"""Which facts the audit shows, and which of their fields. A new fact or field is shown only once it is listed here.

Never shown: personal fields other than `ip` and `user_agent`, hashes and digests, and what codes are derived from.
"""

from collections.abc import Mapping

from events import account, client, email_change, errand, factors, idempotency, identifier, risk, signing_keys
from events.fact import Event

SHOWN: Mapping[type[Event], tuple[str, ...]] = {
    account.AccountRegistered: ("policy", "code_expires_at"),
    account.VerificationRequested: ("code_expires_at",),
    account.EmailVerified: (),
    account.RegistrationDiscarded: ("cause",),
    account.SignUpRepeated: (),
    account.SignInFailed: ("cause",),
    account.AccountLocked: ("locked_until",),
    account.SessionStarted: (
        *("session_id", "client_id", "scope", "amr", "acr"),
        *("idle_expires_at", "expires_at", "unfamiliar"),
    ),
    account.RefreshReused: ("session_id", "generation"),
    account.SessionRevoked: ("session_id", "cause"),
    account.PasswordChanged: (),
    account.PasswordRejected: ("session_id",),
    account.ProfileChanged: (),
    account.PasswordResetRequested: ("code_expires_at",),
    account.PasswordResetIgnored: ("cause",),
    account.ResetCodeRejected: (),
    account.PasswordReset: (),
    account.AccountDisabled: (),
    account.AccountEnabled: (),
    account.AccountUnlocked: (),
    account.AccountClosed: ("erase_after",),
    account.MailBounced: ("message_id", "kind"),
    account.SessionStrengthened: ("session_id", "amr", "acr"),
    factors.SignInChallenged: ("expires_at",),
    factors.TotpEnrolmentStarted: ("session_id", "expires_at"),
    factors.TotpEnrolled: ("claim_id",),
    factors.TotpAccepted: (),
    factors.TotpRemoved: (),
    factors.FactorsLocked: ("locked_until",),
    factors.RecoveryCodesIssued: ("count",),
    factors.RecoveryCodeAccepted: ("number",),
    factors.PasskeyRegistered: ("passkey_id", "claim_id", "is_synced"),
    factors.PasskeyAccepted: ("passkey_id",),
    factors.PasskeyRemoved: ("passkey_id",),
    risk.SessionFlagged: ("session_id", "reason"),
    risk.StepUpRequired: ("session_id", "reason"),
    risk.OwnerNoticeRequested: ("reason",),
    email_change.EmailChangeRequested: ("change_id", "code_expires_at"),
    email_change.EmailChangeIgnored: ("cause",),
    email_change.EmailChangeCodeRejected: (),
    email_change.EmailChangeAbandoned: ("change_id", "cause"),
    email_change.EmailChanged: ("change_id", "undo_until"),
    email_change.EmailChangeUndone: ("change_id",),
    email_change.EmailHoldEnded: ("change_id",),
    identifier.IdentifierReserved: ("code_expires_at",),
    identifier.ChallengeRenewed: ("code_expires_at",),
    identifier.ReservationDropped: (),
    identifier.IdentifierClaimed: (),
    identifier.IdentifierClaimedByChange: ("change_id",),
    identifier.IdentifierReleased: ("claim_id",),
    identifier.CodeRejected: (),
    identifier.ResendIgnored: (),
    identifier.UnknownResetIgnored: (),
    identifier.UnknownResetRejected: (),
    identifier.UnknownSignInFailed: ("cause",),
    client.ClientRegistered: ("name", "scopes", "audiences"),
    client.ClientSecretAdded: (),
    client.ClientDeleted: (),
    client.ClientTokenRevoked: ("jti", "expires_at"),
    signing_keys.SigningKeyCreated: ("kid", "alg"),
    signing_keys.SigningKeyRotated: ("kid", "alg", "activates_at", "others_retire_at"),
    signing_keys.SigningKeyRetired: ("kid",),
}
"""By fact: the fields that become its details. An entry's account or client is a column of its own."""

NOT_SHOWN: Mapping[type[Event], str] = {
    account.SessionRefreshed: "routine, every few minutes for each session: the session's row has the last one",
    errand.ErrandOpened: "bookkeeping between partitions; what it brings about is shown",
    errand.ErrandClosed: "as above",
    idempotency.RequestReceived: "bookkeeping of repeated requests; what they did is shown",
    idempotency.RequestAnswered: "as above",
}
"""By fact: why it is not shown."""
