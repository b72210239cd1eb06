"""The signed-in person's own password, profile and account."""

from fastapi import APIRouter, Response

from command_api.schemas import ChangePasswordBody, CloseAccountBody, Closed, ProfileBody
from command_api.services import BEARER, UseCall, UsePerson, UseServices
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["me"], route_class=StrictRoute)


@router.put(
    "/v1/me/password",
    status_code=204,
    responses=problems(400, 401, 403, 415, 422, 503),
    dependencies=[BEARER],
    response_class=Response,
)
async def change_password(
    body: ChangePasswordBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    answer = await services.profile.change_password(call, person, body.current_password, body.new_password)
    return answer.response()


@router.patch(
    "/v1/me",
    status_code=204,
    responses=problems(400, 401, 415, 422, 503),
    dependencies=[BEARER],
    response_class=Response,
)
async def change_profile(
    body: ProfileBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    name = body.display_name if "display_name" in body.model_fields_set else None
    return (await services.profile.change_profile(call, person, name)).response()


@router.delete(
    "/v1/me",
    status_code=202,
    responses={202: {"model": Closed}, **problems(400, 401, 403, 415, 422, 503)},
    dependencies=[BEARER],
    response_class=Response,
)
async def close_account(
    body: CloseAccountBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    return (await services.closing.close(call, person, body.password)).response()
