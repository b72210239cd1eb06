"""Logs as a process writes them: run in a process of its own, because logging is set once for each."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
BEGIN = """
import logging, sys
from runtime.logs import configure_logs, get_logger
configure_logs(process="test", log_format=sys.argv[1], level=sys.argv[2])
log = get_logger("here")
"""


def written(code: str, log_format: str = "json", level: str = "info") -> str:
    """What a process with this code writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, log_format, level],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout == ""
    return done.stderr


def lines(code: str, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(code, "json", level).splitlines()]


def test_a_line_is_one_json_object_with_its_time_level_and_process() -> None:
    (line,) = lines('log.info("began", part="kafka", count=3)')
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "began", "level": "info", "process": "test", "part": "kafka", "count": 3}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_only_lines_of_the_level_and_above_are_written(level: str, expected: list[str]) -> None:
    code = "for name in ('debug', 'info', 'warning', 'error'): getattr(log, name)('x')"
    assert [line["level"] for line in lines(code, level)] == expected


def test_libraries_write_in_the_same_form_and_the_noisy_ones_less() -> None:
    code = """
logging.getLogger("some.library").warning("tried %s times", 3, extra={"host": "a"})
logging.getLogger("aiokafka").warning("noise")
logging.getLogger("uvicorn.error").info("noise")
logging.getLogger("aiokafka.client").error("real")
"""
    events = [(line["event"], line["level"], line.get("host")) for line in lines(code)]
    assert events == [("tried 3 times", "warning", "a"), ("real", "error", None)]


def test_an_exception_is_part_of_its_line() -> None:
    code = """
try:
    raise ValueError("a\\nb")
except ValueError as error:
    log.error("a bug", exc_info=error)
"""
    (line,) = lines(code)
    assert "Traceback" in line["exception"]
    assert line["exception"].endswith("ValueError: a\nb")


def test_abuse_l9_values_cannot_begin_a_line_or_break_one() -> None:
    evil = 'a\\n{"event": "forged"}\\r\\x1b[2J\\u2028'
    (line,) = lines(f"log.info('x', value='{evil}')")
    assert line["value"] == 'a\n{"event": "forged"}\r\x1b[2J\u2028'


def test_odd_values_are_written_somehow_and_never_raise() -> None:
    code = """
class Odd:
    def __repr__(self): return "<odd>"
log.info("x", odd=Odd(), raw=b"\\xff", many={1, 1}, lone="\\ud800", nan=float("nan"), deep={"a": [Odd()]})
log.info("100% sure %s %d")
log.info("next")
"""
    events = lines(code)
    assert [line["event"] for line in events] == ["x", "100% sure %s %d", "next"]
    assert (events[0]["odd"], events[0]["deep"], events[0]["lone"]) == ("<odd>", {"a": ["<odd>"]}, "\ud800")


def test_a_console_gets_readable_lines_without_colours_where_there_is_no_terminal() -> None:
    code = 'log.warning("began", part="kafka")\ntry: 1 / 0\nexcept ZeroDivisionError: log.exception("a bug")'
    text = written(code, "console")
    first = text.splitlines()[0]
    assert [word for word in ("warning", "began", "part=kafka", "process=test") if word not in first] == []
    assert "ZeroDivisionError: division by zero" in text
    assert "\x1b" not in text


def test_a_line_that_cannot_be_written_is_lost_and_harms_nobody() -> None:
    code = """
import os
full = open("/dev/full", "w")
sys.stderr = full
configure_logs(process="test", log_format=sys.argv[1], level=sys.argv[2])
log = get_logger("there")
log.info("lost")
full.close = lambda: None
full.close()
log.info("lost too")
os._exit(0)
"""
    assert written(code) == ""
