"""The example that shares its work in a group: all is done although one of its processes is killed, and the page shows it."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer

from chancery_sdk.kafka_group import SESSION_SECONDS
from chancery_sdk.testing import MemoryFeed
from localstack.child import ends_with_parent
from localstack.stack import StackInfo
from tests.support.broker import Broker
from tests.support.tasks import eventually

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "farewell" / "farewell.py"
PAGE = ROOT / "docs" / "how-to" / "write-a-subscriber.md"
CLOSED = "chancery.account.closed.v1"
PARTITIONS = 4
ACCOUNTS = [f"account{number}" for number in range(200)]
PATIENCE_SECONDS = 8 * SESSION_SECONDS


async def start(bootstrap: str, topic: str, folder: Path) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "sdk"),
        "CHANCERY_KAFKA_BOOTSTRAP": bootstrap,
        "CHANCERY_PUBLIC_TOPIC": topic,
        "FAREWELL_FOLDER": str(folder),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=ends_with_parent(signal.SIGKILL),
    )
    assert process.stdout is not None
    greeting = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    assert greeting == b"Closed accounts are noted. Ctrl-C ends it.\n"
    return process


async def test_every_closed_account_is_noted_although_a_process_is_killed(
    projector_stack: StackInfo, tmp_path: Path
) -> None:
    broker = Broker(projector_stack.home, projector_stack.kafka)
    topic = (await broker.new_topics(PARTITIONS)).public
    one, two = [await start(broker.bootstrap, topic, tmp_path) for _ in range(2)]
    told = MemoryFeed(PARTITIONS)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for number, account in enumerate(ACCOUNTS):
            partition = number % PARTITIONS
            record = told.tell(CLOSED, {"account_id": account}, partition=partition)
            headers = list(record.headers)
            await producer.send_and_wait(topic, record.value, headers=headers, partition=partition)
            if number == len(ACCOUNTS) // 2:
                await eventually(lambda: are_noted(tmp_path, 1), within_seconds=PATIENCE_SECONDS)
                one.kill()
    await eventually(lambda: are_noted(tmp_path, len(ACCOUNTS)), within_seconds=PATIENCE_SECONDS)
    two.terminate()
    assert await asyncio.wait_for(two.wait(), PATIENCE_SECONDS) == 0
    assert noted(tmp_path) == set(ACCOUNTS)


def noted(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def are_noted(folder: Path, count: int) -> bool:
    return len(noted(folder)) >= count


def test_the_page_shows_what_the_example_does() -> None:
    section = PAGE.read_text().partition("## Share the work")[2]
    shown = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    code = "\n".join(line.strip() for line in EXAMPLE.read_text().splitlines())
    assert shown
    for block in shown:
        assert "\n".join(line.strip() for line in block.strip().splitlines()) in code
