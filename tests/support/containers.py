"""What docker-compose.yml, the Dockerfile and .dockerignore say, as the programs that act on them understand it."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = Path(sys.executable).parent
ONE_BROKER = ("docker-compose.yml",)
THREE_BROKERS = ("docker-compose.yml", "docker-compose.cluster.yml")
OURS = "localhost/chancery:local"
EXACT_TAG = re.compile(r":v?\d+\.\d+(\.\d+)?(-[\w.-]+)?$")


def compose(files: tuple[str, ...], *profiles: str, image: str = "") -> dict[str, Any]:
    """The whole model of these files, with everything put in, as `docker compose` would carry it out."""
    names = [word for file in files for word in ("-f", file)]
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    done = subprocess.run(
        [str(PROGRAMS / "docker-compose"), *names, *chosen, "config", "--format", "json"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "CHANCERY_IMAGE": image},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    model: dict[str, Any] = json.loads(done.stdout)
    return model


def ours(model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run Chancery's image."""
    return {name: one for name, one in model["services"].items() if one["image"] == OURS}


def copied() -> set[str]:
    """What the Dockerfile takes from the builder's folder."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:] for line in lines if line.startswith("COPY ")]
    return {source for words in copies if not words[0].startswith("--from") for source in words[:-1]}


def let_through() -> set[str]:
    """What .dockerignore lets through, all of it by name."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def shipped_packages() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """By package of requirements/<name>.txt: version and marker, and the hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(_pins(re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)))


def _pins(blocks: list[str]) -> Iterator[tuple[str, tuple[str, frozenset[str]]]]:
    for block in blocks:
        head = block.splitlines()[0] if block else ""
        if "==" in head:
            name, _, version = head.rstrip(" \\").partition("==")
            marker = version.partition(";")[2]
            yield name + marker, (version, frozenset(re.findall(r"sha256:[0-9a-f]{64}", block)))
