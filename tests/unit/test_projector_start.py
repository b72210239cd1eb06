"""A process that has said nothing of its consumers yet is not ready."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from projectors import app, mailer_app
from runtime.health import Health
from runtime.serving.worker import Rest
from runtime.settings import Settings

SECRET = SecretStr("A" * 43)
SETTINGS = Settings(secret_key=SECRET, key_encryption_key=SECRET, kafka_bootstrap="127.0.0.1:1")
Run = Callable[[Settings, Health, CollectorRegistry, Rest], Awaitable[None]]


@pytest.mark.parametrize("run", [app.run, mailer_app.run])
async def test_a_worker_is_not_ready_from_its_first_moment_on(run: Run) -> None:
    health = Health()
    working = asyncio.ensure_future(run(SETTINGS, health, CollectorRegistry(), Rest()))
    try:
        await asyncio.sleep(0)
        assert "start" in health.failing()
    finally:
        working.cancel()
        await asyncio.wait([working])
