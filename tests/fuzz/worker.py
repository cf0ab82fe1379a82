"""Runs cases of a target, and says so: one line of JSON before each case, and one for each failure."""

import json
import random
import sys
from pathlib import Path

from tests.fuzz.fuzzing import damaged, kept_inputs, read_one
from tests.fuzz.targets import TARGETS


def main(name: str, folder: str, seed: str, first: str, stop: str) -> None:
    target, work = TARGETS[name], Path(folder)
    seeds_folder = work / "seeds"
    seeds_folder.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds(seeds_folder)
    kept = kept_inputs(name)
    for case in range(int(first), int(stop)):
        if seed == "kept":
            seed_file, content, rng = *kept[case], random.Random(case)
        else:
            seed_file, content, rng = damaged(seeds, int(seed), case, target.words)
        path = work / seed_file
        path.write_bytes(content)
        print(json.dumps({"case": case, "seed_file": seed_file}), flush=True)
        if fault := read_one(target, path, rng):
            print(json.dumps({"fault": fault}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
