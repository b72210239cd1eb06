"""What the signed-in person may see of the own account."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from query_api.callers import Person
from query_api.schemas import FactorsView, Me, Sessions
from query_api.services import BEARER, Services, UsePerson, UseServices
from readmodels.accounts import Account, account_by_id
from readmodels.factors import Factors, factors_of
from readmodels.sessions import Session, live_sessions
from runtime.clock import rfc3339
from runtime.serving.answers import AnswerError, failure, json_answer

router = APIRouter(tags=["me"], dependencies=[BEARER])


@router.get("/v1/me", responses={200: {"model": Me}}, response_class=Response)
async def me(request: Request, person: UsePerson, services: UseServices) -> Response:
    async with services.positions.reading(request, "accounts", "factors") as shown:
        account = await _account(request, person, services)
        factors = await factors_of(services.postgres, person.account_id)
    content: dict[str, Any] = {
        "account_id": account.account_id,
        "email": account.email,
        "email_verified": account.email_verified,
        "display_name": account.display_name,
        "created_at": rfc3339(account.created_at),
        "factors": factors.names,
    }
    return json_answer(200, content, shown).response()


@router.get("/v1/me/factors", responses={200: {"model": FactorsView}}, response_class=Response)
async def factors(request: Request, person: UsePerson, services: UseServices) -> Response:
    """Each of the own second factors: what `/v1/me` names, with times, and with the ids that removing takes."""
    async with services.positions.reading(request, "factors") as shown:
        found = await factors_of(services.postgres, person.account_id)
    return json_answer(200, factors_view(found), shown).response()


@router.get("/v1/me/sessions", responses={200: {"model": Sessions}}, response_class=Response)
async def sessions(request: Request, person: UsePerson, services: UseServices) -> Response:
    async with services.positions.reading(request, "sessions") as shown:
        live = await live_sessions(services.postgres, person.account_id, services.clock())
    content = {"sessions": [_session(session, person) for session in live]}
    return json_answer(200, content, shown).response()


@router.post("/oauth/userinfo", response_class=Response, include_in_schema=False)
@router.get("/oauth/userinfo", response_class=Response)
async def userinfo(request: Request, person: UsePerson, services: UseServices) -> Response:
    """OpenID Connect Core section 5.3: what the token's scopes allow to be seen."""
    async with services.positions.reading(request, "accounts"):
        account = await _account(request, person, services)
    claims: dict[str, Any] = {"sub": account.account_id}
    if "email" in person.scopes:
        claims |= {"email": account.email, "email_verified": account.email_verified}
    if "profile" in person.scopes and account.display_name is not None:
        claims["name"] = account.display_name
    return json_answer(200, claims).response()


async def _account(request: Request, person: Person, services: Services) -> Account:
    """The account's row. A token is good from its first moment, the row a moment later: it is waited for."""
    until = services.positions.parse(request).wait_seconds
    async for _ in services.positions.changes(request, "accounts", wait_seconds=until):
        account = await account_by_id(services.postgres, person.account_id)
        if account is not None:
            return account
    title = "The read model does not show this account yet."
    raise AnswerError(failure(request.url.path, 503, "projection-behind", title, {"retry-after": "1"}))


def factors_view(factors: Factors) -> dict[str, Any]:
    totp = {
        "enrolled_at": _time(factors.totp_enrolled_at),
        "last_used_at": _time(factors.totp_used_at),
    }
    return {
        "totp": totp if factors.totp_enrolled_at is not None else None,
        "recovery_codes": {
            "issued_at": _time(factors.recovery_codes_issued_at),
            "left": factors.recovery_codes_left,
        },
        "passkeys": [
            {
                "id": passkey.passkey_id,
                "is_synced": passkey.is_synced,
                "registered_at": rfc3339(passkey.registered_at),
                "last_used_at": _time(passkey.used_at),
            }
            for passkey in factors.passkeys
        ],
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _session(session: Session, person: Person) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "created_at": rfc3339(session.created_at),
        "last_seen_at": rfc3339(session.last_seen_at),
        "ip": session.ip,
        "user_agent": session.user_agent,
        "current": session.session_id == person.session_id,
    }
