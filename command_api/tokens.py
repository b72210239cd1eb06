"""Issues tokens: access tokens signed with the newest key, refresh tokens derived, never stored."""

from dataclasses import dataclass
from datetime import timedelta

from domain.client import Registered
from domain.session import Session
from domain.signing_keys import SigningKeys
from events.streams import SIGNING_KEYS, new_id
from eventstore.commit import Position
from eventstore.writer import Writer
from runtime.access_token import Claims, VerificationKey, sign_access_token, verification_key
from runtime.clock import Clock
from runtime.keys import DerivedKeys
from runtime.refresh_token import RefreshToken, parse_refresh_token, render_refresh_token


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
        self._verifying: tuple[SigningKeys, dict[str, VerificationKey]] | None = None
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

    def verification_keys(self) -> dict[str, VerificationKey]:
        """Every key that ever signed, parsed once for each change of them."""
        state = self._state()
        if self._verifying is None or self._verifying[0] is not state:
            keys = {key.kid: verification_key(key.kid, key.alg, dict(key.public_jwk)) for key in state.keys}
            self._verifying = (state, keys)
        return self._verifying[1]

    def _sign(self, claims: Claims) -> str:
        newest = next(key for key in reversed(self._state().keys) if key.private_pem is not None)
        assert newest.private_pem is not None
        return sign_access_token(claims, kid=newest.kid, private_pem=newest.private_pem)

    def _state(self) -> SigningKeys:
        state = self._writer.state(SIGNING_KEYS)
        assert isinstance(state, SigningKeys)
        return state
