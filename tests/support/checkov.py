"""checkov, a linter of Kubernetes objects, in a virtual environment of its own: it wants other versions of packages than we do."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from tests.support.containers import ROOT
from tests.support.kubernetes import rendered

REQUIREMENTS = ROOT / "requirements" / "checkov.txt"
FOLDER = ROOT / "build" / "checkov"
Complaint = tuple[str, str]
"""The rule's id, and `Kind.name` of the object."""


def complaints(overlay: str, folder: Path) -> set[Complaint]:
    """All that its rules for Kubernetes find in an overlay. It asks no network."""
    file = folder / f"{overlay}.yaml"
    file.write_text(rendered(overlay))
    done = subprocess.run(
        [
            *(_program(), "--file", file, "--framework", "kubernetes"),
            *("--output", "json", "--compact", "--quiet", "--skip-download", "--soft-fail"),
        ],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 0
    failed = found["results"]["failed_checks"]
    return {(one["check_id"], one["resource"].replace(".chancery.", ".")) for one in failed}


def _program() -> Path:
    """Installed once, and anew when other versions are pinned."""
    program, stamp = FOLDER / "bin" / "checkov", FOLDER / "pinned"
    pinned = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != pinned:
        uv = Path(sys.executable).parent / "uv"
        _run(uv, "venv", "--clear", "--python", sys.executable, FOLDER)
        _run(uv, "pip", "install", "--python", FOLDER, "--require-hashes", "--requirements", REQUIREMENTS)
        stamp.write_text(pinned)
    return program


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
