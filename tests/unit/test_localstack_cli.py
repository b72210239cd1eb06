"""The stack's sub-commands where nothing runs: what they print and how they exit."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from localstack.inbox import Mail, append_mails, inbox_file
from localstack.state import take_lock

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("CHANCERY_HOME", str(home))
    return home


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


def test_the_status_of_nothing_is_an_empty_object_and_exit_code_three(run: CliRunner, home: Path) -> None:
    result = run.invoke(app, ["status", "--json"])
    assert (json.loads(result.stdout), result.exit_code) == ({"processes": {}}, 3)


def test_stopping_nothing_says_so_and_is_no_error(run: CliRunner, home: Path) -> None:
    result = run.invoke(app, ["down"])
    assert (result.stdout, result.exit_code) == ("Nothing runs here.\n", 0)


def test_the_inbox_prints_one_object_per_mail(run: CliRunner, home: Path) -> None:
    inbox_file(home).parent.mkdir(parents=True)
    mail = Mail(to="a@example.org", subject="s", at=AT, code="12345678", text="t", message_id=None)
    append_mails(inbox_file(home), [mail])
    result = run.invoke(app, ["inbox", "--json", "a@example.org"])
    assert json.loads(result.stdout) == {
        "to": "a@example.org",
        "subject": "s",
        "at": "2026-01-02T03:04:05Z",
        "code": "12345678",
        "text": "t",
    }
    assert run.invoke(app, ["inbox", "--json", "b@example.org"]).stdout == ""


def test_cleaning_leaves_a_folder_alone_that_the_stack_did_not_make(run: CliRunner, home: Path) -> None:
    home.mkdir()
    assert run.invoke(app, ["clean"]).exit_code == 2
    assert home.exists()


def test_cleaning_refuses_while_the_stack_runs_and_deletes_afterwards(run: CliRunner, home: Path) -> None:
    home.mkdir()
    descriptor = take_lock(home)
    assert descriptor is not None
    assert run.invoke(app, ["clean"]).exit_code == 1
    os.close(descriptor)
    assert run.invoke(app, ["clean"]).exit_code == 0
    assert not home.exists()


def test_an_unknown_log_is_a_usage_error_that_names_the_known_ones(run: CliRunner, home: Path) -> None:
    (home / "log").mkdir(parents=True)
    (home / "log" / "kafka.log").write_text("a line\n")
    assert run.invoke(app, ["logs", "nope"]).exit_code == 2
    assert run.invoke(app, ["logs"]).stdout == "kafka a line\n"
