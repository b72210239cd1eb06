"""STYLE.md as tests: sizes, docstrings, tables that must be complete, imports that must stay light."""

import ast
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from command_api.answers import TABLE, refusal_answer
from domain import refusals
from domain.aggregates import AGGREGATES
from domain.refusals import Refusal
from events.codec import CATALOGUE
from events.streams import CATEGORIES

ROOT = Path(__file__).parent.parent.parent
PACKAGES = (
    "cli", "command_api", "domain", "events", "eventstore", "localstack", "projectors", "query_api",
    "readmodels", "replay", "runtime", "tests",
)  # fmt: skip
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 50
FORBIDDEN_WORDS = ("manager", "helper", "util", "misc", "common.py", "base.py", "impl")
REFUSALS = [
    value
    for value in vars(refusals).values()
    if isinstance(value, type) and issubclass(value, Refusal) and value is not Refusal
]


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(), ids=names)
def test_a_file_says_what_it_is_for_and_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no module docstring"
    assert len(text.splitlines()) <= MOST_LINES_OF_A_FILE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {lines} lines"


def test_every_category_of_streams_has_an_aggregate() -> None:
    assert set(AGGREGATES) == CATEGORIES


def test_no_name_says_nothing() -> None:
    assert not [path for path in sources() if any(word in path.name.lower() for word in FORBIDDEN_WORDS)]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda r: str(r.code))
def test_every_refusal_has_a_sentence_a_row_and_a_page(refusal: type[Refusal]) -> None:
    assert refusal().sentence.endswith(".")
    assert TABLE[refusal].status in range(400, 500)
    page = (ROOT / "docs" / "reference" / "errors.md").read_text()
    assert f"`{TABLE[refusal].code}`" in page
    assert f"`{refusal.code}`" in page


def test_refusals_have_codes_of_their_own() -> None:
    assert len({refusal.code for refusal in REFUSALS}) == len(REFUSALS) == len(TABLE)


def test_refusals_at_the_oauth_endpoints_speak_oauth() -> None:
    answer = refusal_answer(refusals.InvalidClient(), "/oauth/token")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="chancery"')


def test_every_fact_is_in_the_glossary() -> None:
    page = (ROOT / "docs" / "reference" / "events.md").read_text()
    assert not [name for name, _ in CATALOGUE if f"`{name}`" not in page]


def test_importing_the_inside_pulls_in_no_driver() -> None:
    code = "import domain.account, domain.aggregates, events.codec, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    drivers = {"aiokafka", "asyncpg", "redis", "fastapi", "starlette", "aiosmtplib", "uvicorn", "argon2"}
    assert not drivers & {name.partition(".")[0] for name in done.stdout.split()}


def test_no_test_mocks_or_skips() -> None:
    words = (
        "unittest" + ".mock",
        "Magic" + "Mock",
        "monkeypatch." + "setattr",
        "pytest." + "skip",
        "mark." + "skip",
        "x" + "fail",
    )
    for path in (ROOT / "tests").rglob("*.py"):
        assert not [word for word in words if word in path.read_text()], path


def test_no_requirement_names_an_index_and_all_are_hashed() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        pins = [line for line in text.splitlines() if "==" in line]
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)


def test_no_two_packages_bring_the_same_file() -> None:
    """Which of them wins would depend on the order of their installation."""
    brought_by: dict[str, set[str]] = {}
    for package in distributions():
        for file in package.files or ():
            if file.suffix == ".py":
                brought_by.setdefault(str(file), set()).add(package.name)
    assert not {file: names for file, names in brought_by.items() if len(names) > 1}
