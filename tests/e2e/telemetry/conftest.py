"""A stack of its own, with spans on and logs at their most talkative."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from tests.e2e.conftest import open_chancery
from tests.support.chancery import Chancery
from tests.support.otlp import Collector, open_collector
from tests.support.unlimited import UNLIMITED

PROCESSES = ("command", "query", "projectors", "mailer", "relay", "risk")


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    with open_collector() as opened:
        yield opened


@pytest.fixture(scope="package")
def watched_stack(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("watched")
    environment = {
        **os.environ,
        **UNLIMITED,
        **free_port_variables(),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "CHANCERY_LOG_LEVEL": "debug",
        "CHANCERY_LOG_FORMAT": "json",
        "CHANCERY_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    try:
        yield start_stack(home, environment, lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="package")
async def watched(watched_stack: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(watched_stack) as opened:
        yield opened


async def shown_metrics(chancery: Chancery) -> dict[str, bytes]:
    """What every process tells of itself."""
    found = {}
    for process in PROCESSES:
        port = chancery.settings[f"CHANCERY_{process.upper()}_PORT"]
        answer = await chancery.http.get(f"http://127.0.0.1:{port}/metrics")
        assert answer.status_code == 200
        found[f"metrics of {process}"] = answer.content
    return found
