"""The pages of settings: made from the class, never stale, and every name that the repository reads is on them."""

import subprocess
from pathlib import Path

import pytest

from runtime.factor_settings import FactorSettings
from runtime.known_variables import OUTSIDE
from runtime.limit_settings import LimitSettings
from runtime.settings import Settings
from runtime.settings_reference import CHECKOUT, TOPICS, filled, tables, write

INVENTED = {"CHANCERY_A", "CHANCERY_B", "CHANCERY_QUERY_SERVICE_HOST", "CHANCERY_SIGNUPS"}
"""Of tests, and of the page that says what Kubernetes does."""


@pytest.mark.parametrize("path", tables(), ids=str)
def test_no_page_is_stale(path: Path) -> None:
    """If this fails: `python -m runtime.settings_reference`."""
    page = (CHECKOUT / path).read_text()
    assert filled(page, tables()[path]) == page


def test_a_stale_page_is_written_anew_and_what_stands_around_stays(tmp_path: Path) -> None:
    for path in tables():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        text = (CHECKOUT / path).read_text()
        (tmp_path / path).write_text(f"before\n{text.replace('| `CHANCERY_', '| `OLD_')}after\n")
    assert write(tmp_path) == list(tables())
    for path in tables():
        assert (tmp_path / path).read_text() == f"before\n{(CHECKOUT / path).read_text()}after\n"
    assert write(tmp_path) == []


def test_a_page_without_a_mark_is_not_written() -> None:
    with pytest.raises(ValueError, match="the page has no marks of settings"):
        filled("# Configuration\n", {"settings": "x"})


def test_every_setting_has_one_row_with_its_default_range_and_effect() -> None:
    (_, settings), (_, limits) = tables().items()
    rows = [line for text in (settings["settings"], limits["limits"]) for line in text.splitlines()]
    names = [line.split("`")[1] for line in rows if line.startswith("| `")]
    assert sorted(names) == sorted(f"CHANCERY_{name.upper()}" for name in Settings.model_fields)
    assert not [
        line for line in rows if line.startswith("| `") and "" in [c.strip() for c in line.split("|")[1:5]]
    ]


@pytest.mark.parametrize(
    "row",
    [
        "| `CHANCERY_PARTITIONS` | `8` | 1 to 1024 | Partitions of all three topics; fixed when the log is made |",
        "| `CHANCERY_SMTP_TLS_AUTHORITY` | empty | text | File (PEM) of",
        "| `CHANCERY_SECRET_KEY` | required | text | 32 random bytes",
        "| `CHANCERY_KEY_ENCRYPTION_KEY` | required | text | 32 random bytes",
        "| `CHANCERY_TRUSTED_PROXIES` | empty | networks |",
        "| `CHANCERY_COMMAND_DEADLINE_SECONDS` | `2.0` | more than 0 |",
        "| `CHANCERY_SIGNUP` | `verify` | `verify`, `open` |",
        "| `CHANCERY_LIMIT_ADDRESS_SIGN_UPS` | `1200/60` | rate | `POST /v1/accounts` from one prefix | 429 |",
    ],
)
def test_rows_are_as_people_read_them(row: str) -> None:
    assert row in "\n".join(text for parts in tables().values() for text in parts.values())


def test_topics_begin_at_fields_that_are_there() -> None:
    factors = FactorSettings.model_fields
    own = [name for name in Settings.model_fields if name not in {*LimitSettings.model_fields, *factors}]
    fields = [*own, *factors]
    assert fields[0] == next(iter(TOPICS))
    assert [name for name in fields if name in TOPICS] == list(TOPICS)


def names_in(*places: str) -> set[str]:
    command = ["git", "grep", "-hoE", r"CHANCERY_[A-Z0-9_]+[A-Z0-9]\b", "--", *places]
    return set(
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout.split()
    )


def test_every_name_that_the_repository_reads_is_known_and_no_other() -> None:
    """A process that inherits another one would not start."""
    settings = {f"CHANCERY_{name.upper()}" for name in Settings.model_fields}
    named = names_in(".", ":!tests/unit/test_settings*", ":!tests/unit/test_known_variables.py")
    beginnings = {name for name in named if any(one.startswith(f"{name}_") for one in settings)}
    assert named - settings - OUTSIDE.keys() - beginnings - INVENTED == set()
    read = names_in(".", ":!runtime/known_variables.py", f":!{next(iter(tables()))}")
    assert OUTSIDE.keys() - read <= {"CHANCERY_IMAGE"}
    assert settings & {*OUTSIDE} == set()
