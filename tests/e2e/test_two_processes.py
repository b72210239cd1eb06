"""Two command processes, one account, commands at once: nothing is lost, nothing is doubled."""

import asyncio

from tests.support.chancery import Chancery
from tests.support.log_reading import read_log

COMMANDS = 60


async def test_two_processes_write_one_account_at_once(chancery: Chancery, twin: Chancery) -> None:
    person = await chancery.new_person()

    async def rename(number: int) -> tuple[str, str]:
        side = (chancery, twin)[number % 2]
        while True:
            body = {"display_name": f"Ada {number}"}
            answer = await side.command("PATCH", "/v1/me", headers=person.bearer, json=body)
            if answer.status_code == 204:
                return f"Ada {number}", answer.headers["chancery-position"]
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)

    named = dict(await asyncio.gather(*(rename(number) for number in range(COMMANDS))))
    stream = f"account-{person.account_id}"
    counted = await read_log(chancery.settings)
    changes = [
        (str(c.position), event.version)
        for c in sorted(counted.values(), key=lambda c: c.position)
        for event in c.commit.events
        if (event.stream, event.type) == (stream, "profile.changed")
    ]
    assert sorted(position for position, _ in changes) == sorted(named.values())
    versions = [version for _, version in changes]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(versions) == COMMANDS
    last = max(named, key=lambda name: int(named[name].split(":")[1]))
    at = {"chancery-min-position": named[last]}
    me = await chancery.query("GET", "/v1/me", headers={**person.bearer, **at})
    assert me.json()["display_name"] == last


async def test_both_processes_answer_from_one_truth(chancery: Chancery, twin: Chancery) -> None:
    """What one process acknowledged, the other knows at once, without any wait."""
    for _ in range(5):
        person = await chancery.new_person()
        assert (await twin.sign_in(person.email)).status_code == 201
        rotated = await twin.refresh(person.tokens["refresh_token"])
        assert rotated.status_code == 200
        path = f"/v1/sessions/{person.tokens['session_id']}"
        assert (await twin.command("DELETE", path, headers=person.bearer)).status_code == 204
        assert (await chancery.refresh(rotated.json()["refresh_token"])).status_code == 400
        refused = await chancery.command("PATCH", "/v1/me", headers=person.bearer, json={"display_name": "x"})
        assert refused.status_code == 401
