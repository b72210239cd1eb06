"""How far the read models are behind the log, for administrators."""

from fastapi import APIRouter, Request, Response

from query_api.schemas import Projections
from query_api.services import ADMIN, BEARER, UseServices
from readmodels.projections import projector_object, projector_status
from readmodels.tables import READ_MODELS
from runtime.serving.answers import json_answer
from runtime.serving.problems import problems

router = APIRouter(tags=["admin"], dependencies=[BEARER, ADMIN])


@router.get(
    "/v1/admin/projections",
    responses={200: {"model": Projections}, **problems(400, 401, 403, 503)},
    response_class=Response,
)
async def projections(request: Request, services: UseServices) -> Response:
    """Every projector, partition by partition; what it shows may be a second old."""
    await services.positions.wait(request, *READ_MODELS)
    shown = services.positions.shown("audit")
    found = await projector_status(
        services.postgres, partitions=services.partitions, limit=services.lag_limit
    )
    content = {"items": [projector_object(one) for one in found], "next": None}
    return json_answer(200, content, shown).response()
