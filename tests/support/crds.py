"""Schemas of the operators' own kinds, reduced to what our objects use: a field that is not in them is refused.

`python -m tests.support.crds CRD.yaml…` makes tests/golden/crds anew from the operators' whole definitions, after
k8s/overlays/production was changed. Where these are from: tests/golden/crds/README.md.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.kubernetes import render

FOLDER = Path(__file__).parent.parent / "golden" / "crds"
RULES = (
    "type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "required",
)  # fmt: skip
Schema = Mapping[str, Any]


def reduced(schema: Schema, values: Sequence[Any]) -> dict[str, Any]:
    """The rules for what `values` hold, with everything else forbidden."""
    kept = {name: schema[name] for name in RULES if name in schema}
    if schema.get("x-kubernetes-int-or-string"):
        return {**kept, "type": ["integer", "string"]}
    if "properties" in schema:
        used = sorted({name for value in values if isinstance(value, dict) for name in value})
        children = {name: [value[name] for value in values if name in value] for name in used}
        known = {name: found for name, found in children.items() if name in schema["properties"]}
        kept["properties"] = {
            name: reduced(schema["properties"][name], found) for name, found in known.items()
        }
        kept["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        inner = [one for value in values if isinstance(value, dict) for one in value.values()]
        kept["additionalProperties"] = reduced(schema["additionalProperties"], inner)
    elif "items" in schema:
        inner = [one for value in values if isinstance(value, list) for one in value]
        kept["items"] = reduced(schema["items"], inner)
    return kept


def schema_file(api_version: str, kind: str) -> Path:
    return FOLDER / f"{kind}.{api_version.replace('/', '.')}.json"


def write(definitions: Iterable[Path]) -> None:
    objects = render("production")
    for path in definitions:
        definition = yaml.safe_load(path.read_text())["spec"]
        for version in definition["versions"]:
            api_version, kind = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
            found = [one for one in objects if (one["apiVersion"], one["kind"]) == (api_version, kind)]
            if found:
                whole = version["schema"]["openAPIV3Schema"]
                standard = {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                }
                schema = reduced({**whole, "properties": {**whole["properties"], **standard}}, found)
                schema_file(api_version, kind).write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    write(map(Path, sys.argv[1:]))
