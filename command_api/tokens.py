"""Issues tokens: access tokens signed with the newest active key, refresh tokens derived, never stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.client import Registered
from domain.session import Session
from domain.signing_keys import SigningKeys, signing, verifying
from events.streams import SIGNING_KEYS, new_id
from eventstore.commit import Position
from eventstore.writer import Writer
from runtime.access_token import Claims, sign_access_token
from runtime.clock import Clock
from runtime.keys import DerivedKeys
from runtime.refresh_token import RefreshToken, parse_refresh_token, render_refresh_token
from runtime.signing import SigningKey, VerificationKey, signing_key, verification_key

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    issuer: str
    audience: str
    person_scope: str
    access_lifetime: timedelta
    refresh_idle: timedelta
    refresh_absolute: timedelta
    refresh_grace: timedelta


class Tokens:
    def __init__(self, writer: Writer, keys: DerivedKeys, policy: TokenPolicy, clock: Clock) -> None:
        self._writer = writer
        self._keys = keys
        self._clock = clock
        self._known: _Parsed | None = None
        self.policy = policy

    def for_session(
        self, session: Session, account_id: str, scope: str, position: Position
    ) -> dict[str, object]:
        """The token response (API.md) of a session whose current refresh generation is `session.generation`.

        Times in tokens are this process's own: a partition whose time ran ahead issues no token from the future.
        """
        at = self._clock()
        refresh = RefreshToken(
            account_id=account_id, session_id=session.session_id, generation=session.generation
        )
        claims = Claims(
            issuer=self.policy.issuer,
            subject=account_id,
            audience=(self.policy.audience,),
            client_id=session.client_id,
            scope=scope,
            token_id=new_id(),
            issued_at=int(at.timestamp()),
            expires_at=int(min(at + self.policy.access_lifetime, session.expires_at).timestamp()),
            session_id=session.session_id,
            auth_time=int(session.started_at.timestamp()),
            acr=session.acr,
            amr=session.amr,
        )
        refresh_expires_at = min(session.idle_expires_at, session.expires_at)
        return {
            "access_token": self._sign(claims),
            "token_type": "Bearer",
            "expires_in": claims.expires_at - claims.issued_at,
            "refresh_token": render_refresh_token(self._keys.refresh_key, refresh),
            "refresh_expires_in": round((refresh_expires_at - at).total_seconds()),
            "scope": scope,
            "session_id": session.session_id,
            "account_id": account_id,
            "position": str(position),
        }

    def for_client(
        self, client: Registered, scopes: tuple[str, ...], position: Position
    ) -> dict[str, object]:
        at = self._clock()
        claims = Claims(
            issuer=self.policy.issuer,
            subject=client.client_id,
            audience=client.audiences or (self.policy.audience,),
            client_id=client.client_id,
            scope=" ".join(scopes),
            token_id=new_id(),
            issued_at=int(at.timestamp()),
            expires_at=int((at + self.policy.access_lifetime).timestamp()),
        )
        return {
            "access_token": self._sign(claims),
            "token_type": "Bearer",
            "expires_in": claims.expires_at - claims.issued_at,
            "scope": claims.scope,
            "position": str(position),
        }

    def parse_refresh(self, token: str) -> RefreshToken | None:
        return parse_refresh_token(self._keys.refresh_key, token)

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        """Every key whose tokens are good now."""
        return self._keys_now().verifying

    def _sign(self, claims: Claims) -> str:
        key = self._keys_now().signing
        assert key is not None, "a process that serves has made sure of a key"
        return sign_access_token(claims, key)

    def _keys_now(self) -> "_Parsed":
        """Parsed once for each change of them, be it by a fact or by time."""
        state: SigningKeys = self._writer.pinned_state(SIGNING_KEYS)
        at = self._clock()
        if self._known is None or not self._known.holds(state, at):
            self._known = _parsed(state, at)
        return self._known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """The keys of a state, from one of its changes by time to the next."""

    state: SigningKeys
    since: datetime
    until: datetime
    signing: SigningKey | None
    verifying: Mapping[str, VerificationKey]

    def holds(self, state: SigningKeys, at: datetime) -> bool:
        return self.state is state and self.since <= at < self.until


def _parsed(state: SigningKeys, at: datetime) -> _Parsed:
    changes = [time for key in state.keys for time in (key.activates_at, key.retires_at) if time is not None]
    newest = signing(state, at)
    return _Parsed(
        state=state,
        since=max((time for time in changes if time <= at), default=_EARLIEST),
        until=min((time for time in changes if at < time), default=_LATEST),
        signing=None if newest is None else signing_key(newest.kid, newest.alg, newest.private_pem or ""),
        verifying={
            key.kid: verification_key(key.kid, key.alg, dict(key.public_jwk)) for key in verifying(state, at)
        },
    )
