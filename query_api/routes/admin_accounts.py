"""People's accounts, as administrators see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from query_api.parameters import is_id
from query_api.schemas import AccountPage, AccountView, LiveSessionsView
from query_api.services import ADMIN, BEARER, PRESENT_ONLY, Services, UseServices, require_complete
from readmodels.accounts import Account, account_of_any_status, accounts_of_any_status
from readmodels.factors import Factors, factors_of_all
from readmodels.identifiers import identifier_by_name
from readmodels.sessions import Session, live_sessions
from runtime.clock import rfc3339
from runtime.email_address import canonical_email
from runtime.encoding import base32
from runtime.keys import address_digest
from runtime.serving.answers import AnswerError, failure, json_answer, problem
from runtime.serving.problems import problems

_BY_EMAIL = ("identifiers", "accounts")
"""Each in its own partition: that of the address, and that of the address which the account signed up with."""
router = APIRouter(
    tags=["admin"],
    prefix="/v1/admin/accounts",
    dependencies=[BEARER, ADMIN, PRESENT_ONLY],
    responses=problems(400, 401, 403, 503),
)


@router.get("", responses={200: {"model": AccountPage}, **problems(422)}, response_class=Response)
async def find(
    request: Request, services: UseServices, email: Annotated[str, Query(max_length=1000)]
) -> Response:
    """The accounts that an address belongs to, in any spelling.

    They are the one that has it, or that holds it still because its change can be undone, and registrations that wait.
    An address lives in a partition of its own: a new one is found once that one is projected too, a moment later.
    """
    canonical = canonical_email(email)
    if canonical is None:
        title = "This is not an e-mail address that mail can be sent to."
        errors = [{"pointer": "/query/email", "detail": title}]
        raise AnswerError(problem(422, "invalid-email", title, errors=errors))
    identifier = base32(address_digest(services.pepper, canonical))
    async with services.positions.reading(request, *_BY_EMAIL, "factors") as shown:
        named = (await identifier_by_name(services.postgres, identifier)).account_ids
        found = await accounts_of_any_status(services.postgres, named)
        views = await _views(services, found)
    if not found or len(found) < len(named):
        await require_complete(request, services, *_BY_EMAIL)
    content = {"items": views, "next": None}
    return json_answer(200, content, shown).response()


@router.get(
    "/{account_id}", responses={200: {"model": AccountView}, **problems(404)}, response_class=Response
)
async def one(request: Request, account_id: str, services: UseServices) -> Response:
    async with services.positions.reading(request, "accounts", "factors") as shown:
        (view,) = await _views(services, [await _account(request, account_id, services)])
    return json_answer(200, view, shown).response()


@router.get(
    "/{account_id}/sessions",
    responses={200: {"model": LiveSessionsView}, **problems(404)},
    response_class=Response,
)
async def sessions(request: Request, account_id: str, services: UseServices) -> Response:
    """The sessions that live, newest first; how others began and ended is in the timeline."""
    async with services.positions.reading(request, "accounts", "sessions") as shown:
        account = await _account(request, account_id, services)
        live = await live_sessions(services.postgres, account.account_id, services.clock())
    return json_answer(200, {"sessions": [_session(session) for session in live]}, shown).response()


def account_not_found(request: Request) -> AnswerError:
    return AnswerError(failure(request.url.path, 404, "account-not-found", "There is no such account."))


async def _account(request: Request, account_id: str, services: Services) -> Account:
    account = await account_of_any_status(services.postgres, account_id) if is_id(account_id) else None
    if account is None:
        await require_complete(request, services, "accounts")
        raise account_not_found(request)
    return account


async def _views(services: Services, accounts: Sequence[Account]) -> list[dict[str, Any]]:
    factors = await factors_of_all(services.postgres, [account.account_id for account in accounts])
    return [_view(account, factors.get(account.account_id), services.clock()) for account in accounts]


def _view(account: Account, factors: Factors | None, now: datetime) -> dict[str, Any]:
    is_locked = account.locked_until is not None and now < account.locked_until
    return {
        "account_id": account.account_id,
        "status": account.status,
        "email": account.email,
        "email_verified": account.email_verified,
        "display_name": account.display_name,
        "factors": [] if factors is None else factors.names,
        "created_at": rfc3339(account.created_at),
        "last_sign_in_at": _time(account.last_sign_in_at),
        "password_changed_at": _time(account.password_changed_at),
        "locked_until": _time(account.locked_until) if is_locked else None,
        "disabled_at": _time(account.disabled_at),
        "closed_at": _time(account.closed_at),
        "erase_after": _time(account.erase_after),
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "client_id": session.client_id,
        "amr": list(session.amr),
        "acr": session.acr,
        "created_at": rfc3339(session.created_at),
        "last_seen_at": rfc3339(session.last_seen_at),
        "expires_at": rfc3339(min(session.idle_expires_at, session.expires_at)),
        "ip": session.ip,
        "user_agent": session.user_agent,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
