from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

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

    def compute(n: int) -> tuple[int, int, int]:
        torch.get_num_threads()  # else a new thread is given the number that another one set last, when asked for it
        torch.set_num_threads(n)  # each thread has its own number
        with compute_threads(n + 2):
            entered.wait()
            within = torch.get_num_threads()
        leaving.wait()
        return n, within, torch.get_num_threads()

    for _ in range(20):
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(compute, (1, 2))) == [(1, 3, 1), (2, 4, 2)]
    assert torch.get_num_threads() == before


def test_a_thread_that_begins_to_compute_beside_a_block_leaves_no_number_of_that_block():
    before, entered, left = torch.get_num_threads(), Event(), Event()

    def compute() -> int:
        with compute_threads(before + 2):
            entered.set()
            assert left.wait(60)
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        with compute_threads(before + 1):
            beside = pool.submit(compute)
            assert entered.wait(60)
        left.set()
        assert beside.result() == torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before


def test_blocks_within_each_other_restore_the_number_of_the_outer_one():
    before = torch.get_num_threads()
    with compute_threads(before + 1):
        with compute_threads(before + 1):
            pass
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_more_threads_than_the_environment_allows_are_an_error_and_no_endless_wait(monkeypatch):
    monkeypatch.setenv("OMP_THREAD_LIMIT", "2")
    with (
        pytest.raises(
            SettingsError, match=r"train\.threads = 3: the environment variable OMP_THREAD_LIMIT allows only 2"
        ),
        reproducible(3),
    ):
        pass
    with reproducible(2):
        pass


def test_random_numbers_of_the_caller_are_not_touched():
    state = torch.get_rng_state()
    with reproducible(1):
        torch.manual_seed(5)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)
