"""`python -m runtime.settings_reference`: writes the tables of `docs/reference/{configuration,limits}.md`.

Each row is made from a field of the settings: its name, default, range, and the docstring below it. What stands
outside the marks in those pages is written by hand and stays.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from runtime.factor_settings import FactorSettings
from runtime.known_variables import OUTSIDE, PREFIX
from runtime.limit_settings import LimitSettings
from runtime.rates import Rate
from runtime.settings import NetworksSetting, Settings

CHECKOUT = Path(__file__).parent.parent
TOPICS: Mapping[str, str] = {
    "mode": "The process",
    "kafka_bootstrap": "Kafka",
    "postgres_dsn": "PostgreSQL and Valkey",
    "smtp_host": "Mail",
    "bind_host": "Where processes listen",
    "command_url": "Where processes find one another",
    "issuer": "Tokens",
    "secret_key": "Secrets",
    "signup": "Accounts, sessions and keys",
    "risk_group": "Risk",
    "email_undo_seconds": "Accounts that change or close",
    "password_hash_threads": "Work and waiting",
    "second_factor_seconds": "Second factors",
}
"""The first field of each topic. All that follow it in the class belong to it, up to the next one."""
ONE_TOO_MANY = " One too many: "
_BEGIN, _END = "<!-- {name}: made by `python -m runtime.settings_reference` -->", "<!-- end of {name} -->"
_HEAD = "| variable | default | range | effect |\n|---|---|---|---|"
_HEAD_OF_LIMITS = "| variable | default | range | what it bounds | one too many |\n|---|---|---|---|---|"
_NAMES = {int: "whole number", float: "seconds", str: "text", SecretStr: "text", Rate: "rate"}
_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


def tables() -> dict[Path, dict[str, str]]:
    """What stands between the marks of each page, by the marks' name."""
    reference = Path("docs/reference")
    return {
        reference / "configuration.md": {"settings": _settings(), "other names": _others()},
        reference / "limits.md": {"limits": _limits()},
    }


def filled(page: str, parts: Mapping[str, str]) -> str:
    """The page with these texts between its marks. ValueError if it lacks a mark."""
    for name, text in parts.items():
        begin, end = _BEGIN.format(name=name), _END.format(name=name)
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page has no marks of {name}: {begin} and {end}")
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def write(checkout: Path) -> list[Path]:
    """Fill all pages; those that changed."""
    changed = []
    for path, parts in tables().items():
        page = (checkout / path).read_text()
        if (made := filled(page, parts)) != page:
            (checkout / path).write_text(made)
            changed.append(path)
    return changed


def _settings() -> str:
    lines: list[str] = []
    own = {k: v for k, v in Settings.model_fields.items() if k not in FactorSettings.model_fields}
    for name, field in {**own, **FactorSettings.model_fields}.items():
        if name in LimitSettings.model_fields:
            continue
        if name in TOPICS:
            lines += ["", f"### {TOPICS[name]}", _HEAD]
        lines.append(
            _row(f"`{PREFIX}{name.upper()}`", _default(field), _range(field), field.description or "")
        )
    return "\n".join(lines[1:])


def _limits() -> str:
    lines = [_HEAD_OF_LIMITS]
    for name, field in LimitSettings.model_fields.items():
        bounds, _, answer = (field.description or "").partition(ONE_TOO_MANY)
        lines.append(_row(f"`{PREFIX}{name.upper()}`", _default(field), _range(field), bounds, answer))
    return "\n".join(lines)


def _others() -> str:
    lines = ["| variable | who reads it, and what for |", "|---|---|"]
    lines += [_row(f"`{name}`", meaning) for name, meaning in OUTSIDE.items()]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.removesuffix('.').replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.validate_default:
        return "required"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "empty" if value in ("", ()) else f"`{value}`"


def _range(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    bounds = {
        name: getattr(one, name)
        for one in field.metadata
        for name in _BOUNDS
        if getattr(one, name, None) is not None
    }
    if bounds.keys() == {"ge", "le"}:
        return f"{bounds['ge']} to {bounds['le']}"
    if bounds:
        return " and ".join(_BOUNDS[name].format(bound) for name, bound in bounds.items())
    if field.annotation == get_args(NetworksSetting)[0]:
        return "networks"
    assert isinstance(field.annotation, type)
    return _NAMES[field.annotation]


if __name__ == "__main__":
    write(CHECKOUT)
