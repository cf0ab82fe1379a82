"""Scores of several models for the segments of a test set, each model scored once and kept on disk.

A model's scores are one file of float32, segment by segment in the order of `Units`, that is read through a memory map,
so that memory does not grow with the number of models. A run that was stopped goes on with the models that it lacks.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lib.audio.spectrogram import recording_windows
from lib.audio.windows import n_windows
from lib.config import Audio, Settings
from lib.console import progress
from lib.digests import digest_code, digest_file, digest_known_file, digest_of
from lib.errors import AudioError, EarshotError, Problem
from lib.evaluation.predictions import Predictions, read_predictions
from lib.evaluation.units import Units, segment_units
from lib.files import atomic, write_json
from lib.inference.manifest import SCORED_BY
from lib.models.description import Description, read_description
from lib.parallel import map_streams, n_workers

if TYPE_CHECKING:
    from lib.datasets.contents import Contents
    from lib.inference.predictor import Predictor

KEPT = 30 * 24 * 3600
"""Seconds for which scores are kept after their last use."""

Index = dict[str, dict[str, Any]]
"""What became of each recording, in the order of the scores: seconds, status (`ok` or `failed`) and reason."""


class Grid(NamedTuple):
    """Windows that are scored: settings of the spectrograms, and seconds from one to the next."""

    audio: Audio
    hop: float


@dataclass(frozen=True)
class ModelScores:
    """names: m models. units: truth of the test set (its own scores are 0). scores: of each model, float32 (n, c)."""

    names: list[str]
    units: Units
    scores: list[np.ndarray]


def score_models(
    models: list[Path], contents: "Contents", settings: Settings, folder: str | Path
) -> tuple[ModelScores, list[Problem]]:
    """Score the recordings of a test set with each of some checkpoints.

    settings: infer and evaluate are used. folder: where scores are kept. Recordings that cannot be read are left out
    and reported, and tried again another time. Raises EarshotError if the models have not the same classes and audio
    settings.
    """
    description, folder = _common_description(models), _cleared(folder)
    recordings = dict(sorted(contents.recordings.items()))
    digests = {name: digest_known_file(path) for name, path in recordings.items()}
    chosen = settings.infer
    scaling = [chosen.scaling_coefficient, chosen.scaling_intercept]
    settled = [digests, chosen.overlap, chosen.precision, *scaling, digest_code(*SCORED_BY)]
    files = [folder / f"{digest_of([digest_file(model), *settled])}.f32" for model in models]
    grid = Grid(description.audio, description.audio.spec_duration - chosen.overlap)
    can_be_read = cache(lambda name: _can_be_read(recordings[name], grid))
    missing = [pair for pair in zip(models, files, strict=True) if not _is_complete(pair[1], can_be_read)]
    steps = _score_all(missing, recordings, grid, settings)
    total = len(models) * len(recordings)
    for _ in progress(steps, "score", total, done=total - len(missing) * len(recordings)):
        pass

    indexes = [_read_index(file) for file in files]
    common = {
        name: next((index[name] for index in indexes if index[name]["status"] != "ok"), indexes[0][name])
        for name in recordings
    }
    predictions = _without_scores(description, chosen.overlap, common)
    units, problems = segment_units(contents, predictions, settings.evaluate.min_seconds)
    scores = [
        _scores_of(file, index, common, grid, len(units.classes)) for file, index in zip(files, indexes, strict=True)
    ]
    return ModelScores([str(model) for model in models], units, scores), problems


def read_scores(
    folders: list[Path], contents: "Contents", settings: Settings, folder: str | Path
) -> tuple[ModelScores, list[Problem]]:
    """The same from what infer wrote, an output folder for each model. Raises EarshotError if they do not fit together.

    folder: where scores are kept.
    """
    folder = _cleared(folder)
    first: Units | None = None
    scores, problems = [], []
    for source in folders:
        units, found = segment_units(contents, read_predictions(source), settings.evaluate.min_seconds)
        if first is None:
            first, problems = units, found
        elif fault := _difference(first, units):
            action = "run infer with the same recordings and infer.overlap"
            raise EarshotError(f"{source}: does not fit {folders[0]}: {fault}; {action}")
        file = folder / f"{digest_of([digest_file(source / 'scores.csv'), str(source.resolve())])}.f32"
        with atomic(file) as part:
            units.scores.tofile(part)
        scores.append(np.memmap(file, np.float32, "r", shape=units.scores.shape))
    assert first is not None
    return ModelScores([str(source) for source in folders], first, list(scores)), problems


def _difference(units: Units, others: Units) -> str:
    """Where the rows and columns of two tests differ first; empty if they do not."""
    named = {"class": (units.classes, others.classes), "recording": (units.recordings, others.recordings)}
    for what, (one, other) in named.items():
        if one != other:
            return f"{what} {min({*one} ^ {*other}, default=one[0])} is not in both, or not in the same place"
    for index, name in enumerate(units.recordings):
        if not np.array_equal(*(one.start_time[one.recording == index] for one in (units, others))):
            return f"recording {name} has other windows"
    return ""


def _cleared(folder: str | Path) -> Path:
    """A folder for scores, there and without those that nobody has used for KEPT."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob(f"{'[0-9a-f]' * 32}.f32"):
        if file.stat().st_atime < time.time() - KEPT:
            file.unlink()
            _index_file(file).unlink(missing_ok=True)
    return folder


def _common_description(models: list[Path]) -> Description:
    first = read_description(models[0])
    for model in models[1:]:
        other = read_description(model)
        if (other.classes, other.audio) != (first.classes, first.audio):
            raise EarshotError(f"{model}: has other classes or audio settings than {models[0]}; keep them apart")
    return first


def _score_all(
    models: list[tuple[Path, Path]], recordings: dict[str, Path], grid: Grid, settings: Settings
) -> Iterator[None]:
    """Write the scores of each (model, file), and yield after each recording."""
    if not models:
        return
    from lib.inference.predictor import Predictor
    from lib.models.device import leave_room_for_reading

    leave_room_for_reading()
    for model, file in models:
        predictor = Predictor(str(model), device=settings.infer.device, cfg=settings)
        yield from _score(predictor, file, recordings, grid, settings)


def _score(
    predictor: "Predictor", file: Path, recordings: dict[str, Path], grid: Grid, settings: Settings
) -> Iterator[None]:
    batch = settings.infer.batch_size
    streams = map_streams(
        lambda path: recording_windows(path, grid.audio, grid.hop, batch),
        recordings.values(),
        n_workers(settings.infer.workers),
    )
    index: Index = {}
    _index_file(file).unlink(missing_ok=True)  # a run that is killed leaves none that does not fit
    with atomic(file) as part, part.open("wb") as out:
        for name, (_, windows) in zip(recordings, streams, strict=True):
            begin = out.tell()
            entry: dict[str, Any] = {"seconds": None, "status": "ok", "reason": ""}
            try:
                for _, spectrograms, seconds in windows:
                    scores, _ = predictor.get_block_scores(spectrograms)
                    out.write(np.asarray(scores, np.float32).tobytes())
                    entry["seconds"] = seconds
            except AudioError as error:
                out.seek(begin)
                out.truncate()
                entry |= {"seconds": None, "status": "failed", "reason": str(error).rpartition("; ")[0]}
            index[name] = entry
            yield
    write_json(_index_file(file), index)


def _is_complete(file: Path, can_be_read: Callable[[str], bool]) -> bool:
    """Whether a model's scores are there, of all recordings that can be read by now."""
    if not (file.is_file() and _index_file(file).is_file()):
        return False
    return not any(entry["status"] != "ok" and can_be_read(name) for name, entry in _read_index(file).items())


def _can_be_read(path: Path, grid: Grid) -> bool:
    try:
        for _ in recording_windows(path, grid.audio, grid.hop, 1):
            pass
    except AudioError:
        return False
    return True


def _scores_of(file: Path, index: Index, common: Index, grid: Grid, n_classes: int) -> np.ndarray:
    """A model's scores, float32 (n, n_classes), of the recordings that all models could read."""
    os.utime(file, (time.time(), file.stat().st_mtime))
    read = [name for name, entry in index.items() if entry["status"] == "ok"]
    counts = [n_windows(index[name]["seconds"], grid.audio.spec_duration, grid.hop) for name in read]
    scores = np.memmap(file, np.float32, "r", shape=(sum(counts), n_classes))
    kept = np.repeat([common[name]["status"] == "ok" for name in read], counts)
    return scores if kept.all() else scores[kept]


def _read_index(file: Path) -> Index:
    return json.loads(_index_file(file).read_text(encoding="utf-8"))


def _index_file(file: Path) -> Path:
    return file.with_suffix(".json")


def _without_scores(description: Description, overlap: float, index: Index) -> Predictions:
    """What infer would have written of the recordings, without any score."""
    empty = pd.DataFrame({"recording": [], "name": [], "start_time": [], "score": []})
    table = pd.DataFrame.from_dict(index, orient="index", columns=["seconds", "status", "reason"])
    return Predictions(
        scores=empty.astype({"recording": "category", "name": "category", "start_time": float, "score": np.float32}),
        recordings=table.astype({"seconds": float}).rename_axis("recording"),
        segment_len=description.audio.spec_duration,
        overlap=overlap,
        classes=description.class_names,
        codes={entry["code"]: entry["name"] for entry in description.classes if entry["code"]},
    )
