"""What the infer stage left in its output folder, read back and checked."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lib.errors import DataSetError

AGAIN = "run the infer stage (`dvc repro infer`)"


@dataclass(frozen=True)
class Predictions:
    """Scores of a model for the windows of some recordings.

    scores: DataFrame with recording and name (categories), start_time (s) and score (0..1), a row for each window and
    class that was written; a pair without a row has score 0. recordings: DataFrame indexed by recording name with
    path, seconds (NaN where it failed), status (`ok` or `failed`) and reason. segment_len, overlap: length of a window
    and what neighbouring windows share, in seconds. classes: the model's class names. codes: code -> class name.
    """

    scores: pd.DataFrame
    recordings: pd.DataFrame
    segment_len: float
    overlap: float
    classes: list[str]
    codes: dict[str, str]

    def known(self, classes: pd.Series) -> pd.Series:
        """The model's names of classes given by name or code; NaN where it knows neither."""
        return classes.map(self.codes | {name: name for name in self.classes})


def read_predictions(folder: str | Path) -> Predictions:
    """Read scores.csv, recordings.csv and manifest.yaml of an infer output folder.

    Raises DataSetError where one of them is missing or does not hold what it must.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder / "manifest.yaml")
    names = [entry["name"] for entry in manifest["classes"]]
    return Predictions(
        scores=_read_scores(folder / "scores.csv"),
        recordings=_read_recordings(folder / "recordings.csv"),
        segment_len=float(manifest["segment_len"]),
        overlap=float(manifest["overlap"]),
        classes=names,
        codes={entry["code"]: entry["name"] for entry in manifest["classes"] if entry.get("code")},
    )


def label_file(folder: str | Path, recording: str) -> Path:
    """Where infer keeps the labels of a recording, whatever the formats that it writes them in besides."""
    return Path(folder) / "labels" / f"{recording}.csv"


def read_labels(folder: str | Path, recording: str) -> pd.DataFrame:
    """The labels table, without its recording, of a recording. Raises DataSetError."""
    path = label_file(folder, recording)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(name, float(start), float(end), float(score)) for name, start, end, score in csv.reader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise DataSetError(f"{path}: is no table of labels as infer writes them ({error}); {AGAIN} again") from None
    table = pd.DataFrame(rows, columns=["name", "start_time", "end_time", "score"])
    return table.astype({"name": str, "start_time": float, "end_time": float, "score": float})


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
        length, overlap = float(manifest["segment_len"]), float(manifest["overlap"])
        usable = 0 <= overlap < length and all(isinstance(entry["name"], str) for entry in manifest["classes"])
    except FileNotFoundError:
        raise DataSetError(f"{path}: no such file; {AGAIN} first") from None
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        usable = False
    if not usable:
        raise DataSetError(f"{path}: lacks segment_len, overlap or classes as infer writes them; {AGAIN} again")
    return manifest


def _read_scores(path: Path) -> pd.DataFrame:
    scores = _read_csv(path, {"recording": str, "name": str, "start_time": np.float64, "score": np.float32})
    scores = scores.astype({"recording": "category", "name": "category"})  # read as such, "007" would become 7
    if not scores["score"].between(0, 1).all():
        raise DataSetError(f"{path}: holds scores outside 0..1; {AGAIN} again")
    return scores


def _read_recordings(path: Path) -> pd.DataFrame:
    table = _read_csv(path, dict.fromkeys(["recording", "path", "seconds", "status", "reason"], str))
    table["seconds"] = pd.to_numeric(table["seconds"], errors="coerce")
    return table.drop_duplicates("recording").set_index("recording")


def _read_csv(path: Path, types: dict[str, Any]) -> pd.DataFrame:
    try:
        return pd.read_csv(path, usecols=list(types), dtype=types, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise DataSetError(f"{path}: no such file; {AGAIN} first") from None
    except ValueError as error:
        raise DataSetError(f"{path}: {str(error).splitlines()[0]}; {AGAIN} again") from None
