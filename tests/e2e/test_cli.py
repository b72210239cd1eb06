"""The command line against the running platform: what it prints, and how it exits when it cannot."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from localstack.stack import running_stack
from tests.support.broker import nobody_there
from tests.support.chancery import Chancery, new_email
from tests.support.command_line import Ended
from tests.support.command_line import chancery as run

ADMIN = ("admin", "create-client", "--name", "billing")


def elsewhere(chancery: Chancery, **settings: str) -> dict[str, str]:
    return {**chancery.settings, **{f"CHANCERY_{name}": value for name, value in settings.items()}}


def without_secrets(chancery: Chancery, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in chancery.settings.items() if not name.endswith("_KEY")}
    return {**kept, "CHANCERY_HOME": str(home)}


async def test_the_status_has_exactly_the_documented_keys(chancery: Chancery) -> None:
    code, out, _ = await chancery.cli("status", "--json")
    status = json.loads(out)
    assert code == 0
    assert list(status) == [
        "command_url", "query_url", "grpc", "kafka", "postgres_dsn", "redis_url", "smtp", "processes",
    ]  # fmt: skip
    assert (status["command_url"], status["query_url"]) == (chancery.command_url, chancery.query_url)
    assert status["kafka"] == chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"]
    state = running_stack(chancery.home)
    assert state is not None
    pids = {name: {"pid": one.pid, "ready": True} for name, one in state.processes.items()}
    assert status["processes"] == pids
    assert set(pids) == {
        "kafka",
        "postgres",
        "valkey",
        "mail",
        "command",
        "query",
        "projectors",
        "mailer",
        "relay",
        "risk",
    }


async def test_the_status_is_readable_too(chancery: Chancery) -> None:
    code, out, _ = await chancery.cli("status")
    rows = {line.split()[0]: line.split()[3] for line in out.splitlines()}
    assert code == 0
    assert rows.pop("part") == "answers"
    assert rows == dict.fromkeys(rows, "yes")
    assert len(rows) == 10


async def test_the_inbox_has_one_object_per_mail_with_its_code(chancery: Chancery) -> None:
    email = new_email()
    await chancery.sign_up(email)
    code = await chancery.code_for(email)
    status, out, _ = await chancery.cli("inbox", "--json", email)
    (mail,) = (json.loads(line) for line in out.splitlines())
    assert (status, list(mail)) == (0, ["to", "subject", "at", "code", "text"])
    assert (mail["to"], mail["code"]) == (email, code)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", mail["at"])
    assert code in mail["text"]
    _, shown, _ = await chancery.cli("inbox", email)
    assert f"{email}  code {code}" in shown
    assert (await chancery.cli("inbox", "--json", new_email()))[:2] == (0, "")
    nobody = new_email()
    assert (await chancery.cli("inbox", nobody))[1] == f"No mail to {nobody} yet.\n"


async def test_a_new_client_is_told_its_secret_once_and_may_use_it(chancery: Chancery) -> None:
    code, out, err = await chancery.cli(*ADMIN, "--scopes", "chancery.introspect, other", "--json")
    made = json.loads(out)
    assert (code, err, list(made)) == (0, "", ["client_id", "client_secret"])
    await chancery.until_known(made)
    credentials = (made["client_id"], made["client_secret"])
    answer = await chancery.query("POST", "/oauth/introspect", auth=credentials, data={"token": "x"})
    assert answer.json() == {"active": False}


async def test_a_new_client_is_shown_to_people_too(chancery: Chancery) -> None:
    code, out, _ = await chancery.cli(*ADMIN, "--scopes", "a")
    shape = (
        r"Client 'billing' is registered\.\n  client_id      [a-z2-7]{26}\n"
        r"  client_secret  ccs_[\w-]{43}\nThe secret is shown only now\. Keep it safe\.\n"
    )
    assert code == 0
    assert re.fullmatch(shape, out)


@pytest.mark.parametrize("scopes", ["ä", 'a"b', "a b,c\\d", "x" * 1001])
async def test_a_client_without_good_scopes_is_refused_with_a_sentence(
    chancery: Chancery, scopes: str
) -> None:
    code, out, err = await chancery.cli(*ADMIN, "--scopes", scopes, "--json")
    assert (code, out, err) == (1, "", "The client may not ask for this scope.\n")


@pytest.mark.parametrize(
    ("name", "scopes"), [("billing", ""), ("billing", " , "), ("a\nb", "a"), ("n\udcff", "a")]
)
async def test_a_client_without_any_scope_or_with_an_odd_name_is_a_usage_error(
    chancery: Chancery, name: str, scopes: str
) -> None:
    outcome = await chancery.cli("admin", "create-client", "--name", name, "--scopes", scopes)
    sentence = "--name must be printable, and --scopes must name at least one scope.\n"
    assert outcome == (2, "", sentence)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
async def test_a_client_without_a_good_name_is_a_usage_error(chancery: Chancery, name: str) -> None:
    outcome = await chancery.cli("admin", "create-client", "--name", name, "--scopes", "a")
    assert outcome == (2, "", "--name must have 1 to 100 characters.\n")


async def test_the_story_is_told_and_ends_with_the_measured_refusal(chancery: Chancery) -> None:
    code, out, err = await chancery.cli("demo", "--json")
    told = json.loads(out)
    assert (code, err, list(told)) == (0, "", ["stories", "refused_after_ms"])
    assert told["stories"] == len(told["refused_after_ms"]) == 1
    assert 0 <= told["refused_after_ms"][0] < 5000


async def test_the_story_shows_its_steps_and_what_the_log_says(chancery: Chancery) -> None:
    code, out, _ = await chancery.cli("demo")
    assert code == 0
    steps = [
        "Sign up", "account.registered", "the mail to ada-", "account.email_verified", "sign_in.failed",
        "session.started", "X-Auth-Account", "Ada Lovelace, 1 session", "both answers carry the same successor",
        "session.refreshed", "password.changed", "session.revoked", "Done. Refused",
    ]  # fmt: skip
    places = [out.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


async def test_provisioning_again_changes_nothing(chancery: Chancery) -> None:
    first, second = await chancery.cli("provision"), await chancery.cli("provision")
    assert re.fullmatch(r"Topics and tables are ready\. Log [0-9a-f-]{36}\.\n", first[1])
    assert first == second == (0, first[1], "")
    person = await chancery.new_person()
    assert (await chancery.introspect(person.tokens["access_token"]))["active"] is True


async def test_provisioning_with_another_partition_count_is_refused(chancery: Chancery) -> None:
    ended = await run("provision", settings=elsewhere(chancery, PARTITIONS="3"))
    assert (ended.code, ended.out) == (1, "")
    assert "has 8 partitions and CHANCERY_PARTITIONS says 3" in ended.err


@pytest.mark.parametrize("process", ["command", "query", "projectors", "mailer", "relay", "risk"])
async def test_a_process_with_a_bad_setting_says_which_and_exits_with_usage(
    chancery: Chancery, process: str
) -> None:
    ended = await run("serve", process, settings=elsewhere(chancery, PARTITIONS="0"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "CHANCERY_PARTITIONS: Input should be greater than or equal to 1\n"


@pytest.mark.parametrize(
    "arguments", [("serve", "command"), ("serve", "risk"), ("provision",), ("up",)], ids=" ".join
)
async def test_a_variable_that_nobody_reads_stops_every_command(
    chancery: Chancery, arguments: tuple[str, ...]
) -> None:
    ended = await run(*arguments, settings=elsewhere(chancery, SIGNUPS="open", PASSKEY_RP_ID="localhost"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "CHANCERY_SIGNUPS is not a setting. Did you mean CHANCERY_SIGNUP?\n"


async def test_a_process_without_secrets_says_which_are_missing(chancery: Chancery, tmp_path: Path) -> None:
    ended = await run("serve", "command", settings=without_secrets(chancery, tmp_path))
    assert (ended.code, ended.out) == (2, "")
    assert [line.split()[0] for line in ended.err.splitlines()] == [
        "CHANCERY_SECRET_KEY",
        "CHANCERY_KEY_ENCRYPTION_KEY",
    ]


async def test_production_refuses_this_stacks_own_secrets(chancery: Chancery) -> None:
    ended = await run("serve", "query", settings=elsewhere(chancery, MODE="production"))
    assert ended.code == 2
    assert "was generated for development" in ended.err


async def test_an_optimised_python_is_refused(chancery: Chancery) -> None:
    ended = await run("serve", "command", settings=chancery.settings, options=("-O",))
    assert (ended.code, ended.err.split(":")[0]) == (2, "Chancery refuses to run under `python -O`")


async def test_another_key_encryption_key_stops_the_command_process(chancery: Chancery) -> None:
    other = "A" * 42 + "E"
    ended = await run("serve", "command", settings=elsewhere(chancery, KEY_ENCRYPTION_KEY=other))
    assert ended.code == 1
    assert "CHANCERY_KEY_ENCRYPTION_KEY is not the one it was wrapped with" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [("provision",), (*ADMIN, "--scopes", "a"), ("demo",), ("serve", "command")],
    ids=lambda arguments: arguments[0],
)
async def test_without_kafka_the_exit_code_is_three_and_the_sentence_says_what_to_look_at(
    chancery: Chancery, arguments: tuple[str, ...]
) -> None:
    settings = elsewhere(chancery, KAFKA_BOOTSTRAP=nobody_there(), START_SECONDS="0")
    assert_unreachable(await run(*arguments, settings=settings))


async def test_the_command_process_waits_for_its_stores_and_says_so(chancery: Chancery) -> None:
    settings = elsewhere(chancery, KAFKA_BOOTSTRAP=nobody_there(), START_SECONDS="1")
    ended = await run("serve", "command", settings=settings)
    assert ended.code == 3
    assert ended.err.count("waits for its stores") >= 1


async def test_without_postgres_provisioning_exits_with_three(chancery: Chancery) -> None:
    dsn = f"postgresql://postgres:secret@{nobody_there()}/postgres"
    ended = await run("provision", settings=elsewhere(chancery, POSTGRES_DSN=dsn))
    assert_unreachable(ended)
    assert "secret" not in ended.err


async def test_without_the_apis_the_story_says_how_to_start_them(chancery: Chancery) -> None:
    settings = elsewhere(chancery, COMMAND_URL=f"http://{nobody_there()}")
    ended = await run("demo", "--json", settings=settings)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "Chancery does not answer (ConnectError). `make up` starts it.\n"


async def test_a_story_that_breaks_says_where(chancery: Chancery, tmp_path: Path) -> None:
    """Both APIs are there, but behind the other's address."""
    swapped = elsewhere(chancery, COMMAND_URL=chancery.query_url, QUERY_URL=chancery.command_url)
    ended = await run("demo", "--json", settings=swapped)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("The story broke: POST /v1/accounts answered 404, not 202")


def assert_unreachable(ended: Ended) -> None:
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.endswith("Is the stack up? `chancery status` tells.\n")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nothing",), 2), (("serve", "nothing"), 2), (("demo", "--times", "0"), 2), (("--help",), 0), ((), 2)],
)
async def test_usage_errors_exit_with_two(chancery: Chancery, arguments: tuple[str, ...], code: int) -> None:
    ended = await run(*arguments, settings=chancery.settings)
    assert ended.code == code
    assert "Usage: chancery" in ended.out + ended.err


async def test_what_runs_is_left_alone(chancery: Chancery) -> None:
    settings: Mapping[str, str] = chancery.settings
    again = await run("up", settings=settings)
    assert again.code == 0
    assert again.out.startswith(f"Chancery already runs in {chancery.home}.")
    other = await run("up", "--parts", "infra", settings=settings)
    assert (other.code, "runs with --parts all" in other.err) == (2, True)
    wrong = await run("up", "--parts", "some", settings=settings)
    assert (wrong.code, wrong.err) == (2, "--parts is `all` or `infra`.\n")
    cleaned = await run("clean", settings=settings)
    assert (cleaned.code, "Stop it first" in cleaned.err) == (1, True)
    assert running_stack(chancery.home) is not None


async def test_logs_are_shown_with_the_name_of_their_part(chancery: Chancery) -> None:
    code, out, _ = await chancery.cli("logs", "command", "mailer")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()} <= {"command", "mailer"}
    code, _, err = await chancery.cli("logs", "nothing")
    assert code == 2
    assert err.startswith("There is no log of nothing. There are: command, ")
