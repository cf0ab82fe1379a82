"""Small test sets and results of infer. Classes are a and b, whose codes are A and B; windows of 3 s, every 1.5 s."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lib.core.digests import digest_file
from lib.core.errors import Problem
from lib.formats.data_sets import DataSet
from lib.results.recording_identity import result_key
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.grid import window_starts
from lib.sound.labels import Label
from tests.results.builders import make_manifest


def make_data_set(annotations: list[tuple], recordings: list[str]) -> DataSet:
    """annotations: recording, class, start_time, end_time."""
    table = pd.DataFrame(annotations, columns=["recording", "class", "start_time", "end_time"])
    table = table.astype({"recording": str, "class": str, "start_time": float, "end_time": float})
    classes = pd.DataFrame({"name": sorted(table["class"].unique())})
    return DataSet(Path(), {name: Path(f"{name}.wav") for name in recordings}, table, classes, [])


def write_results(
    folder: Path,
    seconds: dict[str, float],
    scores: list[tuple] = (),
    labels: dict[str, list[tuple]] | None = None,
    failed: dict[str, str] | None = None,
    classes: tuple[str, ...] = ("a", "b"),
    recordings: Path | None = None,
    **manifest,
) -> ResultsStore:
    """A store of results.

    Args:
        seconds: of each recording.
        scores: recording, class, start_time, score.
        labels: recording -> class, start, end.
        failed: recording -> why.
        recordings: folder of those that were analyzed; None: there are no such files.
        manifest: fields of the manifest.
    """
    store = ResultsStore(folder, make_manifest(list(classes), **manifest))
    for name, duration in seconds.items():
        windows = np.zeros((len(window_starts(duration, 3, 1.5)), len(classes)), np.float32)
        for recording, label, start, score in scores:
            if recording == name:
                windows[round(start / 1.5), classes.index(label)] = score
        found = [Label(*label, 0.7) for label in (labels or {}).get(name, [])]
        file = Path(recordings or "", f"{name}.wav")
        key = result_key(store.manifest, name, digest_file(file)) if recordings else name
        store.write(name, str(file), key, [PartialResult(windows, found, duration)], [], [])
    for name, fault in (failed or {}).items():
        store.write_failure(name, f"{name}.wav", Problem(name, fault, ""))
    store.commit()
    return store


def write_project(folder: Path, n_classes: int = 3, n_recordings: int = 4, seed: int = 0) -> None:
    """A test set of 12 s recordings in test/ and what a middling model found in labels/."""
    rng = np.random.default_rng(seed)
    (folder / "test/recordings").mkdir(parents=True)
    classes = tuple(f"class {index}" for index in range(n_classes))
    annotations, scores = [], []
    labels: dict[str, list[tuple]] = {}
    names = [f"{index:03}" for index in range(n_recordings)]
    for name in names:
        starts = window_starts(12, 3, 1.5)
        soundfile.write(folder / f"test/recordings/{name}.wav", rng.normal(0, 0.1, 12 * 8000), 8000)
        scores += [(name, rng.choice(classes), start, rng.uniform(0, 0.6)) for start in starts]
        for label in rng.choice(classes, 2, replace=False):
            begin = round(rng.uniform(0, 9), 2)
            annotations.append((name, label, begin, begin + 2))
            over = [start for start in starts if start < begin + 1 < start + 3]
            scores += [(name, label, start, rng.uniform(0.2, 1)) for start in over]
            labels.setdefault(name, []).append((label, over[0], over[-1] + 3))
    columns = ["recording", "class", "start_time", "end_time"]
    pd.DataFrame(annotations, columns=columns).to_csv(folder / "test/annotations.csv", index=False)
    recordings = folder / "test/recordings"
    seconds = dict.fromkeys(names, 12.0)
    with write_results(folder / "labels", seconds, scores, labels, classes=classes, recordings=recordings):
        pass
