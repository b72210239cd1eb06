"""The audit: one's own activity, an account's timeline, and everything, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from query_api.audit_pages import Asked, admin_view, owner_view
from query_api.parameters import (
    DEFAULT_LIMIT,
    AccountFilter,
    CursorText,
    Limit,
    Since,
    TypeFilter,
    Until,
    is_id,
)
from query_api.routes.admin_accounts import account_not_found
from query_api.schemas import AuditPage
from query_api.services import ADMIN, BEARER, PRESENT_ONLY, UsePerson, UseServices, require_complete
from readmodels.accounts import account_of_any_status
from readmodels.audit import EARLIEST, LATEST, AuditFilter, has_audit_of
from runtime.serving.problems import problems

router = APIRouter(
    tags=["audit"],
    dependencies=[BEARER],
    responses={200: {"model": AuditPage}, **problems(400, 401, 403, 422, 503)},
)


async def _filters(
    account: AccountFilter = None, type_: TypeFilter = None, since: Since = None, until: Until = None
) -> AuditFilter:
    return AuditFilter(account_id=account, type=type_, since=since or EARLIEST, until=until or LATEST)


Filters = Annotated[AuditFilter, Depends(_filters)]


@router.get("/v1/me/activity", response_class=Response)
async def activity(
    request: Request,
    person: UsePerson,
    services: UseServices,
    cursor: CursorText = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """What happened to the own account, newest first."""
    given = AuditFilter(account_id=person.account_id)
    asked = Asked(walk=f"activity:{person.account_id}", given=given, cursor=cursor, limit=limit)
    return (await services.audit.page(request, asked, owner_view)).response()


@router.get(
    "/v1/admin/accounts/{account_id}/timeline",
    dependencies=[ADMIN, PRESENT_ONLY],
    responses=problems(404),
    response_class=Response,
)
async def timeline(
    request: Request,
    account_id: str,
    services: UseServices,
    cursor: CursorText = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """What happened to an account, newest first; also to a registration that was discarded."""
    await services.positions.wait(request, "accounts", "audit")
    is_known = is_id(account_id) and (
        await account_of_any_status(services.postgres, account_id) is not None
        or await has_audit_of(services.postgres, account_id)
    )
    if not is_known:
        await require_complete(request, services, "accounts", "audit")
        raise account_not_found(request)
    given = AuditFilter(account_id=account_id)
    asked = Asked(walk=f"timeline:{account_id}", given=given, cursor=cursor, limit=limit)
    return (await services.audit.page(request, asked, admin_view)).response()


@router.get("/v1/admin/audit", dependencies=[ADMIN], response_class=Response)
async def audit(
    request: Request,
    services: UseServices,
    given: Filters,
    cursor: CursorText = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Everything that the audit shows, newest first, by account, type and time."""
    asked = Asked(walk="audit", given=given, cursor=cursor, limit=limit)
    return (await services.audit.page(request, asked, admin_view)).response()
