"""The local stack's infrastructure, started for real: it answers, heals, and leaves nothing behind."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiosmtplib import send
from redis.asyncio import Redis

from localstack.child import birth_mark
from localstack.errors import StackError
from localstack.inbox import inbox_file, read_mails
from localstack.ports import free_port_variables
from localstack.stack import StackInfo, ask_processes, running_stack, start_stack, stop_stack

HEAL_SECONDS = 30.0
GONE_SECONDS = 15.0


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {**os.environ, **free_port_variables()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("stack")
    yield start_stack(home, environment, selection="infra", lifetime="caller")
    stop_stack(home)


async def test_every_part_answers_in_its_own_protocol(stack: StackInfo) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka)
    await producer.start()
    await producer.stop()
    connection = await asyncpg.connect(stack.postgres_dsn)
    assert await connection.fetchval("show fsync") == "on"
    await connection.close()
    async with Redis.from_url(stack.redis_url) as redis:
        assert await redis.ping()


async def test_a_mail_is_in_the_inbox_once_it_is_accepted(stack: StackInfo) -> None:
    await send(
        b"Subject: hello\r\n\r\ncode 12345678\r\n",
        sender="a@example.org",
        recipients=["b@example.org"],
        hostname="127.0.0.1",
        port=stack.ports.mail,
    )
    assert [(mail.to, mail.code) for mail in read_mails(inbox_file(stack.home))] == [
        ("b@example.org", "12345678")
    ]


async def test_postgres_refuses_a_wrong_password(stack: StackInfo) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host="127.0.0.1", port=stack.ports.postgres, user="postgres", password="wrong")


@pytest.mark.parametrize("name", ["kafka", "postgres", "valkey", "mail"])
async def test_a_part_that_is_killed_is_started_again_on_its_port(stack: StackInfo, name: str) -> None:
    before = _pids(stack.home)[name]
    os.kill(before, signal.SIGKILL)
    await asyncio.to_thread(_wait_for, lambda: _pids(stack.home).get(name, before) != before, HEAL_SECONDS)
    deadline = time.monotonic() + HEAL_SECONDS
    while not (await _answers(stack.home))[name]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def test_a_second_start_finds_the_first(stack: StackInfo, environment: dict[str, str]) -> None:
    again = start_stack(stack.home, environment, selection="infra", lifetime="caller")
    assert (again.ports, again.settings) == (stack.ports, stack.settings)


def test_a_taken_port_is_named_with_the_variable_to_change(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        environment = {**os.environ, **free_port_variables(), "CHANCERY_LOCAL_VALKEY_PORT": port}
        with pytest.raises(
            StackError, match=f"Port {port} for valkey is taken by .*CHANCERY_LOCAL_VALKEY_PORT"
        ):
            start_stack(tmp_path, environment, selection="infra", lifetime="caller")


async def test_a_killed_supervisor_leaves_no_child_and_loses_no_data(tmp_path: Path) -> None:
    environment = {**os.environ, **free_port_variables()}
    first = start_stack(tmp_path, environment, selection="infra", lifetime="caller")
    connection = await asyncpg.connect(first.postgres_dsn)
    await connection.execute("create table kept (what text); insert into kept values ('this')")
    await connection.close()
    running = running_stack(tmp_path)
    assert running is not None
    marks = [(one.pid, one.born) for one in running.processes.values() if one.pid]
    assert len(marks) == 4

    os.kill(running.supervisor_pid, signal.SIGKILL)
    await asyncio.to_thread(
        _wait_for, lambda: all(birth_mark(pid) != born for pid, born in marks), GONE_SECONDS
    )

    second = start_stack(tmp_path, environment, selection="infra", lifetime="caller")
    connection = await asyncpg.connect(second.postgres_dsn)
    assert await connection.fetchval("select what from kept") == "this"
    await connection.close()
    assert stop_stack(tmp_path)
    assert not stop_stack(tmp_path)


def test_a_start_right_after_a_kill_waits_for_the_old_children_and_is_a_new_one(tmp_path: Path) -> None:
    environment = {**os.environ, **free_port_variables()}
    start_stack(tmp_path, environment, selection="infra", lifetime="caller")
    old = running_stack(tmp_path)
    assert old is not None
    os.kill(old.supervisor_pid, signal.SIGKILL)
    start_stack(tmp_path, environment, selection="infra", lifetime="caller")
    new = running_stack(tmp_path)
    assert new is not None
    assert new.supervisor_pid != old.supervisor_pid
    assert all(asyncio.run(ask_processes(tmp_path, new)).values())
    assert stop_stack(tmp_path)


def _pids(home: Path) -> dict[str, int]:
    state = running_stack(home)
    return {name: one.pid for name, one in state.processes.items() if one.pid} if state else {}


async def _answers(home: Path) -> dict[str, bool]:
    state = running_stack(home)
    assert state is not None
    return await ask_processes(home, state)


def _wait_for(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
