"""An application with Chancery's manners and routes that do what a test needs, driven without a network."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field

from runtime.serving.app import Vitals, new_app
from runtime.serving.oauth import bearer_token, client_credentials, read_form

Form = Annotated[dict[str, str], Depends(read_form)]
SECRET = "hunter2hunter2"


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=10)
    count: int = 1
    lines: tuple[dict[str, int], ...] = ()


def app_with(failing: Mapping[str, str]) -> FastAPI:
    app = new_app("test", Vitals(process="test", failing=lambda: failing, registry=CollectorRegistry()))

    @app.post("/orders")
    async def orders(order: Order) -> dict[str, Any]:
        return {"name": order.name, "count": order.count}

    @app.get("/things/{name}")
    async def things(name: str, size: int = 1) -> dict[str, Any]:
        return {"name": name, "size": size}

    @app.post("/bell")
    @app.delete("/bell")
    async def bell(request: Request) -> dict[str, Any]:
        return {"body": (await request.body()).decode()}

    @app.get("/bearer")
    async def bearer(request: Request) -> dict[str, Any]:
        return {
            "token": bearer_token(request.headers.getlist("authorization")),
            "traceparent": request.scope["state"]["traceparent"],
        }

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError(SECRET)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout", headers={"retry-after": "1"})

    app.include_router(_forms())
    return app


def _forms() -> APIRouter:
    """Routes that are not strict, because their bodies are forms."""
    router = APIRouter()

    @router.post("/oauth/echo")
    async def echo(form: Form) -> dict[str, str]:
        return form

    @router.post("/oauth/who")
    async def who(request: Request, form: Form) -> dict[str, Any]:
        found = client_credentials(request, form)
        return {"id": found and found.client_id, "secret": found and found.secret}

    @router.post("/oauth/bug")
    async def oauth_bug() -> None:
        raise RuntimeError(SECRET)

    return router


@contextlib.asynccontextmanager
async def client_of(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client to whom a bug is an answer, as it is behind a real server."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http
