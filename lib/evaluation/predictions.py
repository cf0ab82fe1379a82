"""What the infer stage left in its output folder, read back and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lib.errors import DataSetError

AGAIN = "run the infer stage (`dvc repro infer`)"
RECORDING_COLUMNS = ["recording", "seconds", "status", "reason"]


@dataclass(frozen=True)
class Predictions:
    """Scores of a model for the windows of some recordings.

    scores: DataFrame with recording and name (categories), start_time (s) and score (0..1), a row for each window and
    class that was written; a pair without a row has score 0. recordings: DataFrame indexed by recording name with
    seconds (NaN where it failed), status (`ok` or `failed`) and reason. segment_len, overlap: length of a window and
    what neighbouring windows share, in seconds. classes: the model's class names. codes: code -> class name.
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
    manifest = _checked(read_manifest(folder), folder / "manifest.yaml")
    names = [entry["name"] for entry in manifest["classes"]]
    return Predictions(
        scores=_read_scores(folder / "scores.csv"),
        recordings=read_recordings(folder / "recordings.csv"),
        segment_len=float(manifest["segment_len"]),
        overlap=float(manifest["overlap"]),
        classes=names,
        codes={entry["code"]: entry["name"] for entry in manifest["classes"] if entry.get("code")},
    )


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """What manifest.yaml of a folder of labels says; empty where there is none. Raises DataSetError."""
    path = Path(folder) / "manifest.yaml"
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, yaml.YAMLError):
        manifest = None
    if not isinstance(manifest, dict):
        raise DataSetError(f"{path}: is no YAML mapping; {AGAIN} again, or remove it")
    return manifest


def read_recordings(path: Path) -> pd.DataFrame:
    """recordings.csv, as Predictions holds it. Raises DataSetError."""
    table = _read_csv(path, dict.fromkeys(RECORDING_COLUMNS, str))
    table["seconds"] = pd.to_numeric(table["seconds"], errors="coerce")
    return table.drop_duplicates("recording").set_index("recording")


def _checked(manifest: dict[str, Any], path: Path) -> dict[str, Any]:
    if not manifest:
        raise DataSetError(f"{path}: no such file; {AGAIN} first")
    try:
        length, overlap = float(manifest["segment_len"]), float(manifest["overlap"])
        usable = 0 <= overlap < length and all(isinstance(entry["name"], str) for entry in manifest["classes"])
    except (KeyError, TypeError, ValueError):
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


def _read_csv(path: Path, types: dict[str, Any]) -> pd.DataFrame:
    try:
        return pd.read_csv(path, usecols=list(types), dtype=types, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise DataSetError(f"{path}: no such file; {AGAIN} first") from None
    except ValueError as error:
        raise DataSetError(f"{path}: {str(error).splitlines()[0]}; {AGAIN} again") from None
