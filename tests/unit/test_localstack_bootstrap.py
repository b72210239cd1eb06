"""The bootstrap's sentences, and that it can be read by a Python too old to run the rest."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from localstack import bootstrap

OLD_PYTHON = (3, 8)


def test_it_parses_on_an_old_python() -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=OLD_PYTHON)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        (
            "Failed to establish a new connection\nNo matching distribution found",
            "index could not be reached",
        ),
        ("error: client error (Connect): dns error: failed to lookup", "index could not be reached"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "not the one that was pinned"),
        ("no wheels with a matching platform tag", "no wheel for this Python"),
        ("mkdir: Permission denied", "Make it writable"),
        ("something else", "delete .venv first"),
    ],
)
def test_every_usual_cause_has_a_sentence_that_says_what_to_do(output: str, sentence: str) -> None:
    explanation = bootstrap.explain(output)
    assert output.splitlines()[-1] in explanation
    assert sentence in explanation


def test_a_stamp_counts_only_for_the_requirements_it_was_written_for(tmp_path: Path) -> None:
    cloned = clone(tmp_path)
    pinned = tmp_path / "requirements" / "runtime.txt"
    pinned.write_text("one==1\n")
    assert not cloned.is_stamped("runtime")
    cloned.stamp("runtime")
    assert cloned.is_stamped("runtime")
    pinned.write_text("one==2\n")
    assert not cloned.is_stamped("runtime")


def clone(folder: Path) -> ModuleType:
    """The bootstrap as it would run in another clone."""
    (folder / "localstack").mkdir()
    (folder / "requirements").mkdir()
    copied = folder / "localstack" / "bootstrap.py"
    copied.write_text(Path(bootstrap.__file__).read_text())
    spec = importlib.util.spec_from_file_location("cloned_bootstrap", copied)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
