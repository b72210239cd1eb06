"""Sign-up, and proof of the address."""

from fastapi import APIRouter, Response

from command_api.schemas import Accepted, Registered, ResendBody, SignUpBody, VerifyBody
from command_api.services import UseCall, UseServices, counted
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["accounts"], route_class=StrictRoute)


@router.post(
    "/v1/accounts",
    status_code=202,
    responses={
        202: {"model": Accepted, "description": "The same for known and unknown addresses"},
        201: {"model": Registered, "description": "With the sign-up policy `open`"},
        **problems(400, 409, 415, 422, 429, 503),
    },
    dependencies=[counted("address-sign-ups")],
    response_class=Response,
)
async def sign_up(body: SignUpBody, call: UseCall, services: UseServices) -> Response:
    answer = await services.sign_up.register(call, body.email, body.password, body.display_name)
    return answer.response()


@router.post(
    "/v1/email-verifications",
    responses={200: {"model": Registered}, **problems(400, 415, 422, 429, 503)},
    dependencies=[counted("address-codes")],
    response_class=Response,
)
async def verify_email(body: VerifyBody, call: UseCall, services: UseServices) -> Response:
    return (await services.sign_up.verify(call, body.email, body.code)).response()


@router.post(
    "/v1/email-verifications/resend",
    status_code=202,
    responses={202: {"model": Accepted}, **problems(400, 415, 422, 429, 503)},
    dependencies=[counted("address-mails")],
    response_class=Response,
)
async def resend_code(body: ResendBody, call: UseCall, services: UseServices) -> Response:
    return (await services.sign_up.resend(call, body.email)).response()
