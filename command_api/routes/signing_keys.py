"""The keys that sign access tokens, for administrators."""

from fastapi import APIRouter, Response

from command_api.schemas import NewSigningKey
from command_api.services import BEARER, UseAdmin, UseCall, UseServices
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["admin"], route_class=StrictRoute)


@router.post(
    "/v1/admin/signing-keys/rotate",
    responses={200: {"model": NewSigningKey}, **problems(401, 403, 422, 503)},
    dependencies=[BEARER],
    response_class=Response,
)
async def rotate_signing_key(call: UseCall, admin: UseAdmin, services: UseServices) -> Response:
    return (await services.key_rotation.rotate(call, admin)).response()
