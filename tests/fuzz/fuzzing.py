"""Damaged input on purpose: seeded mutations of whole files, each given to a reader in a process that may die.

A reader may refuse a file with an EarshotError or use it. Anything else is a failure: another exception, a process that
dies, more than HANG_SECONDS of work, more than MEMORY_LIMIT of memory.
"""

import json
import os
import random
import re
import select
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lib.core.errors import EarshotError

HANG_SECONDS = 10.0
MEMORY_LIMIT = 2**30
"""Bytes that are resident at once, at most."""
START_SECONDS = 120.0
"""How long a process may import and write its seeds."""
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
KEPT = Path(__file__).parent / "kept"
PROJECT = Path(__file__).parents[2]


class Target(NamedTuple):
    """What is fuzzed.

    Args:
        seeds: makes whole files in a folder that it may use, by name.
        read: reads a damaged one; `rng` chooses options.
        words: that mean something in such a file, and are put in anywhere.
    """

    seeds: Callable[[Path], dict[str, bytes]]
    read: Callable[[Path, random.Random], None]
    words: tuple[bytes, ...]


class Failure(NamedTuple):
    """A case that failed: its number, the name of its seed file, how it failed."""

    case: int
    seed_file: str
    fault: str

    @property
    def kind(self) -> str:
        """What failures of one kind have in common."""
        return re.sub(r"\d+", "n", self.fault.strip().splitlines()[-1].partition(":")[0])


def damaged(
    seeds: dict[str, bytes], seed: int, case: int, words: tuple[bytes, ...]
) -> tuple[str, bytes, random.Random]:
    """The file of a case: the name and the content of a seed, damaged; and the generator to go on with."""
    rng = random.Random(f"{seed} {case}")
    name = rng.choice(sorted(seeds))
    content = bytearray(seeds[name])
    for _ in range(rng.choice((1, 1, 2, 4, 8, 32))):
        mutate(content, rng, seeds, words)
    return name, bytes(content), rng


def mutate(content: bytearray, rng: random.Random, seeds: dict[str, bytes], words: tuple[bytes, ...]) -> None:
    """Change something in the content; most changes lie in its first bytes, where headers are."""
    if not content:
        content += bytes([rng.randrange(256)])
    end = min(len(content), rng.choice((64, 512, len(content))))
    at, n = rng.randrange(end), rng.choice((1, 2, 4, 8, 16, 64, 1024))
    match rng.randrange(9):
        case 0:
            content[at] ^= 1 << rng.randrange(8)
        case 1:
            content[at] = rng.randrange(256)
        case 2:
            size = rng.choice((2, 4, 8))
            number = rng.choice((*NUMBERS, rng.getrandbits(8 * size))) % 256**size
            content[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))  # type: ignore[arg-type]
        case 3:
            del content[at:]
        case 4:
            del content[at : at + n]
        case 5:
            content[at:at] = content[at : at + n] * rng.choice((1, 2, 16))
        case 6:
            content[at : at + n] = rng.randbytes(n)
        case 7:
            other = seeds[rng.choice(sorted(seeds))]
            start = rng.randrange(len(other))
            content[at : at + n] = other[start : start + n]
        case 8:
            content[at:at] = rng.choice(words)


def fuzz(
    name: str, folder: Path, seed: int | str, cases: range, seconds: float = float("inf")
) -> tuple[int, list[Failure]]:
    """Run cases of a target in processes of its own; returns how many were run, and those that failed.

    Args:
        name: of the target, see tests.fuzz.targets.
        folder: for the files; the content of each failed case is kept there.
        seed: of the damage; `kept`: the cases are kept_inputs.
        seconds: after which no further case begins, but for the first.
    """
    failures: list[Failure] = []
    end, next_case = time.monotonic() + seconds, cases.start
    while next_case < cases.stop and time.monotonic() < end:
        next_case = _run_until_it_dies(name, folder, seed, range(next_case, cases.stop), end, failures)
    return next_case - cases.start, failures


def _run_until_it_dies(
    name: str, folder: Path, seed: int | str, cases: range, end: float, failures: list[Failure]
) -> int:
    """Run cases until the process dies or all is done; returns the next case to run."""
    command = [sys.executable, "-m", "tests.fuzz.worker", name, folder, seed, cases.start, cases.stop]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "stderr.txt"  # a pipe that nobody reads would block it
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            list(map(str, command)), cwd=PROJECT, stdout=subprocess.PIPE, stderr=errors, bufsize=0
        ) as process,
    ):
        assert process.stdout is not None
        running, since, patience, pending = None, time.monotonic(), START_SECONDS, b""
        while True:
            ready, _, _ = select.select([process.stdout], [], [], 0.2)
            chunk = os.read(process.stdout.fileno(), 2**16) if ready else None
            if chunk:
                *lines, pending = (pending + chunk).split(b"\n")
                for line in map(json.loads, lines):
                    if "fault" in line:
                        failures.append(Failure(running[0], running[1], line["fault"]))  # type: ignore[index]
                    else:
                        running, since, patience = (line["case"], line["seed_file"]), time.monotonic(), HANG_SECONDS
                if time.monotonic() > end and running and running[0] > cases.start:
                    process.kill()
                    return running[0]
            elif chunk == b"" or time.monotonic() - since > patience:
                is_hung = chunk is None
                process.kill()
                code, last_words = process.wait(), log.read_text(errors="replace").strip()[-500:]
                if not is_hung and code == 0:
                    return cases.stop
                if running is None:
                    raise RuntimeError(f"the process did not start: {last_words}")
                how = f"takes longer than {HANG_SECONDS:g} s" if is_hung else f"the process died ({code}): {last_words}"
                failures.append(Failure(*running, how))
                return running[0] + 1


def read_one(target: Target, path: Path, rng: random.Random) -> str | None:
    """Read a file; returns how that failed, None if it is as it should be."""
    _reset_peak()
    try:
        target.read(path, rng)
    except EarshotError as error:
        lines = str(error).splitlines()
        if max(map(len, lines)) > 2000 or (len(lines) > 1 and not error.causes):
            return f"an error of {len(lines)} lines, {len(str(error))} characters"
    except BaseException:
        return traceback.format_exc()
    if (peak := _peak()) > MEMORY_LIMIT:
        return f"takes {peak / 2**20:.0f} MB"
    return None


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Bytes that were resident at once since _reset_peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def kept_inputs(name: str) -> list[tuple[str, bytes]]:
    """Names of seeds and contents of the files that a target's reader once failed on."""
    return [(path.name.partition("~")[2], path.read_bytes()) for path in sorted((KEPT / name).glob("*~*"))]


def keep(name: str, failure: Failure, content: bytes) -> None:
    """Keep the input of a failure, beside others that failed alike."""
    kind = re.sub(r"\W+", "-", failure.kind).strip("-")[:40]
    path = KEPT / name / f"{kind}-{zlib.crc32(content):08x}~{failure.seed_file}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
