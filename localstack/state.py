"""What the supervisor says about itself: `<home>/state.json`, and the lock that proves that it lives."""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from localstack.ports import Ports
from localstack.settings_files import PRIVATE, write_private

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]
Selection = Literal["all", "infra"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    pid: int | None
    born: str | None
    """Tells this process from a later one with the same pid."""
    ready: bool
    doing: str
    ready_after_seconds: float | None
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    supervisor_pid: int
    started_at: datetime
    phase: Phase
    selection: Selection
    ports: Ports
    settings: Mapping[str, str]
    """The CHANCERY_… settings that Chancery's processes run with, as far as the stack decides them."""
    failure: str | None = None
    processes: Mapping[str, ProcessState] = field(default_factory=dict)


def save(home: Path, state: StackState) -> None:
    write_private(home / "state.json", msgspec.json.encode(state).decode())


def load(home: Path) -> StackState | None:
    """The last state written here, by a living supervisor or a dead one."""
    try:
        return msgspec.json.decode((home / "state.json").read_bytes(), type=StackState)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def take_lock(home: Path) -> int | None:
    """Lock this home for the life of the process; None when another supervisor has it."""
    descriptor = os.open(home / "lock", os.O_CREAT | os.O_RDWR, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def running_pid(home: Path) -> int | None:
    """The pid of the living supervisor of this home."""
    try:
        descriptor = os.open(home / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode().strip()
        return int(text) if text else None
    finally:
        os.close(descriptor)
    return None
