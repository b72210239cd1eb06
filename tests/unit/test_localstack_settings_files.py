"""The files through which processes learn of the local stack."""

from pathlib import Path

from pydantic import SecretStr

from localstack.ports import Ports
from localstack.settings_files import load_or_make_secrets, local_settings, parse, render, write_private
from runtime.settings import DEVELOPMENT_MARK, secret_bytes


def test_what_is_rendered_is_parsed_again() -> None:
    values = {"CHANCERY_A": "x=y", "CHANCERY_B": ""}
    assert parse(render(values)) == values


def test_blank_lines_and_comments_are_skipped() -> None:
    assert parse("# a comment\n\n A=1 \n") == {"A": "1"}


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    first = load_or_make_secrets(tmp_path / "secrets.env")
    assert load_or_make_secrets(tmp_path / "secrets.env") == first


def test_two_homes_have_different_secrets(tmp_path: Path) -> None:
    one, other = load_or_make_secrets(tmp_path / "one"), load_or_make_secrets(tmp_path / "other")
    assert not set(one.values()) & set(other.values())


def test_a_secret_that_is_missing_is_added_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    whole = load_or_make_secrets(file)
    kept = {name: value for name, value in whole.items() if name != "CHANCERY_SECRET_KEY"}
    write_private(file, render(kept))
    again = load_or_make_secrets(file)
    assert {name: again[name] for name in kept} == kept
    assert again["CHANCERY_SECRET_KEY"] != whole["CHANCERY_SECRET_KEY"]


def test_generated_keys_are_marked_for_development_and_long_enough(tmp_path: Path) -> None:
    made = load_or_make_secrets(tmp_path / "secrets.env")
    for name in ("CHANCERY_SECRET_KEY", "CHANCERY_KEY_ENCRYPTION_KEY"):
        assert made[name].startswith(DEVELOPMENT_MARK)
        assert len(secret_bytes(SecretStr(made[name]))) == 32


def test_nobody_else_may_read_the_secrets(tmp_path: Path) -> None:
    load_or_make_secrets(tmp_path / "secrets.env")
    assert (tmp_path / "secrets.env").stat().st_mode & 0o777 == 0o600


def test_local_settings_follow_from_the_ports() -> None:
    settings = local_settings(Ports(kafka=1, postgres=2, query=3), "word")
    assert settings["CHANCERY_KAFKA_BOOTSTRAP"] == "127.0.0.1:1"
    assert settings["CHANCERY_POSTGRES_DSN"] == "postgresql://postgres:word@127.0.0.1:2/postgres"
    assert settings["CHANCERY_ISSUER"] == settings["CHANCERY_QUERY_URL"] == "http://127.0.0.1:3"
