"""Checks values.yaml against a chart of JupyterHub: `python classroom/check_values.py CHART`.

CHART is the chart's folder: what `helm pull jupyterhub/jupyterhub --untar` makes, or jupyterhub/ in a
clone of jupyterhub/zero-to-jupyterhub-k8s. As Helm does, the values are laid over the chart's own, and
all of it is held against the chart's schema, which knows every name and refuses others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

VALUES = Path(__file__).resolve().with_name("values.yaml")


def laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return two trees of values as one; what both have is *over*'s."""
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        deeper = isinstance(value, Mapping) and isinstance(below, Mapping)
        both[key] = laid_over(below, value) if deeper else value  # type: ignore[arg-type]
    return both


def faults(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in sentences, what a schema finds wrong."""
    for fault in jsonschema.Draft7Validator(schema).iter_errors(values):
        place = ".".join(map(str, fault.absolute_path)) or "values.yaml"
        yield f"{place}: {fault.message}"


def leaves(values: Mapping[str, Any]) -> int:
    """Return how many values there are."""
    return sum(leaves(v) if isinstance(v, Mapping) else 1 for v in values.values())


def read(path: Path) -> dict[str, Any]:
    """Return what a file of YAML or JSON holds."""
    text = path.read_text(encoding="utf-8")
    found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    return dict(found)


def main(arguments: Sequence[str]) -> int:
    """Check; return the exit status."""
    parser = argparse.ArgumentParser(prog="check_values.py", description=__doc__)
    parser.add_argument("chart", type=Path)
    parser.add_argument("--values", type=Path, default=VALUES, help="(default: values.yaml here)")
    options = parser.parse_args(arguments)
    known = [options.chart / f"values.schema.{kind}" for kind in ("json", "yaml")]
    schema = next((path for path in known if path.exists()), None)
    if schema is None:
        print(
            f"expected a chart with a schema of its values; {options.chart} has none",
            file=sys.stderr,
        )
        return 2
    ours = read(options.values)
    found = list(faults(read(schema), laid_over(read(options.chart / "values.yaml"), ours)))
    for sentence in found:
        print(sentence, file=sys.stderr)
    version = read(options.chart / "Chart.yaml")["appVersion"]
    print(f"{leaves(ours)} values, chart for JupyterHub {version}: {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
