"""Print several log files as one, each line with the name of its file, and wait for more if wanted."""

import time
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

Patience = Literal["once", "ever"]

PAUSE_SECONDS = 0.2
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


class LogReader:
    """Whole new lines of one growing file, which may yet be missing or be replaced by a shorter one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0

    def new_lines(self) -> list[str]:
        try:
            with self._file.open("rb") as stream:
                if stream.seek(0, 2) < self._position:
                    self._position = 0
                stream.seek(self._position)
                whole = stream.read().rpartition(b"\n")[0]
        except FileNotFoundError:
            return []
        if not whole:
            return []
        self._position += len(whole) + 1
        return whole.decode(errors="replace").split("\n")


def show(console: Console, files: list[Path], patience: Patience) -> None:
    readers = {file.stem: LogReader(file) for file in files}
    width = max((len(name) for name in readers), default=0)
    while True:
        for index, (name, reader) in enumerate(readers.items()):
            for line in reader.new_lines():
                prefix = Text(f"{name:<{width}} ", style=COLOURS[index % len(COLOURS)])
                console.print(prefix + Text(line), soft_wrap=True)
        if patience == "once":
            return
        time.sleep(PAUSE_SECONDS)
