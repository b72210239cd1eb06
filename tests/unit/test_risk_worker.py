"""What the risk worker does with a conclusion: until it counts, is refused, or its patience ends."""

from datetime import timedelta
from pathlib import Path

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from projectors.metrics import Metrics
from projectors.risk import counting
from projectors.risk.counting import Broker, Counting, own_topics
from projectors.risk.rules import Conclusion, Limits
from projectors.risk.signals import Flaw
from projectors.risk.worker import Worker
from projectors.system_commands import CommandApi, CommandUnansweredError
from runtime.health import Health
from runtime.kafka_access import KafkaAccess
from runtime.serving.answers import empty_answer, problem
from tests.support.command_server import Server, served

NOTICE = Conclusion(
    command="notice", account_id="a", session_id=None, reason="sign-in-failures", key="failures a 12:00"
)
LATER = problem(503, "unavailable", "Later.")


def worker(api: CommandApi, health: Health, registry: CollectorRegistry) -> Worker:
    return Worker(api, health, Metrics(registry), patience_seconds=1.0)


def outcomes(registry: CollectorRegistry) -> dict[str, float]:
    samples = (one for metric in registry.collect() for one in metric.samples)
    return {
        one.labels["outcome"]: one.value for one in samples if one.name == "chancery_risk_conclusions_total"
    }


async def test_a_conclusion_is_given_until_it_counts_and_health_tells_of_the_wait() -> None:
    server, health, registry = Server([LATER] * 5 + [empty_answer(204)]), Health(), CollectorRegistry()
    async with served(server, patience_seconds=0.3) as api:
        await worker(api, health, registry).conclude(NOTICE)
    assert len(server.keys) == 6
    assert len(set(server.keys)) == 1
    assert health.failing() == {}
    assert outcomes(registry) == {"given": 1.0}


async def test_a_refusal_is_counted_and_passed_over() -> None:
    server, registry = Server([problem(404, "account-not-found", "Nobody.")]), CollectorRegistry()
    async with served(server) as api:
        await worker(api, Health(), registry).conclude(NOTICE)
    assert outcomes(registry) == {"refused": 1.0}


async def test_a_worker_whose_patience_ends_stops_rather_than_pass_a_conclusion_over() -> None:
    health, registry = Health(), CollectorRegistry()
    async with served(Server([LATER]), patience_seconds=0.3) as api:
        with pytest.raises(CommandUnansweredError):
            await worker(api, health, registry).conclude(NOTICE)
    assert list(health.failing()) == ["command-api"]
    assert outcomes(registry) == {}


async def test_faust_acknowledges_nothing_serves_nothing_and_makes_no_topic() -> None:
    broker = Broker(access=KafkaAccess("127.0.0.1:9"), group="g", public_topic="public", partitions=1)
    limits = Limits(window=timedelta(hours=1), failures=1, reuses=1, arrivals=1, accounts_of_source=1)
    app = Counting(broker, limits, _never, _never_passed).app
    channels = [agent.channel for agent in app.agents.values()]
    channels += [table.changelog_topic for table in app.tables.values()]
    assert {topic for channel in channels for topic in channel.topics} == {"public", *own_topics("g")}
    assert [channel.acks for channel in channels] == [False] * len(channels)
    assert (app.conf.web_enabled, app.conf.topic_allow_declare) == (False, False)


def test_no_agent_takes_batches() -> None:
    assert ".take(" not in Path(counting.__file__).read_text()


def _never_passed(place: TP, offset: int, flaw: Flaw) -> None:
    raise AssertionError(place, offset, flaw)


async def _never(conclusion: Conclusion) -> None:
    raise AssertionError(conclusion)


async def test_every_conclusion_says_what_its_command_needs() -> None:
    flag = Conclusion(command="flag", account_id="a", session_id="s", reason="guessing-source", key="k")
    one = Conclusion(command="step-up", account_id="a", session_id="s", reason="guessing-source", key="k")
    every = Conclusion(
        command="step-up", account_id="a", session_id=None, reason="refresh-reuse-burst", key="l"
    )
    server = Server([empty_answer(204)])
    async with served(server) as api:
        for conclusion in (flag, one, every, NOTICE):
            await worker(api, Health(), CollectorRegistry()).conclude(conclusion)
    assert [b'"session_id": "s"' in body for body in server.bodies] == [True, True, False, False]
    assert b'"notice_id"' in server.bodies[3]
    assert len(set(server.keys)) == 4
