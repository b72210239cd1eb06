"""Sign-in, its second step, and sign-out."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from command_api.schemas import ChallengeBody, SignInBody, SignInChallenge, TokenResponse
from command_api.services import BEARER, UseCall, UsePerson, UseServices, counted
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@router.post(
    "/v1/sessions",
    status_code=201,
    responses={
        201: {"model": TokenResponse},
        202: {"model": SignInChallenge, "description": "A second factor is needed"},
        **problems(400, 401, 415, 422, 429, 503),
    },
    dependencies=[counted("address-sign-ins")],
    response_class=Response,
)
async def sign_in(body: SignInBody, call: UseCall, services: UseServices) -> Response:
    return (await services.sign_in.sign_in(call, body.email, body.password)).response()


@router.post(
    "/v1/sessions/challenge",
    status_code=201,
    responses={201: {"model": TokenResponse}, **problems(400, 401, 415, 422, 429, 503)},
    dependencies=[counted("address-sign-ins")],
    response_class=Response,
)
async def answer_challenge(body: ChallengeBody, call: UseCall, services: UseServices) -> Response:
    """Once for each challenge, step of the authenticator app and recovery code. A passkey signs `passkey_options`."""
    step = services.second_step
    if body.totp is not None:
        return (await step.with_totp(call, body.challenge, body.totp)).response()
    if body.passkey is not None:
        return (await step.with_passkey(call, body.challenge, body.passkey)).response()
    assert body.recovery_code is not None
    return (await step.with_recovery_code(call, body.challenge, body.recovery_code)).response()


@router.delete(
    "/v1/sessions/{session_id}",
    status_code=204,
    responses=problems(401, 404, 503),
    dependencies=[BEARER],
    response_class=Response,
)
async def end_session(session_id: str, call: UseCall, person: UsePerson, services: UseServices) -> Response:
    return (await services.sign_out.end_session(call, person, session_id)).response()


@router.delete(
    "/v1/sessions",
    status_code=204,
    responses=problems(401, 422, 503),
    dependencies=[BEARER],
    response_class=Response,
)
async def end_sessions(
    call: UseCall,
    person: UsePerson,
    services: UseServices,
    spared: Annotated[Literal["current"] | None, Query(alias="except")] = None,
) -> Response:
    answer = await services.sign_out.end_sessions(call, person, keeps_current=spared is not None)
    return answer.response()
