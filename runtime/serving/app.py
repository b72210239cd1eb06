"""A FastAPI application with Chancery's manners: strict JSON, problem documents, health, metrics."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from starlette.exceptions import HTTPException

from runtime.logs import get_logger
from runtime.metrics import BUILD_INFO, HTTP_REQUEST_SECONDS, PART_FAILING, TASKS
from runtime.serving.answers import AnswerError, failure, json_answer, problem
from runtime.serving.body import BoundedBody
from runtime.serving.observe import Observe
from runtime.serving.problems import problems
from runtime.serving.shedding import Shedding, WorkBound, WorkMetrics
from runtime.strict_json import StrictJsonError, parse_strict

VERSION = "0.1.0"
_log = get_logger("http")
_NOTHING_OF_ITS_OWN: TelemetryConfig = {
    "auto_configure": False,
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
}
"""FastAPI's own spans and logs quote paths, inputs and errors, and go to whatever provider somebody sets in the process."""


_READING = frozenset({"GET", "HEAD"})
"""In these a body means nothing (RFC 9110, 9.3.1), and proxies add some."""
_NO_BODY = {"loc": ("body",), "msg": "This call takes no body, or an empty object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What a process says of itself: `failing` names the parts that do not work and why.

    `process` is its name. `body_limits`: paths whose bodies may be larger than others', in bytes. `work`: how much is taken on at once.
    """

    process: str
    failing: Callable[[], Mapping[str, str]]
    registry: CollectorRegistry
    body_limits: Mapping[str, int] = field(default_factory=dict)
    work: WorkBound | None = None
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the process was told to stop: it is not ready any more, though it may still answer."""


class StrictRoute(APIRoute):
    """Refuses a body that is not JSON, or that two parsers could read differently, before FastAPI sees it.

    A call that takes no body may have an empty object: FastAPI would let any other pass unread.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: set[str] | list[str] | None = None,
        responses: Mapping[int | str, dict[str, Any]] | None = None,
        **more: Any,
    ) -> None:
        """The answers that it gives itself are documented wherever it gives them."""
        self._reads = not _READING.issuperset(methods or ("GET",))
        own = problems(400, 415, 422) if self._reads else {}
        super().__init__(path, endpoint, methods=methods, responses={**own, **(responses or {})}, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        reads, takes_body = self._reads, self.body_field is not None

        async def strict(request: Request) -> Response:
            body = await request.body() if reads else b""
            if takes_body or body:
                value = _strict_value(request, body)
                if not takes_body and value != {}:
                    raise RequestValidationError([_NO_BODY])
            return await handle(request)

        return strict


def _strict_value(request: Request, body: bytes) -> Any:
    require_media_type(request, "application/json")
    try:
        return parse_strict(body)
    except StrictJsonError as error:
        title = f"The body is not acceptable: {error}."
        raise AnswerError(problem(400, "malformed-json", title)) from None


def require_media_type(request: Request, wanted: str) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").lower()
    if media_type.strip().lower() != wanted or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        title = f"The body must be {wanted}."
        raise AnswerError(failure(request.url.path, 415, "unsupported-media-type", title))


def new_app(title: str, vitals: Vitals) -> FastAPI:
    app = FastAPI(
        title=title,
        version=VERSION,
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NOTHING_OF_ITS_OWN,
    )
    app.router.route_class = StrictRoute
    app.state.request_seconds = HTTP_REQUEST_SECONDS.made(vitals.registry)
    _add_vitals(app, vitals)
    app.add_exception_handler(AnswerError, _on_answer)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)
    if vitals.work is not None:
        app.add_middleware(Shedding, bound=vitals.work, metrics=WorkMetrics(vitals.registry))
    app.add_middleware(BoundedBody, limits=vitals.body_limits)
    app.add_middleware(Observe, seconds=app.state.request_seconds)
    return app


def _add_vitals(app: FastAPI, vitals: Vitals) -> None:
    tasks, failing_parts = TASKS.made(vitals.registry), PART_FAILING.made(vitals.registry)
    ProcessCollector(registry=vitals.registry)
    BUILD_INFO.made(vitals.registry).labels(VERSION, vitals.process).set(1)

    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"])
    async def ready() -> Response:
        failing = dict(vitals.failing())
        if vitals.leaving.is_set():
            failing["process"] = "is leaving"
        if failing:
            return json_answer(503, {"status": "not ready", "failing": failing}).response()
        return json_answer(200, {"status": "ready"}).response()

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        tasks.set(len(asyncio.all_tasks()))
        failing_parts.clear()
        for part in vitals.failing():
            failing_parts.labels(part).set(1)
        return Response(generate_latest(vitals.registry), media_type=CONTENT_TYPE_LATEST)


async def _on_answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnswerError)
    return error.answer.response()


async def _on_invalid(_: Request, error: Exception) -> Response:
    """422 with pointers. The input is never repeated: it may hold a password, or text JSON cannot carry."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {"pointer": _pointer(one["loc"]), "detail": one["msg"].removeprefix("Value error, ")}
        for one in error.errors()
    ]
    title = "The request does not have the documented shape."
    return problem(422, "validation-failed", title, errors=errors).response()


def _pointer(location: tuple[int | str, ...]) -> str:
    """JSON Pointer (RFC 6901) into the body; query and header parameters are named by where they stand."""
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


_TITLES = {
    404: ("not-found", "There is nothing here."),
    405: ("method-not-allowed", "This method is not allowed here."),
}


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, title = _TITLES.get(error.status_code, ("bad-request", "The request cannot be understood."))
    return failure(request.url.path, error.status_code, code, title, error.headers).response()


async def _on_bug(request: Request, error: Exception) -> Response:
    """A defect of ours: the client learns only the trace id that the log line carries too."""
    trace_id = request.scope["state"]["traceparent"].split("-")[1]
    _log.error("a bug", trace_id=trace_id, exc_info=error)
    title = f"Something is wrong on our side. Trace id: {trace_id}"
    return failure(request.url.path, 500, "internal-error", title).response()
