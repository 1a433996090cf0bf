"""make bench: what is measured, against a peer in the same run, with the goal beside it."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import tests.bench


def main(names: list[str]) -> None:
    """Run all benchmarks, or those named: each module here has a function run()."""
    modules = sorted(
        module.name
        for module in pkgutil.iter_modules(tests.bench.__path__)
        if not module.name.startswith("_") and module.name != "figures"
    )
    unknown = set(names) - set(modules)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(modules)}")
    print(f"{'what':58} {'value':>12}  {'goal':<12}")
    missed = 0
    for name in names or modules:
        for figure in importlib.import_module(f"tests.bench.{name}").run():
            print(figure.line(), flush=True)
            missed += figure.reached is False
    print(f"{missed} goals missed" if missed else "all goals reached")


if __name__ == "__main__":
    main(sys.argv[1:])
