"""A new password by a mailed code."""

from fastapi import APIRouter, Response

from command_api.schemas import Accepted, ConfirmResetBody, ResetBody
from command_api.services import UseCall, UseServices, counted
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["accounts"], route_class=StrictRoute)


@router.post(
    "/v1/password-resets",
    status_code=202,
    responses={
        202: {"model": Accepted, "description": "The same for known and unknown addresses"},
        **problems(400, 415, 422, 429, 503),
    },
    dependencies=[counted("address-mails")],
    response_class=Response,
)
async def request_reset(body: ResetBody, call: UseCall, services: UseServices) -> Response:
    return (await services.password_resets.request(call, body.email)).response()


@router.post(
    "/v1/password-resets/confirm",
    status_code=204,
    responses=problems(400, 415, 422, 429, 503),
    dependencies=[counted("address-codes")],
    response_class=Response,
)
async def confirm_reset(body: ConfirmResetBody, call: UseCall, services: UseServices) -> Response:
    answer = await services.password_resets.confirm(call, body.email, body.code, body.new_password)
    return answer.response()
