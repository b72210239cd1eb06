"""Settings: what stops a process from starting, and the sentence that says what to change."""

import base64
import os
import secrets
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.rates import Rate
from runtime.settings import SettingsError, home, load_settings, refuse_unknown_variables, secret_bytes

SECRET = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
OTHER = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and none of this machine's variables."""
    for name in os.environ:
        if name.startswith("CHANCERY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CHANCERY_HOME", str(tmp_path))
    return tmp_path


def with_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"CHANCERY_{name}", value)


def with_secrets(monkeypatch: pytest.MonkeyPatch, mark: str = "") -> None:
    with_variables(monkeypatch, SECRET_KEY=mark + SECRET, KEY_ENCRYPTION_KEY=mark + OTHER)


def refusal() -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings()
    return str(refused.value)


def test_two_secrets_are_enough_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    settings = load_settings()
    assert (settings.mode, settings.partitions, settings.signup) == ("development", 8, "verify")
    assert secret_bytes(settings.secret_key) == bytes(range(32))
    assert settings.code_lifetime == timedelta(minutes=15)


def test_a_missing_secret_is_named_with_what_to_do() -> None:
    assert refusal() == (
        "CHANCERY_SECRET_KEY is not set: 32 random bytes in base64url. For development, `make up` generates it.\n"
        "CHANCERY_KEY_ENCRYPTION_KEY is not set: 32 random bytes in base64url. For development, `make up` generates it."
    )


@pytest.mark.parametrize("secret", ["", "short", SECRET[:-3], SECRET + "AAAA", "not base64url: é", "dev_"])
def test_a_secret_of_another_length_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, SECRET_KEY=secret)
    sentence = refusal()
    assert sentence == "CHANCERY_SECRET_KEY: Value error, must be 32 random bytes in base64url"


def test_a_secret_may_carry_padding_and_the_development_mark() -> None:
    for text in (SECRET, SECRET + "=", "dev_" + SECRET):
        assert secret_bytes(SecretStr(text)) == bytes(range(32))


@pytest.mark.parametrize("name", ["SECRET_KEY", "KEY_ENCRYPTION_KEY"])
def test_production_refuses_a_secret_that_was_made_for_development(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, **{name: "dev_" + SECRET}, MODE="production")
    assert refusal() == (
        f"CHANCERY_{name} was generated for development; give production its own: 32 random bytes, base64url"
    )


def test_production_starts_with_secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, MODE="production")
    assert load_settings().mode == "production"


def test_development_reads_the_local_stacks_files_and_variables_win(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / "local.env").write_text("CHANCERY_COMMAND_PORT=1111\nCHANCERY_QUERY_PORT=2222\n")
    (folder / "secrets.env").write_text(
        f"CHANCERY_SECRET_KEY=dev_{SECRET}\nCHANCERY_KEY_ENCRYPTION_KEY=dev_{OTHER}\n"
    )
    with_variables(monkeypatch, QUERY_PORT="3333")
    settings = load_settings()
    assert (settings.command_port, settings.query_port) == (1111, 3333)
    assert settings.secret_key == SecretStr("dev_" + SECRET)


def test_production_reads_no_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "local.env").write_text("CHANCERY_COMMAND_PORT=1111\n")
    (folder / "secrets.env").write_text(f"CHANCERY_SECRET_KEY={SECRET}\n")
    with_variables(monkeypatch, MODE="production", KEY_ENCRYPTION_KEY=OTHER)
    assert (
        refusal()
        == "CHANCERY_SECRET_KEY is not set: 32 random bytes in base64url. For development, `make up` generates it."
    )
    with_secrets(monkeypatch)
    assert load_settings().command_port == 8081


def test_a_variable_that_nobody_reads_stops_the_process_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, SIGNUPS="open", PASSKEY_RP_ID="localhost", LOCAL_KAFKA_PORT="1")
    assert refusal() == "CHANCERY_SIGNUPS is not a setting. Did you mean CHANCERY_SIGNUP?"
    with pytest.raises(SettingsError, match="CHANCERY_SIGNUPS is not a setting"):
        refuse_unknown_variables()


@pytest.mark.parametrize("name", ["local.env", "secrets.env"])
def test_so_does_a_line_in_the_local_stacks_files_where_they_are_read(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str
) -> None:
    (folder / name).write_text("CHANCERY_LOCAL_POSTGRES_PASSWORD=hunter2\nCHANCERY_GRPC_PROT=1\nOTHER=2\n")
    with_secrets(monkeypatch)
    assert refusal() == "CHANCERY_GRPC_PROT is not a setting. Did you mean CHANCERY_GRPC_PORT?"
    with_variables(monkeypatch, MODE="production")
    assert load_settings().grpc_port == 8083


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, PARTITIONS="0", XYZZY="hunter2")
    assert refusal() == (
        "CHANCERY_XYZZY is not a setting. docs/reference/configuration.md lists all.\n"
        "CHANCERY_PARTITIONS: Input should be greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODE", "prod"),
        ("LOG_FORMAT", "xml"),
        ("PARTITIONS", "0"),
        ("PARTITIONS", "1025"),
        ("PARTITIONS", "eight"),
        ("SIGNUP", "closed"),
        ("ACCESS_TOKEN_SECONDS", "86400"),
        ("REFRESH_GRACE_SECONDS", "301"),
        ("COMMAND_DEADLINE_SECONDS", "0"),
        ("LIMIT_ADDRESS_SIGN_INS", "100"),
        ("LIMIT_ADDRESS_SIGN_INS", "100 per minute"),
        ("LIMIT_ALONE_DIVISOR", "0"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "my-proxy"),
    ],
)
def test_a_value_out_of_its_range_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, **{name: value})
    sentence = refusal()
    assert sentence.startswith(f"CHANCERY_{name}: ")
    assert len(sentence.splitlines()) == 1


def test_settings_do_not_print_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    with_variables(
        monkeypatch, POSTGRES_DSN="postgresql://u:hunter2@localhost/d", REDIS_URL="redis://:hunter2@h"
    )
    printed = repr(load_settings()) + str(load_settings())
    assert [word for word in (SECRET, OTHER, "hunter2") if word in printed] == []


def test_settings_cannot_be_changed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.partitions = 3  # type: ignore[misc]  # what is tested


def test_the_home_is_where_the_variable_says_else_here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    assert home() == folder.resolve()
    monkeypatch.delenv("CHANCERY_HOME")
    monkeypatch.chdir(folder)
    assert home() == folder.resolve() / ".chancery"


def test_rates_and_proxies_are_read_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    with_variables(
        monkeypatch,
        LIMIT_ADDRESS_SIGN_INS="100/60",
        LIMIT_ADDRESS_TOKENS="0",
        TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::/32,192.0.2.1",
    )
    settings = load_settings()
    assert (settings.limit_address_sign_ins, settings.limit_address_tokens) == (Rate(100, 60), Rate(0, 1))
    assert [str(one) for one in settings.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"]


def test_nobody_is_a_trusted_proxy_unless_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    assert load_settings().trusted_proxies == ()


def test_key_encryption_keys_come_from_a_file_if_one_is_named(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / "keys").write_text(f"{OTHER}\n\n{SECRET}\n")
    with_secrets(monkeypatch)
    with_variables(
        monkeypatch, KEY_ENCRYPTION_KEY_FILE=str(folder / "keys"), KEY_ENCRYPTION_KEYS_BEFORE="not read"
    )
    assert load_settings().wrapping_keys == (SecretStr(OTHER), SecretStr(SECRET))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the file of keys cannot be read: No such file or directory"),
        ("short\n", "must be 32 random bytes in base64url"),
        ("\n", None),
    ],
)
def test_a_bad_file_of_keys_is_said(
    monkeypatch: pytest.MonkeyPatch, folder: Path, content: str | None, reason: str | None
) -> None:
    if content is not None:
        (folder / "keys").write_text(content)
    with_secrets(monkeypatch)
    with_variables(monkeypatch, KEY_ENCRYPTION_KEY_FILE=str(folder / "keys"))
    said = refusal()
    assert said.startswith("CHANCERY_KEY_ENCRYPTION_KEY")
    assert said.endswith(f"Value error, {reason}" if reason else "`make up` generates it.")


def test_keys_of_before_follow_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, KEY_ENCRYPTION_KEYS_BEFORE=f"{SECRET}, {OTHER}")
    assert load_settings().wrapping_keys == (SecretStr(OTHER), SecretStr(SECRET), SecretStr(OTHER))


TLS = {f"INTERNAL_TLS_{name}": f"/{name.lower()}.pem" for name in ("CERTIFICATE", "KEY", "AUTHORITY")}


@pytest.mark.parametrize(
    "variables",
    [
        {"INTERNAL_TLS_KEY": "/key.pem"},
        {"INTERNAL_URL": "https://10.0.0.1:9000"},
        {**TLS, "INTERNAL_URL": "http://10.0.0.1:9000"},
    ],
)
def test_tls_between_processes_is_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, **variables)
    assert "CHANCERY_INTERNAL_" in refusal()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SMTP_USERNAME": "u"}, "belong together"),
        ({"SMTP_PASSWORD": "p"}, "belong together"),
        ({"SMTP_USERNAME": "u", "SMTP_PASSWORD": "p", "SMTP_TLS": "none"}, "would be readable on its way"),
        ({"SMTP_TLS": "opportunistic"}, "CHANCERY_SMTP_TLS: "),
        ({"LIMIT_CODE_MAILS": "30"}, "CHANCERY_LIMIT_NOTICE_MAILS must be more than"),
        ({"LIMIT_MAILS": "0"}, "CHANCERY_LIMIT_MAILS: "),
    ],
)
def test_mail_that_would_be_readable_or_could_be_silenced_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, **variables)
    assert said in refusal()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"KAFKA_TLS": "on", "KAFKA_USERNAME": "a"}, "CHANCERY_KAFKA_PASSWORD belong together"),
        ({"KAFKA_TLS": "on", "KAFKA_PASSWORD": "quiet"}, "CHANCERY_KAFKA_PASSWORD belong together"),
        ({"KAFKA_TLS": "on", "KAFKA_TLS_KEY": "a"}, "CHANCERY_KAFKA_TLS_KEY belong together"),
        ({"KAFKA_USERNAME": "a", "KAFKA_PASSWORD": "quiet"}, "set CHANCERY_KAFKA_TLS=on"),
        ({"KAFKA_TLS_AUTHORITY": "a"}, "set CHANCERY_KAFKA_TLS=on"),
        ({"KAFKA_TLS_CERTIFICATE": "a", "KAFKA_TLS_KEY": "a"}, "set CHANCERY_KAFKA_TLS=on"),
        (
            {"KAFKA_TLS": "on", "KAFKA_TLS_AUTHORITY": "/nowhere"},
            "CHANCERY_KAFKA_TLS_AUTHORITY cannot be used: No such",
        ),
        ({"KAFKA_TLS": "on", "KAFKA_TLS_AUTHORITY": __file__}, "CHANCERY_KAFKA_TLS_AUTHORITY cannot be used"),
        (
            {"KAFKA_TLS": "on", "KAFKA_TLS_CERTIFICATE": "/a", "KAFKA_TLS_KEY": "/b"},
            "CHANCERY_KAFKA_TLS_KEY cannot be",
        ),
        ({"KAFKA_BOOTSTRAP": "kafka"}, "host:port"),
        ({"KAFKA_BOOTSTRAP": "kafka:9092,"}, "host:port"),
        ({"RISK_GROUP": "chancery", "EVENTS_TOPIC": "chancery-events"}, "the risk worker's own"),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "CHANCERY_KAFKA_SASL_MECHANISM"),
    ],
)
def test_a_way_to_kafka_that_is_open_or_incomplete_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, **given)
    refused = refusal()
    assert said in refused
    assert "quiet" not in refused


def test_mail_goes_encrypted_unless_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, SMTP_USERNAME="u", SMTP_PASSWORD="hunter2")
    settings = load_settings()
    assert settings.smtp_tls == "starttls"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "forwards"),
    [
        ({}, True),
        ({"FORWARDING": "off"}, False),
        ({"MODE": "production"}, False),
        ({"MODE": "production", "INTERNAL_URL": "http://10.0.0.1:9000"}, True),
        ({"MODE": "production", "INTERNAL_URL": "https://10.0.0.1:9000", **TLS}, True),
    ],
)
def test_production_forwards_only_to_addresses_that_were_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, forwards: bool
) -> None:
    with_secrets(monkeypatch)
    with_variables(monkeypatch, **variables)
    assert load_settings().forwards is forwards
