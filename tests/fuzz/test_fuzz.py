"""Each input that ever failed is read again; and, with `make faults`, a minute of fuzzing. `make fuzz` takes hours."""

import pytest

from tests.fuzz.fuzzing import fuzz, kept_inputs
from tests.fuzz.targets import TARGETS

SECONDS = 7.0


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_once_failed_are_used_or_refused_in_a_line(tmp_path, name):
    n = len(kept_inputs(name))
    assert n and fuzz(name, tmp_path, "kept", range(n)) == (n, [])


@pytest.mark.faults
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_used_or_refused_in_a_line(tmp_path, name):
    n_run, failures = fuzz(name, tmp_path, 1, range(10**9), SECONDS)
    assert n_run and not failures
