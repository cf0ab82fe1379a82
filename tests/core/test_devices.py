from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from lib.core.devices import choose_device, compute_threads, reproducible
from lib.core.errors import SettingsError


@pytest.mark.parametrize("name", ["cuda:99", "cuda:x", "cpu:x", "cpu:", "tpu", "", "cuda:-1"])
def test_a_device_that_torch_cannot_use_is_an_error_that_names_those_that_it_can(name):
    with pytest.raises(SettingsError, match=r"this machine has none that torch can use; set it to auto or .*cpu"):
        choose_device(name)


def test_the_number_of_threads_is_as_before_however_blocks_overlap():
    before, entered, leaving = torch.get_num_threads(), Barrier(2), Barrier(2)

    def compute(n: int) -> None:
        with compute_threads(n):
            entered.wait()
        leaving.wait()

    for _ in range(20):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(compute, (before + 1, before + 2)))
        assert torch.get_num_threads() == before


def test_random_numbers_of_the_caller_are_not_touched():
    state = torch.get_rng_state()
    with reproducible(1):
        torch.manual_seed(5)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)
