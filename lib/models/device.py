"""Which device computes, and with how many bits."""

import torch

from lib.errors import SettingsError
from lib.parallel import n_processors


def choose_device(name: str) -> torch.device:
    """The device that a setting means; auto: a GPU where there is one. Raises SettingsError if it is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, available in there.items() if available)
    if not there[name]:
        raise SettingsError(f"device = {name!r}: this machine has none that torch can use; set it to auto or cpu")
    return torch.device(name)


def leave_room_for_reading() -> None:
    """Compute with one thread less than there are processors: one that shares its processor holds up all the others."""
    torch.set_num_threads(max(1, n_processors() - 1))


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16. auto: where it is quick, on newer GPUs and processors with AVX512-BF16 or AMX."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
