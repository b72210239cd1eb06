"""Runs one measurement on stores of its own, and prints what it found, in the end as one JSON object if wanted."""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from runtime.collector import collect_seldom

Measure = Callable[[StackInfo, int], Awaitable[dict[str, float]]]


def run_alone(measure: Measure, *, description: str | None, events: int) -> None:
    """`events` is how many there are unless the command line says otherwise."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--events", type=int, default=events)
    arguments = parser.parse_args()
    collect_seldom()

    async def work(stack: StackInfo) -> dict[str, float]:
        return await measure(stack, arguments.events)

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {**os.environ, **free_port_variables()}
        stack = start_stack(home, environment, selection="infra", lifetime="caller")
        try:
            found = asyncio.run(work(stack))
        finally:
            stop_stack(home)
    found["load"] = round(os.getloadavg()[0], 2)
    print(json.dumps(found) if arguments.json else found)
