"""`chancery replay verify` against the running platform: what it prints, and how it exits."""

import json
from pathlib import Path
from typing import Any

from tests.support.broker import nobody_there
from tests.support.chancery import Chancery

VERIFY = ("replay", "verify")


async def report_of(chancery: Chancery) -> dict[str, Any]:
    code, out, err = await chancery.cli(*VERIFY, "--json")
    assert (code, err) == (0, "")
    report: dict[str, Any] = json.loads(out)
    return report


async def test_the_log_of_a_whole_story_is_whole(chancery: Chancery) -> None:
    person = await chancery.new_person()
    partition, seq = (int(part) for part in person.tokens["position"].split(":"))
    report = await report_of(chancery)
    assert list(report) == ["ok", "log", "records", "seconds", "records_per_second", "partitions"]
    assert report["ok"]
    assert len(report["partitions"]) == 8
    found = report["partitions"][partition]
    assert found["seq"] >= seq
    assert (found["partition"], found["broken"], found["commits"]) == (partition, None, found["seq"])


async def test_the_saved_heads_must_still_be_there(chancery: Chancery, tmp_path: Path) -> None:
    report = await report_of(chancery)
    saved = tmp_path / "heads.json"
    saved.write_text(json.dumps(report))
    await chancery.new_person()
    assert (await chancery.cli(*VERIFY, "--json", "--heads", str(saved)))[0] == 0
    first = report["partitions"][0]
    head = f"0:{first['seq']}:{first['hash']}"
    assert (await chancery.cli(*VERIFY, "--chain-only", "--expect-head", head))[0] == 0
    missing = first["seq"] + 1_000_000
    code, out, _ = await chancery.cli(*VERIFY, "--json", "--expect-head", f"0:{missing}:{first['hash']}")
    broken = json.loads(out)["partitions"][0]["broken"]
    assert (code, broken["reason"]) == (1, f"the log ends before commit {missing}, which was saved")


async def test_people_are_told_the_heads_and_the_verdict(chancery: Chancery) -> None:
    code, out, _ = await chancery.cli(*VERIFY)
    assert code == 0
    assert out.count("  head ") == 8
    assert " is whole: " in out
    code, out, _ = await chancery.cli(*VERIFY, "--expect-head", "0:0:x")
    assert code == 1
    assert "BROKEN at offset 0: commit 0 is not the one that was saved" in out


async def test_odd_heads_are_a_usage_error_and_an_absent_broker_is_said(chancery: Chancery) -> None:
    for arguments in (("--expect-head", "x"), ("--heads", "/nowhere"), ("--expect-head", "a:b:c")):
        assert (await chancery.cli(*VERIFY, *arguments))[:2] == (2, "")
    code, out, err = await chancery.cli(*VERIFY, more={"CHANCERY_KAFKA_BOOTSTRAP": nobody_there()})
    assert (code, out) == (3, "")
    assert "Is the stack up?" in err
    code, _, err = await chancery.cli(*VERIFY, more={"CHANCERY_PARTITIONS": "4"})
    assert (code, "has 8 partitions" in err) == (1, True)
