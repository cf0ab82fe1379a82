import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def run_stage():
    """A function that runs a stage as its user does and returns its exit status, output and errors."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        command = [sys.executable, "-m", f"stages.{name}", *map(str, arguments)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run
