"""Named SQL statements from the `.sql` file beside a module: each begins with a line `-- name: <name>`."""

import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_TABLE = re.compile(r"[a-z_]+(_v[1-9][0-9]*)?")


def load_statements(module_file: str) -> Mapping[str, str]:
    """The statements of the `.sql` file with the module's own name, by name. Give `__file__`."""
    text = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    named = dict(zip(parts[::2], (sql.strip() for sql in parts[1::2]), strict=True))
    assert len(named) * 2 == len(parts), "a name was used twice"
    return named


def of_table(statements: Mapping[str, str], name: str) -> Mapping[str, str]:
    """The statements with `{name}` put in: for tables that exist in versions. Never give what came from outside."""
    assert _TABLE.fullmatch(name)
    return {key: sql.replace("{name}", name) for key, sql in statements.items()}
