"""People's accounts, for administrators."""

from fastapi import APIRouter, Response

from command_api.services import BEARER, UseAdmin, UseCall, UseServices
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(
    tags=["admin"],
    route_class=StrictRoute,
    prefix="/v1/admin/accounts",
    dependencies=[BEARER],
    responses=problems(401, 403, 404, 503),
)


@router.post("/{account_id}/disable", status_code=204, response_class=Response)
async def disable(account_id: str, call: UseCall, admin: UseAdmin, services: UseServices) -> Response:
    return (await services.admin_accounts.change(call, admin, account_id, "disable")).response()


@router.post("/{account_id}/enable", status_code=204, responses=problems(409), response_class=Response)
async def enable(account_id: str, call: UseCall, admin: UseAdmin, services: UseServices) -> Response:
    return (await services.admin_accounts.change(call, admin, account_id, "enable")).response()


@router.post("/{account_id}/unlock", status_code=204, response_class=Response)
async def unlock(account_id: str, call: UseCall, admin: UseAdmin, services: UseServices) -> Response:
    return (await services.admin_accounts.change(call, admin, account_id, "unlock")).response()


@router.post("/{account_id}/sign-out", status_code=204, response_class=Response)
async def sign_out(account_id: str, call: UseCall, admin: UseAdmin, services: UseServices) -> Response:
    return (await services.admin_accounts.sign_out(call, admin, account_id)).response()
