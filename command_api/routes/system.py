"""Commands of our own workers. Not in the OpenAPI document: nobody else can sign them."""

from fastapi import APIRouter, Response

from command_api.schemas import FlagBody, MailBounceBody, NoticeBody, StepUpBody
from command_api.services import UseServices, UseWorkerCall
from runtime.serving.app import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/system", include_in_schema=False)


@router.post("/mail-bounces", status_code=204, response_class=Response)
async def report_mail_bounced(body: MailBounceBody, call: UseWorkerCall, services: UseServices) -> Response:
    return (await services.system.conclude(call, body)).response()


@router.post("/session-flags", status_code=204, response_class=Response)
async def flag_session(body: FlagBody, call: UseWorkerCall, services: UseServices) -> Response:
    return (await services.system.conclude(call, body)).response()


@router.post("/step-ups", status_code=204, response_class=Response)
async def require_step_up(body: StepUpBody, call: UseWorkerCall, services: UseServices) -> Response:
    return (await services.system.conclude(call, body)).response()


@router.post("/owner-notices", status_code=204, response_class=Response)
async def notify_owner(body: NoticeBody, call: UseWorkerCall, services: UseServices) -> Response:
    return (await services.system.conclude(call, body)).response()
