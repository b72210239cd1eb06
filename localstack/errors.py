"""The one error of the local stack: a sentence for a person, saying what to do."""

from pathlib import Path

TAIL_LINES = 15


class StackError(Exception):
    """The local stack cannot do what was asked; the text says why and what to change."""


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented; a missing log is an empty one."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    last = text.splitlines()[-lines:] or ["(empty)"]
    return "\n".join(f"    {line}" for line in last)
