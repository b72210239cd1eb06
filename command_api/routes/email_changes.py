"""Changing one's e-mail address, and taking that back."""

from fastapi import APIRouter, Response

from command_api.schemas import (
    Accepted,
    ConfirmEmailChangeBody,
    EmailChangeBody,
    UndoEmailChangeBody,
)
from command_api.services import BEARER, UseCall, UsePerson, UseServices, counted, counted_by_account
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["me"], route_class=StrictRoute)


@router.post(
    "/v1/me/email-changes",
    status_code=202,
    responses={
        202: {"model": Accepted, "description": "The same for free and taken addresses"},
        **problems(400, 401, 403, 415, 422, 429, 503),
    },
    dependencies=[BEARER, counted_by_account("account-mails")],
    response_class=Response,
)
async def request_email_change(
    body: EmailChangeBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    answer = await services.email_changes.request(call, person, body.new_email, body.password)
    return answer.response()


@router.post(
    "/v1/me/email-changes/confirm",
    status_code=204,
    responses=problems(400, 401, 415, 422, 503),
    dependencies=[BEARER],
    response_class=Response,
)
async def confirm_email_change(
    body: ConfirmEmailChangeBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    return (await services.email_changes.confirm(call, person, body.code)).response()


@router.post(
    "/v1/email-changes/undo",
    status_code=204,
    responses=problems(400, 415, 422, 429, 503),
    dependencies=[counted("address-codes")],
    response_class=Response,
)
async def undo_email_change(body: UndoEmailChangeBody, call: UseCall, services: UseServices) -> Response:
    return (await services.email_changes.undo(call, body.code)).response()
