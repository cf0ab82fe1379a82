"""Device and threads of computations."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lib.core.errors import SettingsError
from lib.core.parallel import n_processors


def choose_device(name: str) -> torch.device:
    """The device of that name; auto: a GPU if there is one. Raises SettingsError if torch cannot use it here."""
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    names = [device for device, available in is_available.items() if available]
    if name == "auto":
        name = names[0]
    if name.partition(":")[0] not in names:
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
    """Compute with n threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
