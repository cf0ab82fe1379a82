"""Scores of several models for the segments of a test set, each model's in its own results store.

Stores are kept in a folder by what they come from, so that a model is scored once. The scores of a model are read
through a memory map, so that memory does not grow with the number of models.
"""

import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from filelock import FileLock

from lib.config.load import with_changes
from lib.config.schema import Settings
from lib.core.digests import digest_file, digest_of
from lib.core.errors import EarshotError, Problem
from lib.evaluation.units import Units, segment_units
from lib.formats.data_sets import DataSet
from lib.inference.analyzer import analyze
from lib.models.description import read_description
from lib.results.manifest import WITHOUT_EFFECT
from lib.results.results_store import ResultsStore
from lib.sound.labels import RESULTS_FILE

KEPT_SECONDS = 30 * 24 * 3600
"""Seconds for which stores are kept after their last use."""
ALL_SCORES = {"infer.csv_min_score": 0.0}
NOTHING_LEFT_OUT = {"infer.start_seconds": 0.0, "infer.exclude": None}
NO_LABELS = {"infer.formats": [], "infer.min_score": 1.0, "infer.class_thresholds": False, "infer.merge_labels": True}
NO_PLACE = dict.fromkeys(
    [f"infer.{key}" for key in ("region", "latitude", "longitude", "week", "recordings_table", "initial_offsets")]
)


@dataclass(frozen=True)
class ModelScores:
    """units: truth of the test set, and scores of the first model. scores: of each model, float32 (n, c)."""

    names: list[str]
    units: Units
    scores: list[np.ndarray]


def score_models(
    models: list[Path], data_set: DataSet, settings: Settings, folder: str | Path
) -> tuple[ModelScores, list[Problem]]:
    """Score the recordings of a test set with each of some checkpoints.

    Args:
        settings: infer and evaluate are used.
        folder: where stores are kept; another process that scores there is waited for.

    Recordings that cannot be read are left out and reported, and tried again the next time. Raises EarshotError if the
    models do not go together.
    """
    first = read_description(models[0])
    for model in models[1:]:
        if fault := read_description(model).misfit(first):
            raise EarshotError(model, f"{fault} than {models[0]}", "keep them apart")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scoring = with_changes(settings, ALL_SCORES | NOTHING_LEFT_OUT | NO_LABELS | NO_PLACE)
    paths = sorted(str(path.resolve()) for path in data_set.recordings.values())
    inputs = [paths, scoring.infer.model_dump(exclude=WITHOUT_EFFECT)]
    recordings = data_set.recordings
    stores: list[Path] = []
    problems: dict[Problem, None] = {}
    with FileLock(folder / ".lock"):
        _remove_old_stores(folder)
        for model in models:
            stores.append(folder / digest_of([digest_file(model), *inputs]) / "results")
            analysis = analyze(data_set.recordings, model, scoring, stores[-1])
            os.utime(stores[-1] / RESULTS_FILE)  # its last use: a run that finds everything there does not write to it
            problems |= dict.fromkeys(analysis.problems)
            scored_names = {result.name for result in analysis.results if result.is_ok}
            recordings = {name: path for name, path in recordings.items() if name in scored_names}
        data_set = replace(data_set, recordings=recordings)
        scores, unit_problems = read_scores(stores, data_set, settings, folder, list(map(str, models)))
    return scores, [*problems, *unit_problems]


def read_scores(
    folders: list[Path], data_set: DataSet, settings: Settings, scratch: str | Path, names: list[str] | None = None
) -> tuple[ModelScores, list[Problem]]:
    """Read the scores of a test set from what infer wrote, a folder for each model.

    Args:
        folders: results stores.
        settings: evaluate is used.
        scratch: folder with room for the scores, while they are in use.
        names: of the models; None: their folders.

    Raises EarshotError if the folders are not of the same classes and windows.
    """
    Path(scratch).mkdir(parents=True, exist_ok=True)
    first: Units | None = None
    scores: list[np.ndarray] = []
    problems: list[Problem] = []
    for folder in folders:
        with ResultsStore(folder) as store:
            blocks, unit_problems = segment_units(data_set, store, settings.evaluate.min_seconds)
            units = blocks.whole()
        if first is None:
            first, problems = units, unit_problems
        elif fault := _difference(first, units):
            remedy = "run infer with the same recordings and infer.overlap"
            raise EarshotError(folder, f"does not fit {folders[0]}: {fault}", remedy)
        scores.append(_mapped(units.scores, scratch))
    assert first is not None
    return ModelScores(names or [str(folder) for folder in folders], first, scores), problems


def _mapped(scores: np.ndarray, folder: str | Path) -> np.ndarray:
    """The same scores in a file of the folder without a name, which disappears with the process.

    Not in the system's folder for temporary files, which is memory on many machines.
    """
    if not scores.size:
        return scores
    with TemporaryFile(dir=folder) as file:
        scores.tofile(file)
        file.flush()
        return np.memmap(file, np.float32, "r", shape=scores.shape)


def _difference(units: Units, others: Units) -> str:
    """Where the rows and columns of two tests differ first; empty if they do not."""
    named = {"class": (units.classes, others.classes), "recording": (units.recordings, others.recordings)}
    for what, (one, other) in named.items():
        if one != other:
            return f"{what} {min({*one} ^ {*other}, default=one[0])} is not in both, or not in the same place"
    for index, name in enumerate(units.recordings):
        if not np.array_equal(*(each.start_time[each.recording == index] for each in (units, others))):
            return f"recording {name} has other windows"
    return ""


def _remove_old_stores(folder: Path) -> None:
    for store in folder.glob(f"*/results/{RESULTS_FILE}"):
        if store.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(store.parents[1])
