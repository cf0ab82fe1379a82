"""Precision of computations."""

import torch


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16. auto: where it is fast, on newer GPUs and processors with AVX512-BF16 or AMX."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
