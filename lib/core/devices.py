"""Device and threads of computations."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lib.core.errors import SettingsError
from lib.core.parallel import n_processors

_LOCK = threading.Lock()
_WANTED: list[int] = []
_BEFORE: list[int] = []
"""Numbers of threads: of the blocks of compute_threads that have been entered, and before the first of them."""


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
    """Compute with n threads within the block, and as before behind it, also where blocks of threads overlap."""
    with _LOCK:
        if not _WANTED:
            _BEFORE[:] = [torch.get_num_threads()]
        _WANTED.append(n)
        torch.set_num_threads(n)
    try:
        yield
    finally:
        with _LOCK:
            _WANTED.remove(n)
            torch.set_num_threads(_WANTED[-1] if _WANTED else _BEFORE[0])


@contextmanager
def reproducible(threads: int, device: str = "cpu") -> Iterator[None]:
    """Compute on a device with that many threads of the processor, on which sums depend in their last digits, and leave
    torch's generators as they were."""
    gpus = [torch.cuda.current_device()] if choose_device(device).type == "cuda" else []
    with compute_threads(threads), torch.random.fork_rng(devices=gpus):
        yield
