"""Processes that open what may be hostile: what they get to know, and how much they may take."""

import os
import resource
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
KEPT = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


def bare_environment() -> dict[str, str]:
    """The environment of such a process, which holds no secrets of the server's."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # One thread: each would take memory of the limit.
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}


def limit_memory_and_files(n_bytes: int) -> None:
    """Limit memory to that much beyond what this process has by now, on Linux only, and forbid it to write files."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + n_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
