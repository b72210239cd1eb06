"""Makes `.venv` with everything pinned in requirements/, by the standard library alone.

Run as `python3 localstack/bootstrap.py runtime|dev`. Does nothing, quickly, when that was done before for the
same requirements; repairs what was interrupted. It must parse on old Pythons, to say which one is needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

NEEDED = (3, 11)
NEWER_NAMES = ("python3.13", "python3.12", "python3.11", "python3.14")
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "chancery-stamps"
UNFINISHED = VENV / "chancery-unfinished"
"""Here while something is being installed: after an interruption, all of it is installed anew."""

PINNED = ("--require-hashes", "--only-binary", ":all:")

CAUSES = {
    r"No space left on device|Disk quota exceeded": "The disk is full. Free about 1 GiB and run the same again.",
    r"DO NOT MATCH THE HASHES|Hash mismatch": (
        "A package is not the one that was pinned. Do not use this index; run the same again with another."
    ),
    r"(?i)dns error|name resolution|name or service not known|nodename nor servname|connection refused"
    r"|network is unreachable|timed out|error sending request|failed to establish|proxyerror|sslerror"
    r"|tunnel error": (
        "The package index could not be reached. The first run needs the network, or your own index through the "
        "usual variables of pip and uv; later runs need neither. Check the connection and run the same again."
    ),
    r"no wheels|no usable wheels|no compatible|only-binary|No matching distribution|from versions: none": (
        "A package has no wheel for this Python or platform. Use Python 3.11, 3.12 or 3.13 on Linux with glibc "
        "(x86-64, ARM) or on macOS; `make PYTHON=python3.12 up` chooses the Python."
    ),
    r"Permission denied|Read-only file system": (
        "This folder may not be written. Make it writable and run the same again."
    ),
}


class BootstrapError(Exception):
    """The environment cannot be made; the text says what to do."""


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in {"runtime", "dev"}:
        sys.exit("usage: python3 localstack/bootstrap.py runtime|dev")
    if sys.version_info < NEEDED:
        run_with_newer_python(arguments)
    try:
        ensure(arguments[0])
    except BootstrapError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(explain(str(error)))
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run the same again; it goes on from here.")


def run_with_newer_python(arguments: list[str]) -> None:
    """Go on under a newer Python from PATH, or say that one is needed."""
    for name in NEWER_NAMES:
        found = shutil.which(name)
        if found and run([found, "-c", "import ensurepip, venv"])[0] == 0:
            os.execv(found, [found, str(Path(__file__).resolve()), *arguments])  # noqa: S606 - found on PATH
    sys.exit(
        f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}. Install one, or name it: "
        "`make PYTHON=/path/to/python3.12 up`.",
    )


def ensure(wanted: str) -> None:
    """Make what is missing; one bootstrap per clone at a time."""
    if is_done(wanted):
        return
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not is_done(wanted):
            make(wanted)
    finally:
        os.close(descriptor)


def make(wanted: str) -> None:
    began = time.monotonic()
    if not is_venv_whole():
        make_venv()
    again = UNFINISHED.exists()
    UNFINISHED.touch()
    if not is_stamped("uv"):
        say("installing uv, the installer")
        install_with_pip("uv")
        stamp("uv")
    say(f"installing the pinned packages ({wanted})")
    install(wanted, ["--reinstall"] if again else [])
    write_entry_points()
    stamp(wanted)
    UNFINISHED.unlink()
    say(f"done in {time.monotonic() - began:.0f} s")


def make_venv() -> None:
    """Adopt a `.venv` that works, whoever made it; replace only one that is broken or for an old Python."""
    works = f"import pip, sys; sys.exit(sys.version_info < {NEEDED} or sys.prefix != {str(VENV)!r})"
    if PYTHON.exists() and not UNFINISHED.exists() and run([str(PYTHON), "-c", works])[0] == 0:
        stamp("venv")
        return
    say(f"making .venv with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    UNFINISHED.touch()
    code, output = run([sys.executable, "-m", "venv", str(VENV)])
    if code == 0 and (VENV / "bin" / "pip").exists():
        stamp("venv")
        UNFINISHED.unlink()
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if "ensurepip" in output or "No module named venv" in output:
        raise BootstrapError(
            f"{sys.executable} has no working `venv` module. On Debian and Ubuntu: `apt install python3-venv`; "
            "or name another Python: `make PYTHON=/path/to/python3.12 up`.",
        )
    raise BootstrapError(explain(output))


def install(wanted: str, extra: list[str]) -> None:
    """With uv, ten times as fast; with pip where uv fails, since pip may know an index that uv does not."""
    uv = str(VENV / "bin" / "uv")
    code, output = run(
        [
            *(uv, "pip", "install", "--compile-bytecode", "--python", str(PYTHON)),
            *(*PINNED, *extra, "-r", str(requirements(wanted))),
        ]
    )
    if code == 0:
        return
    if "No space left" in output:
        raise BootstrapError(explain(output))
    say("uv could not; trying pip")
    install_with_pip(wanted)


def install_with_pip(wanted: str) -> None:
    quiet = ("--disable-pip-version-check", "--no-input", "--retries", "2")
    code, output = run(
        [str(PYTHON), "-m", "pip", "install", *quiet, *PINNED, "-r", str(requirements(wanted))]
    )
    if code != 0:
        raise BootstrapError(explain(output))


def write_entry_points() -> None:
    """What an editable install would write, without needing a build tool."""
    code, output = run([str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    if code != 0:
        raise BootstrapError(explain(output))
    write(Path(output.strip().splitlines()[-1]) / "chancery.pth", f"{ROOT}\n")
    script = VENV / "bin" / "chancery"
    write(script, f'#!/bin/sh\nexec "{PYTHON}" -P -m cli.main "$@"\n')
    script.chmod(0o755)


def is_done(wanted: str) -> bool:
    """The development packages include those of the runtime."""
    enough = ("runtime", "dev") if wanted == "runtime" else ("dev",)
    return is_venv_whole() and any(is_stamped(name) for name in enough)


def is_venv_whole() -> bool:
    return is_stamped("venv") and os.access(PYTHON, os.X_OK)


def is_stamped(name: str) -> bool:
    try:
        return (STAMPS / name).read_text() == fingerprint(name)
    except OSError:
        return False


def stamp(name: str) -> None:
    STAMPS.mkdir(parents=True, exist_ok=True)
    write(STAMPS / name, fingerprint(name))


def fingerprint(name: str) -> str:
    """Changes with the requirements, this script, and the place of the clone, which .venv's scripts know."""
    content = hashlib.sha256(str(VENV).encode())
    for file in () if name == "venv" else (Path(__file__), requirements(name)):
        content.update(file.read_bytes())
    return content.hexdigest()


def requirements(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


def run(command: list[str]) -> tuple[int, str]:
    """Exit code and output, in an environment that cannot lead Python to other packages."""
    misleading = {"PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}
    environment = {name: value for name, value in os.environ.items() if name not in misleading}
    done = subprocess.run(  # noqa: S603 - our own command lines
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


def explain(output: str) -> str:
    """The end of what a tool said, and the most likely cause with what to do about it."""
    end = "".join(f"    {line}\n" for line in output.strip().splitlines()[-12:])
    for pattern, sentence in CAUSES.items():
        if re.search(pattern, output):
            return end + sentence
    return f"{end}Run the same again; if that does not help, delete .venv first."


def say(text: str) -> None:
    sys.stdout.write(f"chancery: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
