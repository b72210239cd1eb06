"""The allow-list: which facts are published, and as what. A fact is in exactly one of the two tables.

A mapping reads no personal field, so whoever applies it needs no key. The events of one commit keep their
number in it for ever, whatever else is published one day.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from events import account, client, email_change, errand, factors, idempotency, identifier, risk, signing_keys
from events.fact import Event
from events.public import account as public_account
from events.public import client as public_client
from events.public import factor as public_factor
from events.public import session as public_session
from events.public import signing_key as public_key
from events.public.event import PublicEvent
from events.streams import id_of

F = TypeVar("F", bound=Event)
Publish = Callable[[str, Event], PublicEvent]
"""From the id in a fact's stream (of the account, the client) and the fact."""


def to_public(stream: str, fact: Event) -> PublicEvent | None:
    """What other services are told of this fact; None if they are told nothing."""
    publish = PUBLISHED.get(type(fact))
    return None if publish is None else publish(id_of(stream), fact)


def _registered(account_id: str, fact: account.AccountRegistered) -> PublicEvent:
    return public_account.AccountRegistered(account_id=account_id, policy=fact.policy)


def _verified(account_id: str, _: account.EmailVerified) -> PublicEvent:
    return public_account.AccountVerified(account_id=account_id)


def _discarded(account_id: str, fact: account.RegistrationDiscarded) -> PublicEvent:
    return public_account.AccountDiscarded(account_id=account_id, cause=fact.cause)


def _locked(account_id: str, fact: account.AccountLocked) -> PublicEvent:
    return public_account.AccountLocked(account_id=account_id, locked_until=fact.locked_until)


def _unlocked(account_id: str, _: account.AccountUnlocked) -> PublicEvent:
    return public_account.AccountUnlocked(account_id=account_id)


def _disabled(account_id: str, _: account.AccountDisabled) -> PublicEvent:
    return public_account.AccountDisabled(account_id=account_id)


def _enabled(account_id: str, _: account.AccountEnabled) -> PublicEvent:
    return public_account.AccountEnabled(account_id=account_id)


def _closed(account_id: str, fact: account.AccountClosed) -> PublicEvent:
    return public_account.AccountClosed(account_id=account_id, erase_after=fact.erase_after)


def _email_changed(account_id: str, _: email_change.EmailChanged) -> PublicEvent:
    return public_account.EmailChanged(account_id=account_id)


def _email_restored(account_id: str, _: email_change.EmailChangeUndone) -> PublicEvent:
    return public_account.EmailRestored(account_id=account_id)


def _profile_changed(account_id: str, _: account.ProfileChanged) -> PublicEvent:
    return public_account.ProfileChanged(account_id=account_id)


def _password_changed(account_id: str, _: account.PasswordChanged) -> PublicEvent:
    return public_account.PasswordChanged(account_id=account_id)


def _password_reset(account_id: str, _: account.PasswordReset) -> PublicEvent:
    return public_account.PasswordReset(account_id=account_id)


def _password_rejected(account_id: str, fact: account.PasswordRejected) -> PublicEvent:
    return public_session.PasswordRejected(account_id=account_id, session_id=fact.session_id)


def _sign_in_failed(account_id: str, fact: account.SignInFailed) -> PublicEvent:
    return public_session.SignInFailed(account_id=account_id, cause=fact.cause, source=fact.source or "")


def _session_started(account_id: str, fact: account.SessionStarted) -> PublicEvent:
    return public_session.SessionStarted(
        account_id=account_id,
        session_id=fact.session_id,
        client_id=fact.client_id,
        scope=fact.scope,
        amr=fact.amr,
        acr=fact.acr,
        idle_expires_at=fact.idle_expires_at,
        expires_at=fact.expires_at,
        source=fact.source or "",
        unfamiliar=fact.unfamiliar,
    )


def _session_flagged(account_id: str, fact: risk.SessionFlagged) -> PublicEvent:
    return public_session.SessionFlagged(
        account_id=account_id, session_id=fact.session_id, reason=fact.reason
    )


def _step_up_required(account_id: str, fact: risk.StepUpRequired) -> PublicEvent:
    return public_session.StepUpRequired(
        account_id=account_id, session_id=fact.session_id, reason=fact.reason
    )


def _session_refreshed(account_id: str, fact: account.SessionRefreshed) -> PublicEvent:
    return public_session.SessionRefreshed(
        account_id=account_id, session_id=fact.session_id, idle_expires_at=fact.idle_expires_at
    )


def _refresh_reused(account_id: str, fact: account.RefreshReused) -> PublicEvent:
    return public_session.RefreshReused(account_id=account_id, session_id=fact.session_id)


def _session_revoked(account_id: str, fact: account.SessionRevoked) -> PublicEvent:
    return public_session.SessionRevoked(account_id=account_id, session_id=fact.session_id, cause=fact.cause)


def _totp_enrolled(account_id: str, _: factors.TotpEnrolled) -> PublicEvent:
    return public_factor.TotpEnrolled(account_id=account_id)


def _totp_removed(account_id: str, _: factors.TotpRemoved) -> PublicEvent:
    return public_factor.TotpRemoved(account_id=account_id)


def _passkey_registered(account_id: str, fact: factors.PasskeyRegistered) -> PublicEvent:
    return public_factor.PasskeyRegistered(account_id=account_id, passkey_id=fact.passkey_id)


def _passkey_removed(account_id: str, fact: factors.PasskeyRemoved) -> PublicEvent:
    return public_factor.PasskeyRemoved(account_id=account_id, passkey_id=fact.passkey_id)


def _factors_locked(account_id: str, fact: factors.FactorsLocked) -> PublicEvent:
    return public_factor.FactorsLocked(account_id=account_id, locked_until=fact.locked_until)


def _recovery_codes_issued(account_id: str, _: factors.RecoveryCodesIssued) -> PublicEvent:
    return public_factor.RecoveryCodesIssued(account_id=account_id)


def _recovery_code_used(account_id: str, _: factors.RecoveryCodeAccepted) -> PublicEvent:
    return public_factor.RecoveryCodeUsed(account_id=account_id)


def _client_registered(client_id: str, fact: client.ClientRegistered) -> PublicEvent:
    return public_client.ClientRegistered(client_id=client_id, scopes=fact.scopes, audiences=fact.audiences)


def _client_secret_added(client_id: str, _: client.ClientSecretAdded) -> PublicEvent:
    return public_client.ClientSecretAdded(client_id=client_id)


def _client_deleted(client_id: str, _: client.ClientDeleted) -> PublicEvent:
    return public_client.ClientDeleted(client_id=client_id)


def _client_token_revoked(client_id: str, fact: client.ClientTokenRevoked) -> PublicEvent:
    return public_client.ClientTokenRevoked(client_id=client_id, jti=fact.jti, expires_at=fact.expires_at)


def _key_created(_: str, fact: signing_keys.SigningKeyCreated) -> PublicEvent:
    return public_key.SigningKeyCreated(kid=fact.kid, alg=fact.alg)


def _key_rotated(_: str, fact: signing_keys.SigningKeyRotated) -> PublicEvent:
    return public_key.SigningKeyRotated(
        kid=fact.kid, alg=fact.alg, activates_at=fact.activates_at, others_retire_at=fact.others_retire_at
    )


def _key_retired(_: str, fact: signing_keys.SigningKeyRetired) -> PublicEvent:
    return public_key.SigningKeyRetired(kid=fact.kid)


def _row(fact: type[F], publish: Callable[[str, F], PublicEvent]) -> tuple[type[Event], Publish]:
    """One row of the table. It pairs a mapping with the fact that it takes, which the type checker proves."""

    def published(subject_id: str, event: Event) -> PublicEvent:
        assert isinstance(event, fact)
        return publish(subject_id, event)

    return fact, published


PUBLISHED: Mapping[type[Event], Publish] = dict(
    (
        _row(account.AccountRegistered, _registered),
        _row(account.EmailVerified, _verified),
        _row(account.RegistrationDiscarded, _discarded),
        _row(account.AccountLocked, _locked),
        _row(account.AccountUnlocked, _unlocked),
        _row(account.AccountDisabled, _disabled),
        _row(account.AccountEnabled, _enabled),
        _row(account.AccountClosed, _closed),
        _row(email_change.EmailChanged, _email_changed),
        _row(email_change.EmailChangeUndone, _email_restored),
        _row(account.ProfileChanged, _profile_changed),
        _row(account.PasswordChanged, _password_changed),
        _row(account.PasswordReset, _password_reset),
        _row(account.PasswordRejected, _password_rejected),
        _row(account.SignInFailed, _sign_in_failed),
        _row(account.SessionStarted, _session_started),
        _row(account.SessionRefreshed, _session_refreshed),
        _row(account.RefreshReused, _refresh_reused),
        _row(account.SessionRevoked, _session_revoked),
        _row(risk.SessionFlagged, _session_flagged),
        _row(risk.StepUpRequired, _step_up_required),
        _row(factors.TotpEnrolled, _totp_enrolled),
        _row(factors.TotpRemoved, _totp_removed),
        _row(factors.PasskeyRegistered, _passkey_registered),
        _row(factors.PasskeyRemoved, _passkey_removed),
        _row(factors.FactorsLocked, _factors_locked),
        _row(factors.RecoveryCodesIssued, _recovery_codes_issued),
        _row(factors.RecoveryCodeAccepted, _recovery_code_used),
        _row(client.ClientRegistered, _client_registered),
        _row(client.ClientSecretAdded, _client_secret_added),
        _row(client.ClientDeleted, _client_deleted),
        _row(client.ClientTokenRevoked, _client_token_revoked),
        _row(signing_keys.SigningKeyCreated, _key_created),
        _row(signing_keys.SigningKeyRotated, _key_rotated),
        _row(signing_keys.SigningKeyRetired, _key_retired),
    )
)

_PROOF = "is how a session was opened or strengthened; its `amr` tells that"
_ADDRESS = "would tell what is tried at an address, whether or not an account holds it"
_CHALLENGE = "is a step between a request and its mail; what comes of it is published"
_MAIL = "is between an owner's mail server and us; the account is as it was"
_BOOKKEEPING = "is how the platform keeps its own promises; nothing happened to anybody"

PRIVATE: Mapping[type[Event], str] = {
    account.VerificationRequested: _CHALLENGE,
    account.SignUpRepeated: _ADDRESS,
    account.PasswordResetRequested: _CHALLENGE,
    account.PasswordResetIgnored: _CHALLENGE,
    account.ResetCodeRejected: _CHALLENGE,
    account.MailBounced: _MAIL,
    risk.OwnerNoticeRequested: _CHALLENGE,
    account.SessionStrengthened: _PROOF,
    factors.SignInChallenged: _PROOF,
    factors.TotpEnrolmentStarted: _CHALLENGE,
    factors.TotpAccepted: _PROOF,
    factors.PasskeyAccepted: _PROOF,
    email_change.EmailChangeRequested: _CHALLENGE,
    email_change.EmailChangeIgnored: _CHALLENGE,
    email_change.EmailChangeCodeRejected: _CHALLENGE,
    email_change.EmailChangeAbandoned: _CHALLENGE,
    email_change.EmailHoldEnded: _BOOKKEEPING,
    identifier.IdentifierReserved: _ADDRESS,
    identifier.ChallengeRenewed: _ADDRESS,
    identifier.ReservationDropped: _ADDRESS,
    identifier.IdentifierClaimed: _ADDRESS,
    identifier.IdentifierClaimedByChange: _ADDRESS,
    identifier.IdentifierReleased: _ADDRESS,
    identifier.CodeRejected: _ADDRESS,
    identifier.ResendIgnored: _ADDRESS,
    identifier.UnknownResetIgnored: _ADDRESS,
    identifier.UnknownResetRejected: _ADDRESS,
    identifier.UnknownSignInFailed: _ADDRESS,
    errand.ErrandOpened: _BOOKKEEPING,
    errand.ErrandClosed: _BOOKKEEPING,
    idempotency.RequestReceived: _BOOKKEEPING,
    idempotency.RequestAnswered: _BOOKKEEPING,
}
"""What is not published, and why."""
