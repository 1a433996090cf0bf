"""Each benchmark can be started: a name that moved is found here and not before a release."""

import importlib
import pkgutil

import pytest

from tests import bench

NAMES = [module.name for module in pkgutil.iter_modules(bench.__path__)]
BENCHES = [name for name in NAMES if name not in ("__main__", "figures")]


@pytest.mark.parametrize("name", BENCHES)
def test_a_benchmark_has_all_that_it_imports(name):
    assert callable(importlib.import_module(f"tests.bench.{name}").run)


def test_there_is_one_for_what_people_wait_for():
    assert {"attack", "stepper"} <= set(BENCHES)
