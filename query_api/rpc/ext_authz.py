"""The question that Envoy asks of every request (`envoy.service.auth.v3.Authorization`), answered as forward-auth.

Only the token decides. Headers of ours that the client sent, and that say nothing of this token, are taken away.
"""

from http import HTTPStatus

import grpc
from google.rpc import code_pb2, status_pb2

from query_api.routes import forward_auth
from query_api.rpc import ext_authz_pb2 as pb
from query_api.rpc.interceptors import Context
from query_api.tokens import CannotKnowError, TokenChecks
from runtime.serving.answers import HttpAnswer, problem

NAME = pb.DESCRIPTOR.services_by_name["Authorization"].full_name
_UNKNOWN = problem(
    503,
    "revocations-unknown",
    "It cannot be known now whether the token was revoked.",
    headers={"retry-after": "1"},
)
_CODES = {200: code_pb2.OK, 401: code_pb2.UNAUTHENTICATED, 503: code_pb2.UNAVAILABLE}


class ExtAuthz:
    def __init__(self, tokens: TokenChecks) -> None:
        self._tokens = tokens

    def handlers(self) -> grpc.GenericRpcHandler:
        check = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=pb.CheckRequest.FromString,
            response_serializer=pb.CheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(NAME, {"Check": check})

    async def check(self, request: pb.CheckRequest, _: Context) -> pb.CheckResponse:
        http = request.attributes.request.http
        found = [http.headers["authorization"]] if "authorization" in http.headers else []
        found += [one.value for one in http.header_map.headers if one.key.lower() == "authorization"]
        try:
            answer = await forward_auth.decide(self._tokens, found)
        except CannotKnowError:
            answer = _UNKNOWN
        return _response(answer)


def _response(answer: HttpAnswer) -> pb.CheckResponse:
    status = status_pb2.Status(code=_CODES[answer.status])
    overwrite = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    headers = [
        pb.HeaderValueOption(header=pb.HeaderValue(key=name, value=value), append_action=overwrite)
        for name, value in answer.headers.items()
    ]
    if answer.status != HTTPStatus.OK:
        code = pb.HttpStatus(code=answer.status)
        denied = pb.DeniedHttpResponse(status=code, headers=headers, body=answer.body.decode())
        return pb.CheckResponse(status=status, denied_response=denied)
    foreign = [name for name in forward_auth.HEADERS if name not in answer.headers]
    ours = [one for one in headers if one.header.key in forward_auth.HEADERS]
    return pb.CheckResponse(
        status=status, ok_response=pb.OkHttpResponse(headers=ours, headers_to_remove=foreign)
    )
