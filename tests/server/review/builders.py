"""A small project to review: real recordings, annotations and results, some with names that are markup."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.config.load import load_settings
from lib.config.schema import Settings
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.labels import Label
from tests.recordings import noise, write
from tests.results.builders import make_manifest
from tests.training_data.builders import write_params

RATE = 4000
HOSTILE = "<img src=x onerror=document.title='hit'>"
"""A class, and a part of a recording's name."""
CLASSES = ["high", "low", "mid", HOSTILE]
N_FIELD = 96
FOUND = {
    "t0": [("low", 3.0, 6.0, 0.9), ("high", 12.0, 15.0, 0.8), ("mid", 21.0, 24.0, 0.7), (HOSTILE, 30.0, 33.0, 0.6)],
    "f0": [("low", 3.0 * k, 3.0 * k + 3, round(0.5 + k / 200, 3)) for k in range(N_FIELD)],
}
"""Labels of the recording of the test set, and of one of no set: class, start, end and score."""
ANNOTATED = [("low", 4.0, 4.6), ("mid", 12.5, 13.1), ("high", 36.0, 36.6)]
"""In t0: the first is found, the second as high, the third is missed; mid and the hostile class are found in vain."""


class Project(NamedTuple):
    """Where a project to review lies."""

    folder: Path
    params: Path

    @property
    def labels(self) -> Path:
        return self.folder / "labels"

    @property
    def decisions(self) -> Path:
        return self.folder / "decisions.csv"

    @property
    def curation(self) -> str:
        return f"sqlite:///{self.folder / 'curation.db'}"

    def settings(self) -> Settings:
        return load_settings(self.params)

    def arguments(self) -> list[str]:
        places = ["--labels", str(self.labels), "--report", str(self.folder / "report"), "--curation", self.curation]
        return [*places, "--by", "ana"]


def write_project(folder: Path, found: dict = FOUND) -> Project:
    """Two data sets, a recording of neither, and results of t0 and f0, with scores of all windows."""
    files = {"t0": folder / "test/recordings/t0.wav", "f0": folder / "field/f0.wav"}
    write(files["t0"], noise(60.0, RATE, 1), RATE)
    write(files["f0"], noise(3.0 * N_FIELD, RATE, 2), RATE)
    for name, rows in (("test", [("t0", *each) for each in ANNOTATED]), ("train", [("x0", "low", 1.0, 2.0)])):
        lines = ["recording,class,start_time,end_time", *(",".join(map(str, row)) for row in rows)]
        (folder / name / "recordings").mkdir(parents=True, exist_ok=True)
        (folder / name / "annotations.csv").write_text("\n".join(lines) + "\n")
        (folder / name / "classes.csv").write_text("\n".join(["name", *CLASSES]) + "\n")
    write(folder / "train/recordings/x0.wav", noise(5.0, RATE, 3), RATE)
    write(folder / f"train/recordings/{HOSTILE[:40].replace('/', '')}.wav", noise(5.0, RATE, 4), RATE)
    write_results(folder / "labels", files, found)
    data = {
        "train": {"path": str(folder / "train")},
        "test": {"path": str(folder / "test")},
        "decisions": str(folder / "decisions.csv"),
        "reviewed": str(folder / "reviewed"),
        "scenarios": str(folder / "scenarios"),
    }
    params = write_params(
        folder / "params.yaml", folder / "test", data=data, infer={"overlap": 0.25}, review={"shutdown_timeout": 1}
    )
    return Project(folder, params)


def write_results(labels: Path, files: dict[str, Path], found: dict) -> None:
    with ResultsStore(labels, make_manifest(CLASSES)) as store:
        for name, rows in found.items():
            n = max(40, round(rows[-1][2] / 1.5))
            scores = np.zeros((n, len(CLASSES)), np.float32)
            for label, start, _, score in rows:
                scores[round(start / 1.5), CLASSES.index(label)] = score
            part = PartialResult(scores, [Label(*row) for row in rows], 1.5 * n + 1.5)
            store.write(name, str(files[name]), f"{store.manifest.key} {name}", [part], [], [])
        store.commit()
