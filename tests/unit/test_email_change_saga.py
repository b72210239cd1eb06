"""E-mail changes across partitions: whatever dies wherever, no address leaks and none has two holders."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from command_api.callers import Person
from command_api.holders import identifier_of
from domain.account_commands import CloseAccount
from events.streams import account_stream, slot_of
from eventstore.memory_log import Fault
from eventstore.writer import Draft
from runtime.passwords import PasswordPool
from tests.support.examples import LOCK_OUT
from tests.support.saga import (
    CODES,
    KEYS,
    RULES,
    DiedError,
    Mortal,
    World,
    address,
    call,
    new_world,
    runner,
)
from tests.support.writers import SYSTEM

FAULTS: list[Fault] = ["lose", "lose-answer", "duplicate", "delay"]


@pytest.fixture(scope="module")
def passwords() -> Iterator[PasswordPool]:
    pool = PasswordPool(threads=2, queue=64)
    yield pool
    pool.close()


async def world_with_a_wish(passwords: PasswordPool) -> tuple[World, Person, str, str]:
    """A world, somebody in partition 0, the wanted address in partition 1, and the id of the change."""
    world = await new_world(passwords)
    person, wanted = await world.person(0), address(1)
    return world, person, wanted, await world.wish(person, wanted)


async def test_a_change_across_partitions_leaves_one_holder_each(passwords: PasswordPool) -> None:
    world, person, wanted, change_id = await world_with_a_wish(passwords)
    answer = await world.changes(world.writer()).confirm(call(), person, CODES.email_change(change_id))
    assert answer.status == 204
    await world.tidy()
    holders = await world.check(is_tidy=True)
    assert set(holders.values()) == {person.account_id}
    assert (await world.account(person)).addresses.current.identifier == wanted


@pytest.mark.parametrize("dies_at", range(7))
async def test_a_process_that_dies_at_any_step_leaks_nothing(passwords: PasswordPool, dies_at: int) -> None:
    world, person, wanted, change_id = await world_with_a_wish(passwords)
    mortal = Mortal(world.writer(), dies_at)
    try:
        await world.changes(mortal).confirm(call(), person, CODES.email_change(change_id))
    except DiedError:
        await world.check(is_tidy=False)
    await world.tidy()
    holders = await world.check(is_tidy=True)
    is_changed = (await world.account(person)).addresses.current.identifier == wanted
    assert holders[wanted] == (person.account_id if is_changed else None)


@pytest.mark.parametrize("dies_at", range(7))
async def test_a_repeated_request_finishes_what_a_crash_interrupted(
    passwords: PasswordPool, dies_at: int
) -> None:
    world, person, wanted, change_id = await world_with_a_wish(passwords)
    key, code = str(uuid.uuid4()), CODES.email_change(change_id)
    with contextlib.suppress(DiedError):
        await world.changes(Mortal(world.writer(), dies_at)).confirm(call(key), person, code)
    assert (await world.changes(world.writer()).confirm(call(key), person, code)).status == 204
    await world.tidy()
    assert (await world.check(is_tidy=True))[wanted] == person.account_id


@pytest.mark.parametrize("dies_at", range(9))
async def test_who_tidies_up_may_die_too_at_any_step(passwords: PasswordPool, dies_at: int) -> None:
    world, person, wanted, change_id = await world_with_a_wish(passwords)
    rules = replace(RULES, undo=timedelta(0))
    await world.changes(world.writer(), rules).confirm(call(), person, CODES.email_change(change_id))
    mortal: Any = Mortal(world.writer(), dies_at)
    await runner(mortal, later=timedelta(hours=1)).run_due()
    await world.check(is_tidy=False)
    await world.tidy()
    holders = await world.check(is_tidy=True)
    assert sorted(holders.values(), key=str) == sorted([person.account_id, None], key=str)
    assert holders[wanted] == person.account_id


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", range(4))
async def test_an_append_that_fails_in_any_way_leaks_nothing(
    passwords: PasswordPool, fault: Fault, place: int
) -> None:
    world, person, _, change_id = await world_with_a_wish(passwords)
    world.log.faults.extend([None] * place + [fault])
    mortal = Mortal(world.writer(), 3 + place)
    with contextlib.suppress(DiedError):
        await world.changes(mortal).confirm(call("k"), person, CODES.email_change(change_id))
    for partition in range(world.log.partitions):
        world.log.deliver_delayed(partition)
    await world.check(is_tidy=False)
    await world.tidy()
    await world.check(is_tidy=True)


async def test_abuse_h7_two_changes_to_one_address_have_one_winner(passwords: PasswordPool) -> None:
    world = await new_world(passwords)
    wanted = address(2)
    people = [await world.person(slot) for slot in (0, 1, 3, 4)]
    wishes = [await world.wish(person, wanted) for person in people]
    writers = [world.writer() for _ in range(3)]
    answers = await asyncio.gather(
        *(
            world.changes(writers[n % 3]).confirm(call(), person, CODES.email_change(change_id))
            for n, (person, change_id) in enumerate(zip(people, wishes, strict=True))
        )
    )
    assert sorted(answer.status for answer in answers) == [204, 400, 400, 400]
    await world.tidy()
    await world.check(is_tidy=True)


async def test_a_claim_that_arrives_after_everything_is_given_back(passwords: PasswordPool) -> None:
    """The process stood still between the look at the code and the claim; meanwhile the account was closed."""
    world, person, wanted, change_id = await world_with_a_wish(passwords)
    stalled = world.changes(world.writer())
    change = (await world.account(person)).addresses.change
    assert change is not None
    account = account_stream(person.account_id)

    def close(draft: Draft) -> None:
        command = CloseAccount(
            acting_session_id=person.session_id,
            is_password_right=True,
            erase_after=draft.at,
            lock_out=LOCK_OUT,
            at=draft.at,
        )
        draft.decide(account, command)

    await world.writer().transact(account, close, SYSTEM)
    for _ in range(2):
        await stalled._claim(person.account_id, change, "")  # noqa: SLF001  # the one step that comes too late
        await world.check(is_tidy=False)
        await world.tidy()
        assert (await world.check(is_tidy=True))[wanted] is None
    assert change.change_id == change_id


async def test_a_change_whose_claim_was_taken_back_is_never_made(passwords: PasswordPool) -> None:
    """The process stood still between the claim and the change; meanwhile others tidied up."""
    world, person, wanted, change_id = await world_with_a_wish(passwords)
    stalled = world.changes(world.writer())
    change = (await world.account(person)).addresses.change
    assert change is not None
    claim = await stalled._claim(person.account_id, change, "")  # noqa: SLF001  # stopped between two steps
    await world.tidy()
    code = CODES.email_change(change_id)
    done = await world.writer().transact(
        account_stream(person.account_id),
        lambda draft: stalled._confirm(draft, call=call(), person=person, code=code, claim=claim),  # noqa: SLF001  # the other step
        SYSTEM,
    )
    assert done.reply.status == 400
    assert (await world.check(is_tidy=True))[wanted] is None


async def test_undo_gives_back_everything_that_came_after(passwords: PasswordPool) -> None:
    world, owner, first, change_id = await world_with_a_wish(passwords)
    changes = world.changes(world.writer())
    assert (await changes.confirm(call(), owner, CODES.email_change(change_id))).status == 204
    await world.tidy()
    undo = CODES.undo(owner.account_id, change_id)
    assert (await changes.undo(call(), undo)).status == 204
    assert (await changes.undo(call(), undo)).status == 400
    await world.tidy()
    holders = await world.check(is_tidy=True)
    assert holders[first] is None
    assert (await world.account(owner)).sessions == {}


async def test_abuse_h5_a_reset_code_presented_twenty_times_at_once_works_once(
    passwords: PasswordPool,
) -> None:
    world, email = await new_world(passwords), "ada@example.com"
    own = identifier_of(KEYS.pepper, email)
    person = await world.person(slot_of(own), own)
    code = CODES.password_reset(await world.ask_reset(person))
    resets = [world.resets(world.writer()) for _ in range(3)]
    answers = await asyncio.gather(
        *(resets[n % 3].confirm(call(), email, code, f"a long new password {n}") for n in range(20))
    )
    assert sorted(answer.status for answer in answers) == [204] + [400] * 19
