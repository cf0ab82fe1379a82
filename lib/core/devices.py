"""Device and threads of computations."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from lib.core.errors import SettingsError
from lib.core.parallel import n_processors

_GENERATORS = threading.RLock()


class _Block(NamedTuple):
    """A block of compute_threads: the thread in it, its number of threads and the number before."""

    thread: int
    n: int
    before: int


_LOCK = threading.Lock()
_BLOCKS: list[_Block] = []
"""Those that are open now."""


def choose_device(name: str) -> torch.device:
    """The device of that name; auto: a GPU if there is one. Raises SettingsError if torch cannot use it here."""
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    names = [device for device, available in is_available.items() if available]
    if name == "auto":
        name = names[0]
    kind, _, number = name.partition(":")
    n_devices = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in names or (":" in name and not (number.isdigit() and int(number) < n_devices)):
        fault = "this machine has none that torch can use"
        raise SettingsError(f"device = {name!r}", fault, f"set it to auto or {' or '.join(names)}")
    return torch.device(name)


@contextmanager
def leave_room_for_reading() -> Iterator[None]:
    """Compute with one thread fewer than there are processors: a thread that shares its processor delays all others."""
    with compute_threads(max(1, n_processors() - 1)):
        yield


@contextmanager
def compute_threads(n: int) -> Iterator[None]:
    """Compute with n threads in this thread; afterwards its number of threads is what it was. Others have their own."""
    thread = threading.get_ident()
    with _LOCK:
        before = torch.get_num_threads()
        if all(block.thread != thread for block in _BLOCKS):
            # A thread that did not compute yet has the number of a block that another one is in.
            before = next((block.before for block in _BLOCKS if block.n == before), before)
        block = _Block(thread, n, before)
        _BLOCKS.append(block)
        torch.set_num_threads(n)
    try:
        yield
    finally:
        with _LOCK:
            _BLOCKS.remove(block)
            torch.set_num_threads(before)


@contextmanager
def reproducible(threads: int, device: str = "cpu") -> Iterator[None]:
    """Compute on a device with that many threads of the processor, on which sums depend in their last digits, and leave
    torch's generators as they were. Threads of this process take turns, since they share the generators.

    Raises SettingsError if torch cannot use the device, or the environment allows fewer threads: torch would wait for
    them without end.
    """
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    if limit.isdigit() and int(limit) < threads:
        fault = f"the environment variable OMP_THREAD_LIMIT allows only {limit}"
        raise SettingsError(f"train.threads = {threads}", fault, "unset it, or set train.threads to that")
    gpus = [torch.cuda.current_device()] if choose_device(device).type == "cuda" else []
    with _GENERATORS, compute_threads(threads), torch.random.fork_rng(devices=gpus):
        yield
