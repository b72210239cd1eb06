"""Reads at a position while a read model falls back: it is built again in place, and rows that were shown are gone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import Request

from query_api.audit_pages import Asked, AuditPages, admin_view
from query_api.positions import Positions
from readmodels.accounts import accounts_of_any_status
from readmodels.audit import AuditFilter
from readmodels.positions import PositionWatch
from readmodels.tables import create_tables, definition_of, serve_empty
from readmodels.versions import Version
from runtime.postgres import Postgres
from runtime.serving.answers import AnswerError
from tests.support.tasks import eventually, running

SEQ = 7
HEARD_SECONDS = 0.5
"""Far below the time between two polls of a watch that nobody waits for."""


@pytest.fixture
async def watch(postgres: Postgres) -> AsyncIterator[PositionWatch]:
    """It knows that everything is shown up to one seq of one partition."""
    await create_tables(postgres)
    await postgres.execute(
        "insert into chancery.checkpoints (projector, partition, log_id, seq, hash, next_offset)"
        " select projector, 0, 'log', $1::bigint, 'h', $1 + 1 from chancery.read_models",
        SEQ,
    )
    watch = PositionWatch(postgres)
    async with running(watch.run()):
        assert await watch.wait_for("accounts", {0: SEQ}, wait_seconds=10)
        yield watch


def asking(position: str = f"0:{SEQ}") -> Request:
    headers = [(b"chancery-min-position", position.encode()), (b"prefer", b"wait=0")]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


async def fall_back(postgres: Postgres, read_model: str) -> None:
    built = Version(read_model=read_model, version=2, role="building", definition=definition_of(read_model))
    await serve_empty(postgres, built)


async def test_who_waits_hears_at_once_that_less_is_shown(postgres: Postgres, watch: PositionWatch) -> None:
    await asyncio.sleep(2 * HEARD_SECONDS)  # until the watch has seen that nobody waits, and polls seldom
    await fall_back(postgres, "accounts")

    async def is_heard() -> bool:
        return watch.shown("accounts") == {} and watch.shown("sessions") == {0: SEQ}

    await eventually(is_heard, within_seconds=HEARD_SECONDS)
    assert not await watch.wait_for("accounts", {0: SEQ}, wait_seconds=0)


async def test_a_step_that_nobody_told_of_is_found_by_looking(
    postgres: Postgres, watch: PositionWatch
) -> None:
    waiting = asyncio.create_task(watch.wait_for("accounts", {0: SEQ + 1}, wait_seconds=5))
    await postgres.execute("update chancery.checkpoints set seq = seq + 1")
    began = asyncio.get_running_loop().time()
    assert await waiting
    assert asyncio.get_running_loop().time() - began < 3


async def test_rows_of_a_read_model_that_falls_back_while_they_are_read_are_no_answer(
    postgres: Postgres, watch: PositionWatch
) -> None:
    positions = Positions(watch, 1)
    async with positions.reading(asking(), "accounts", "sessions") as shown:
        assert shown == {"Chancery-Position": f"0:{SEQ}"}

    async def read() -> None:
        async with positions.reading(asking(), "sessions", "accounts"):
            await fall_back(postgres, "accounts")
            assert await accounts_of_any_status(postgres, ["a"]) == ()

    with pytest.raises(AnswerError) as refused:
        await read()
    assert refused.value.answer.status == 503
    async with positions.reading(asking(), "sessions"):
        pass


@pytest.mark.usefixtures("watch")
async def test_a_page_of_the_audit_that_falls_back_is_no_answer(postgres: Postgres) -> None:
    deaf = PositionWatch(postgres)
    async with running(deaf.run()):
        assert await deaf.wait_for("audit", {0: SEQ}, wait_seconds=10)
    pages = AuditPages(postgres, Positions(deaf, 1), b"key", partitions=1)
    asked = Asked(walk="audit", given=AuditFilter(), cursor=None, limit=1)
    assert (await pages.page(asking(), asked, admin_view)).status == 200
    await fall_back(postgres, "audit")
    with pytest.raises(AnswerError) as refused:
        await pages.page(asking(), asked, admin_view)
    assert refused.value.answer.status == 503


async def test_an_answer_from_two_read_models_shows_what_both_show(
    postgres: Postgres, watch: PositionWatch
) -> None:
    await postgres.execute(
        "insert into chancery.checkpoints values ('accounts_v1', 1, 'log', 3, 'h', 4),"
        " ('sessions_v1', 1, 'log', 2, 'h', 3), ('sessions_v1', 2, 'log', 1, 'h', 2)"
    )
    assert await watch.wait_for("sessions", {2: 1}, wait_seconds=10)
    shown = Positions(watch, 3).shown
    assert shown("accounts", "sessions") == {"Chancery-Position": f"0:{SEQ},1:2"}
    assert shown("sessions") == {"Chancery-Position": f"0:{SEQ},1:2,2:1"}
