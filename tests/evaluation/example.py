"""Small test sets and infer outputs for the tests of this room."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml

from lib.audio.windows import window_starts
from lib.datasets.contents import Contents
from lib.evaluation.predictions import Predictions


def contents(annotations: list[tuple], recordings: list[str]) -> Contents:
    table = pd.DataFrame(annotations, columns=["recording", "class", "start_time", "end_time"])
    table = table.astype({"recording": str, "class": str, "start_time": float, "end_time": float})
    classes = pd.DataFrame({"name": sorted(table["class"].unique())})
    return Contents(Path(), {name: Path(f"{name}.wav") for name in recordings}, table, classes, [])


def predictions(
    scores: list[tuple] = (),
    seconds: dict[str, float] | None = None,
    classes: tuple[str, ...] = ("a", "b"),
    failed: dict[str, str] | None = None,
    segment_len: float = 3.0,
    overlap: float = 1.5,
) -> Predictions:
    table = pd.DataFrame(scores, columns=["recording", "name", "start_time", "score"])
    table = table.astype({"recording": str, "name": str, "start_time": float, "score": np.float32})
    rows = [(name, "", value, "ok", "") for name, value in (seconds or {}).items()]
    rows += [(name, "", np.nan, "failed", reason) for name, reason in (failed or {}).items()]
    recordings = pd.DataFrame(rows, columns=["recording", "path", "seconds", "status", "reason"])
    return Predictions(
        scores=table.astype({"recording": "category", "name": "category"}),
        recordings=recordings.set_index("recording"),
        segment_len=segment_len,
        overlap=overlap,
        classes=list(classes),
        codes={name.upper(): name for name in classes},
    )


def write_project(folder: Path, n_classes: int = 3, n_recordings: int = 4, seed: int = 0) -> None:
    """A test set of 12 s recordings in test/ and what a middling model found in labels/."""
    rng = np.random.default_rng(seed)
    (folder / "test/recordings").mkdir(parents=True)
    (folder / "labels").mkdir()
    classes = [f"class {index}" for index in range(n_classes)]
    annotations, scores, recordings = [], [], []
    for index in range(n_recordings):
        name, starts = f"{index:03}", window_starts(12, 3, 1.5)
        soundfile.write(folder / f"test/recordings/{name}.wav", rng.normal(0, 0.1, 12 * 8000), 8000)
        recordings.append((name, f"test/recordings/{name}.wav", 12, "ok", ""))
        for label in rng.choice(classes, 2, replace=False):
            begin = round(rng.uniform(0, 9), 2)
            annotations.append((name, label, begin, begin + 2))
            scores += [
                (name, label, start, start + 3, round(rng.uniform(0.2, 1), 3))
                for start in starts
                if start < begin + 1 < start + 3
            ]
        scores += [(name, rng.choice(classes), start, start + 3, round(rng.uniform(0, 0.6), 3)) for start in starts]
    labels = folder / "labels"
    columns = ["recording", "class", "start_time", "end_time"]
    pd.DataFrame(annotations, columns=columns).to_csv(folder / "test/annotations.csv", index=False)
    columns = ["recording", "name", "start_time", "end_time", "score"]
    pd.DataFrame(scores, columns=columns).to_csv(labels / "scores.csv", index=False)
    (labels / "labels").mkdir()
    for name, *_ in recordings:
        found = [row[1:] for row in scores if row[0] == name]
        pd.DataFrame(found).to_csv(labels / f"labels/{name}.csv", index=False, header=False)
    columns = ["recording", "path", "seconds", "status", "reason"]
    pd.DataFrame(recordings, columns=columns).to_csv(labels / "recordings.csv", index=False)
    manifest = {"segment_len": 3.0, "overlap": 1.5, "classes": [{"name": name, "code": ""} for name in classes]}
    (labels / "manifest.yaml").write_text(yaml.safe_dump(manifest))
