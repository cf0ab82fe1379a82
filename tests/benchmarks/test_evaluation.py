"""How long a test by a million labels takes, and its memory. `make benchmark` prints it; nothing asserts a time."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.test_speed import measure

pytestmark = pytest.mark.benchmark

RECORDINGS, CLASSES, SECONDS = 100, 50, 300
ROOT = Path(__file__).parents[2]
CODE = """
import sys
from lib import {name}
{name}(sys.argv[1], "", sys.argv[2], sys.argv[3], 0.5{more}).run()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Labels of every class in every segment, as label files and as a table, and annotations of all three kinds."""
    folder = tmp_path_factory.mktemp("million")
    rng = np.random.default_rng(1)
    (folder / "files").mkdir()
    (folder / "table").mkdir()
    starts = np.arange(0, SECONDS - 2.9, 1.5)
    names = [f"class {i:02}" for i in range(CLASSES)]
    tables, sounds, blocks, recordings = [], [], [], []
    for number in range(RECORDINGS):
        name = f"r{number:03}"
        events = pd.DataFrame({"class": rng.choice(names, 40), "start_time": rng.uniform(0, SECONDS - 5, 40).round(2)})
        events["end_time"] = events["start_time"] + rng.uniform(0.5, 5, 40).round(2)
        sounds.append(events.assign(recording=name))
        for block, held in events.groupby(events["start_time"] // 60)["class"]:
            blocks.append((name, int(block) + 1, ",".join(set(held))))
        recordings.append((name, ",".join(set(events["class"]))))
        score = rng.beta(0.5, 3, (len(starts), CLASSES)).round(4)
        for event in events.itertuples():
            score[int(event.start_time / 1.5), names.index(event[1])] = round(rng.uniform(0.2, 1), 4)
        grid = {"start_time": np.repeat(starts, CLASSES), "name": np.tile(names, len(starts)), "score": score.ravel()}
        table = pd.DataFrame(grid).assign(recording=name)
        table["end_time"] = table["start_time"] + 3
        tables.append(table)
        lines = (f"{row[0]:.3f}\t{row[4]:.3f}\t{row[1]};{row[2]:g}\n" for row in table.itertuples(index=False))
        (folder / f"files/{name}_scores.txt").write_text("".join(lines))
    columns = ["recording", "name", "start_time", "end_time", "score"]
    pd.concat(tables)[columns].to_csv(folder / "table/scores.csv", index=False)
    pd.concat(sounds).to_csv(folder / "sounds.csv", index=False)
    pd.DataFrame(blocks, columns=["recording", "block", "classes"]).to_csv(folder / "blocks.csv", index=False)
    pd.DataFrame(recordings, columns=["recording", "classes"]).to_csv(folder / "recordings.csv", index=False)
    durations = "recording,seconds,status,reason\n" + "".join(f"r{i:03},{SECONDS},ok,\n" for i in range(RECORDINGS))
    for place in ("files", "table"):
        (folder / place / "recordings.csv").write_text(durations)
    print(f"\n{sum(map(len, tables)):,} labels of {RECORDINGS} recordings and {CLASSES} classes")
    return folder


@pytest.mark.parametrize("labels", ["files", "table"])
@pytest.mark.parametrize(
    ("name", "annotations", "more"),
    [
        ("PerSegmentTester", "sounds.csv", ""),
        ("PerBlockTester", "blocks.csv", ", gen_pr_table=True"),
        ("PerRecordingTester", "recordings.csv", ""),
    ],
)
def test_a_million_labels(folder, name, annotations, more, labels):
    code = CODE.format(name=name, more=more)
    output = folder / f"{name}-{labels}"
    seconds, peak = measure([sys.executable, "-c", code, *map(str, (folder / annotations, folder / labels, output))])
    print(f"{name}, label {labels}: {seconds:.1f} s, {peak:.0f} MB")
    assert (output / "summary_report.txt").is_file()
