"""Kafka's jars: fetched once from Maven Central by jgo, checked against pinned hashes, shared by all clones.

`kafka_jars.txt` pins every jar like a requirements file. After a change of `KAFKA` run
`python -m localstack.jars > kafka_jars.new` and put that in its place.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from localstack.errors import StackError

KAFKA = "org.apache.kafka:kafka_2.13:4.1.1"
FOLDER = f"kafka-{KAFKA.rpartition(':')[2]}"
"""Clones with another version have another one, so that they do not take it from one another."""
LOGGING = "org.slf4j:slf4j-simple:1.7.36"
"""Kafka logs through slf4j, which is silent without one of these."""

PARALLEL_DOWNLOADS = 6
DOWNLOAD_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Pin:
    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        _, artifact, version, *classifier = self.coordinate.split(":")
        return "-".join((artifact, version, *classifier)) + ".jar"


@dataclass(frozen=True, slots=True)
class Jars:
    """The jars in one folder, which exists whole or not at all."""

    folder: Path

    @classmethod
    def of(cls, home: Path, environment: Mapping[str, str]) -> Self:
        """In the user's cache, so that other clones need no network; in `home` where that is not writable."""
        base = environment.get("XDG_CACHE_HOME") or str(
            Path(environment.get("HOME", "~")).expanduser() / ".cache"
        )
        cache = Path(base) / "chancery"
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError:
            return cls(home / "cache" / FOLDER)
        is_usable = os.access(cache, os.W_OK) or (cache / FOLDER).exists()
        return cls((cache if is_usable else home / "cache") / FOLDER)

    @property
    def class_path(self) -> str:
        return f"{self.folder}/*"

    def ensure(self, report: Callable[[str], None]) -> None:
        """Fetch the jars unless they are all here."""
        pins = load_pins()
        if {file.name for file in self.folder.glob("*.jar")} == {pin.file_name for pin in pins}:
            return
        report("fetching Kafka's jars, 43 MB, only this once")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=self.folder.parent) as draft:
            whole = Path(draft) / "jars"
            whole.mkdir()
            fetch(pins, Path(draft) / "maven", whole)
            shutil.rmtree(self.folder, ignore_errors=True)
            try:
                whole.rename(self.folder)
            except OSError:
                if not self.folder.exists():
                    raise


def load_pins() -> list[Pin]:
    text = (Path(__file__).parent / "kafka_jars.txt").read_text()
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return [Pin(coordinate, sha256.removeprefix("sha256:")) for coordinate, sha256 in lines]


def fetch(pins: list[Pin], maven: Path, target: Path) -> None:
    """Put every pinned jar into `target`, from the repository folder `maven` or from Maven Central through it."""
    context = _maven(maven)

    def fetch_one(pin: Pin) -> None:
        group, artifact, version, *classifier = pin.coordinate.split(":")
        component = context.project(group, artifact).at_version(version)
        found = Path(component.artifact(*classifier).resolve())
        actual = _sha256(found)
        if actual != pin.sha256:
            raise StackError(
                f"{pin.coordinate} came with the SHA-256 {actual}, not the pinned {pin.sha256}. Do not use this network."
            )
        shutil.move(found, target / pin.file_name)

    try:
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            for _ in pool.map(fetch_one, pins):
                pass
    except StackError:
        raise
    except Exception as error:
        raise StackError(
            f"Kafka's jars could not be fetched from Maven Central ({type(error).__name__}: {error}). "
            "The first start needs the network; later ones do not.",
        ) from error


def _maven(repository: Path) -> Any:
    from jgo.maven import MavenContext  # noqa: PLC0415 - half a second of imports, needed once per machine

    return MavenContext(repo_cache=repository, timeout=DOWNLOAD_SECONDS)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _resolve_pins() -> list[Pin]:
    """What Kafka needs today, by asking Maven Central."""
    from jgo.parse import Coordinate  # noqa: PLC0415 - see _maven

    with tempfile.TemporaryDirectory() as draft:
        context = _maven(Path(draft))
        wanted = []
        for text in (KAFKA, LOGGING):
            coordinate = Coordinate.parse(text)
            coordinate.scope = "compile"
            wanted.append(context.create_dependency(coordinate))
        named, others = context.resolver.resolve(wanted)
        artifacts = [one.artifact for one in (*named, *others) if one.scope in ("compile", "runtime")]
        pins = []
        for one in artifacts:
            parts = (one.groupId, one.artifactId, one.version, one.classifier)
            pins.append(Pin(":".join(part for part in parts if part), _sha256(Path(one.resolve()))))
        return sorted(pins, key=lambda pin: pin.coordinate)


if __name__ == "__main__":
    print("# Kafka and what it needs, as `python -m localstack.jars` resolved it.")  # noqa: T201 - its purpose
    for resolved in _resolve_pins():
        print(f"{resolved.coordinate} sha256:{resolved.sha256}")  # noqa: T201 - its purpose
