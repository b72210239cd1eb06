"""Named SQL statements from the `.sql` file beside a module: each begins with a line `-- name: <name>`."""

import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(module_file: str) -> Mapping[str, str]:
    """The statements of the `.sql` file with the module's own name, by name. Give `__file__`."""
    text = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    named = dict(zip(parts[::2], (sql.strip() for sql in parts[1::2]), strict=True))
    assert len(named) * 2 == len(parts), "a name was used twice"
    return named
