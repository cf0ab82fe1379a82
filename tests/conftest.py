import gc
import os

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # tests share the processors: threads that wait give them away at once

import subprocess
import sys
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

from lib.core.databases import SQLITE
from lib.tracking.mlflow_store import ensure_store

PROJECT = Path(__file__).parents[1]
# A busy machine is no fault: neither an example that takes long nor examples that are slow to make fail a test.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
gc.set_threshold(100_000, 20, 20)  # as stages do: imports leave a million objects, among which it looks for garbage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests come first: each of these is long, and one at the end would leave a processor idle."""
    n_tests = Counter(item.path for item in items)
    items.sort(key=lambda item: n_tests[item.path])


@pytest.fixture(scope="session")
def run_stage(tmp_path_factory):
    """A function that runs a stage as its user does and returns its exit status, output and errors.

    What stages keep for later runs goes to a folder of the tests, not to the project's.
    """
    root = str(tmp_path_factory.mktemp("root"))

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        command = [sys.executable, "-m", f"stages.{name}", *map(str, arguments)]
        environment = {"DVC_ROOT": root} | os.environ
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory) -> str:
    """URI of an MLflow store; making one takes seconds, so tests share it, each with an experiment of its own."""
    uri = f"{SQLITE}{tmp_path_factory.mktemp('a store') / 'mlflow.db'}"
    ensure_store(uri, "first")
    return uri
