"""python -m tests.fuzz TARGET [--cases 100000] [--seed 1] [--jobs 2] [--keep]: more cases than the tests run.

With --keep, the input of each failure goes to tests/fuzz/kept, where every test run reads it again.
"""

import argparse
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.fuzzing import damaged, fuzz, keep
from tests.fuzz.targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    for name in TARGETS if options.target == "all" else [options.target]:
        _fuzz_target(name, options)


def _fuzz_target(name: str, options: argparse.Namespace) -> None:
    bounds = [options.cases * job // options.jobs for job in range(options.jobs + 1)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        jobs = [
            pool.submit(
                fuzz, name, Path(folder, str(job)), options.seed, range(*bounds[job : job + 2]), options.seconds
            )
            for job in range(options.jobs)
        ]
        done = [job.result() for job in jobs]
        failures = [failure for _, failed in done for failure in failed]
        print(f"{name}: {sum(n for n, _ in done)} cases, {len(failures)} failures")
        for kind, n in Counter(failure.kind for failure in failures).most_common():
            first = next(failure for failure in failures if failure.kind == kind)
            print(f"{n:6} {kind}\n       first: case {first.case} of {first.seed_file}\n{first.fault}")
            if options.keep:
                seeds = TARGETS[name].seeds(Path(tempfile.mkdtemp(dir=folder)))
                keep(name, first, damaged(seeds, options.seed, first.case, TARGETS[name].words)[1])


if __name__ == "__main__":
    main()
