"""Machine clients, for administrators."""

from fastapi import APIRouter, Response

from command_api.schemas import ClientSecret, NewClientBody
from command_api.services import BEARER, UseAdmin, UseCall, UseServices
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["admin"], route_class=StrictRoute)


@router.post(
    "/v1/admin/clients",
    status_code=201,
    responses={201: {"model": ClientSecret}, **problems(400, 401, 403, 415, 422, 503)},
    dependencies=[BEARER],
    response_class=Response,
)
async def register_client(
    body: NewClientBody, call: UseCall, admin: UseAdmin, services: UseServices
) -> Response:
    answer = await services.clients.register(call, admin, body.name, body.scopes, body.audiences)
    return answer.response()


@router.post(
    "/v1/admin/clients/{client_id}/secrets",
    status_code=201,
    responses={201: {"model": ClientSecret}, **problems(401, 403, 404, 422, 503)},
    dependencies=[BEARER],
    response_class=Response,
)
async def add_secret(client_id: str, call: UseCall, admin: UseAdmin, services: UseServices) -> Response:
    return (await services.clients.add_secret(call, admin, client_id)).response()


@router.delete(
    "/v1/admin/clients/{client_id}",
    status_code=204,
    responses=problems(401, 403, 404, 422, 503),
    dependencies=[BEARER],
    response_class=Response,
)
async def delete_client(client_id: str, call: UseCall, admin: UseAdmin, services: UseServices) -> Response:
    return (await services.clients.delete(call, admin, client_id)).response()
