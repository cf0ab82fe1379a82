"""Checkpoints tried in processes of their own, before the server loads them: a hostile one must not take it down.

Loading cannot run code, see lib.models.checkpoints. But a checkpoint may claim tensors, layers or windows of any size,
or be a bomb of compressed zeros. So it is loaded, and scores a silent window, where memory and time are limited; and
then a full batch, unless the server has a GPU for that, which says so itself if its memory is too small. One process
imports torch, which takes seconds, and forks for each trial; it ends when there was none for a while.
"""

import asyncio
import json
import math
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lib.config.schema import InferSettings, Settings
from lib.core.errors import EarshotError
from lib.server.process_limits import PROJECT, bare_environment, limit_memory_and_files

MEMORY_MB = 4096
"""For any model, besides TIMES_FILE of its checkpoint."""
TIMES_FILE = 4
SECONDS = 60
"""For loading a model and scoring a window; a batch gets as many besides what its windows would take one by one."""
LONGEST = 600
"""s; for a batch of windows in any case."""
START_SECONDS = 120
IDLE_SECONDS = 60
LONGEST_FAULT = 4096
RETRAIN = "retrain it"


class CheckpointTrials:
    """Tries checkpoints, one after the other.

    Args:
        infer: settings; device, precision and batch_size are used.
        memory_mb: that loading and scoring may take, besides TIMES_FILE of a checkpoint.
    """

    def __init__(self, infer: InferSettings, memory_mb: int = MEMORY_MB) -> None:
        # These alone: others may hold secrets.
        used = infer.model_dump_json(include={"device", "precision", "batch_size"})
        self._arguments = str(memory_mb), used
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._end: asyncio.TimerHandle | None = None

    async def try_checkpoint(self, file: Path) -> None:
        """Raises EarshotError if a checkpoint cannot be loaded and used within the limits."""
        async with self._turn:
            if self._end is not None:
                self._end.cancel()
            try:
                async with asyncio.timeout(START_SECONDS + SECONDS + LONGEST):
                    fault, remedy = await self._fault_of(file)
            except (TimeoutError, asyncio.CancelledError, ConnectionError, ValueError) as error:
                await self.stop()
                if isinstance(error, asyncio.CancelledError):
                    raise
                fault, remedy = "is not a model that can be loaded", RETRAIN
            self._end = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._kill)
        if fault:
            raise EarshotError(file, fault, remedy)

    async def _fault_of(self, file: Path) -> tuple[str, str]:
        """What is wrong with a checkpoint, "" if nothing, and what to do about it."""
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lib.server.checkpoint_trial", *self._arguments),
                env=bare_environment(),
                cwd=PROJECT,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(str(file)).encode() + b"\n")
        fault, remedy = json.loads(await self._process.stdout.readline())
        return fault, remedy

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with the child that tries a checkpoint

    async def stop(self) -> None:
        """End the process."""
        self._kill()
        if self._process is not None:
            await self._process.wait()


def run_trials(memory_mb: int, infer: InferSettings) -> None:
    import torch

    from lib.inference import predictor  # noqa: F401  once, for all trials

    torch.set_num_threads(1)  # there are no threads to be lost when this process forks
    for line in sys.stdin.buffer:
        print(json.dumps(_outcome(Path(json.loads(line)), memory_mb, infer)), flush=True)


def _outcome(file: Path, memory_mb: int, infer: InferSettings) -> tuple[str, str]:
    """What is wrong with a checkpoint, "" if nothing, and what to do about it, found out by a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            for outcome in _trial(file, memory_mb, infer):
                os.write(writing, f"{json.dumps(outcome)}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    fault, remedy = "is not a model that can be loaded within the server's limits", RETRAIN
    with suppress(ValueError):  # nothing, or a line that its end broke off
        for line in content.splitlines():
            fault, remedy = json.loads(line)
    return fault, remedy


def _trial(file: Path, memory_mb: int, infer: InferSettings) -> Iterator[tuple[str, str]]:
    """What would be wrong and what to do about it, as in _outcome, if the process ended here."""
    import numpy as np

    from lib.core.devices import choose_device
    from lib.inference.predictor import Predictor

    try:
        n_windows = infer.batch_size if choose_device(infer.device).type == "cpu" else 1
        limit_memory_and_files(memory_mb * 2**20 + TIMES_FILE * file.stat().st_size)
        signal.alarm(SECONDS)
        predictor = Predictor(file, "cpu", Settings(infer=infer))
        shape = predictor.description.window_shapes[0]
        begin = time.monotonic()
        predictor.score_windows(np.zeros((1, *shape), np.float32))
        seconds = n_windows * (time.monotonic() - begin)
        yield f"cannot score {n_windows} windows at a time within the server's limits", "lower infer.batch_size"
        signal.alarm(min(LONGEST, math.ceil(SECONDS + seconds)))
        predictor.score_windows(np.zeros((n_windows, *shape), np.float32))
        yield "", ""
    except EarshotError as error:
        yield error.fault[:LONGEST_FAULT], error.remedy or RETRAIN


if __name__ == "__main__":
    run_trials(int(sys.argv[1]), InferSettings.model_validate_json(sys.argv[2]))
