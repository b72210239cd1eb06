"""The published histories in `tests/golden/histories`, and the models under which they were judged."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.linearizability import Model, Operation

FOLDER = Path(__file__).parent.parent / "golden" / "histories"
ETCD_LINE = re.compile(r"INFO\s+jepsen\.util - (\d+)\s+:(\w+)\s+:(\w+)\s+(.*)")
KV_LINE = re.compile(r'\{:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (?:"(.*)"|nil)\}')


def etcd_history(number: str) -> list[Operation]:
    """A register under read, write and compare-and-set; writes and sets that timed out have no return."""
    lines = (FOLDER / "etcd" / f"{number}.log").read_text().splitlines()
    matches = [match.groups() for line in lines if (match := ETCD_LINE.match(line))]
    return _paired((client, kind, (verb, text), text) for client, kind, verb, text in matches)


def kv_history(name: str) -> list[Operation]:
    """A map under get, put and append."""
    lines = (FOLDER / "kv" / f"{name}.txt").read_text().splitlines()
    matches = [match.groups() for line in lines if (match := KV_LINE.match(line))]
    return _paired((client, kind, (verb, key, value), value) for client, kind, verb, key, value in matches)


def _paired(lines: Iterable[tuple[str, str, Any, Any]]) -> list[Operation]:
    """The place of a line in the file is its time."""
    called: dict[str, tuple[Any, int]] = {}
    history = []
    for time, (client, kind, asked, text) in enumerate(lines):
        if kind == "invoke":
            called[client] = (asked, time)
        elif kind == "info" or text == ":timed-out":
            before, since = called.pop(client)
            history.append(Operation(client=client, asked=before, answer=None, invoked=since, returned=None))
        else:
            before, since = called.pop(client)
            history.append(
                Operation(client=client, asked=before, answer=(kind, text), invoked=since, returned=time)
            )
    history.extend(
        Operation(client=client, asked=asked, answer=None, invoked=since, returned=None)
        for client, (asked, since) in called.items()
    )
    return history


def _register(state: str, operation: Operation) -> tuple[str, ...]:
    verb, argument = operation.asked
    kind, text = operation.answer or (None, None)
    match verb:
        case "read":
            return (state,) if kind is None or text == state else ()
        case "write":
            return (argument,)
        case _:
            expected, wanted = argument.strip("[]").split()
            if kind is None:
                return (wanted,) if state == expected else ()
            if (kind == "ok") != (state == expected):
                return ()
            return (wanted if kind == "ok" else state,)


def _text(state: str, operation: Operation) -> tuple[str, ...]:
    verb, _, value = operation.asked
    match verb:
        case "get":
            return (state,) if operation.answer is None or operation.answer[1] == state else ()
        case "put":
            return (value,)
        case _:
            return (state + value,)


REGISTER = Model(initial="nil", step=_register)
TEXTS = Model(initial="", step=_text, part_of=lambda operation: operation.asked[1])
