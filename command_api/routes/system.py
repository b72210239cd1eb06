"""Commands of our own workers. Not in the OpenAPI document: nobody else can sign them."""

from fastapi import APIRouter, Response

from command_api.schemas import MailBounceBody
from command_api.services import UseServices, UseWorkerCall
from runtime.serving.app import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/system", include_in_schema=False)


@router.post("/mail-bounces", status_code=204, response_class=Response)
async def report_mail_bounced(body: MailBounceBody, call: UseWorkerCall, services: UseServices) -> Response:
    answer = await services.system.report_mail_bounced(
        call, body.account_id, message_id=body.message_id, kind=body.kind
    )
    return answer.response()
