"""Scores of several models for the segments of a test set, each model scored once and kept on disk.

A model's scores are one file of float32, segment by segment in the order of `Units`, that is read through a memory map,
so that memory does not grow with the number of models. A run that was stopped goes on with the models that it lacks.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lib.audio.spectrogram import recording_windows
from lib.config import Settings
from lib.console import progress
from lib.digests import digest_code, digest_file, digest_known_file, digest_of
from lib.errors import AudioError, EarshotError, Problem
from lib.evaluation.predictions import Predictions, read_predictions
from lib.evaluation.units import Units, segment_units
from lib.files import atomic, printable, write_json
from lib.models.description import Description, read_description
from lib.parallel import map_streams, n_workers

if TYPE_CHECKING:
    from lib.datasets.contents import Contents
    from lib.inference.predictor import Predictor

CODE = (
    *("audio/reader.py", "audio/spectrogram.py", "audio/windows.py", "inference/networks.py", "inference/predictor.py"),
    *("inference/scaling.py", "models/backbones.py", "models/heads.py", "models/recognizer.py"),
)
"""What scores are made by: after a change there, models are scored anew."""


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
    and reported. Raises EarshotError if the models have not the same classes and audio settings.
    """
    description = _common_description(models)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recordings = dict(sorted(contents.recordings.items()))
    digests = {name: digest_known_file(path) for name, path in recordings.items()}
    chosen = settings.infer
    scaling = [chosen.scaling_coefficient, chosen.scaling_intercept]
    settled = [digests, chosen.overlap, chosen.precision, *scaling, digest_code(*CODE)]
    files = [folder / f"{digest_of([digest_file(model), *settled])}.f32" for model in models]
    missing = [(model, file) for model, file in zip(models, files, strict=True) if not _is_complete(file)]
    steps = _score_all(missing, recordings, description, settings)
    total = len(models) * len(recordings)
    for _ in progress(steps, "score", total, done=total - len(missing) * len(recordings)):
        pass

    index = json.loads(_index_file(files[0]).read_text(encoding="utf-8"))
    predictions = _without_scores(description, settings.infer.overlap, index)
    units, problems = segment_units(contents, predictions, settings.evaluate.min_seconds)
    shape = units.truth.shape
    scores = [np.memmap(file, np.float32, "r", shape=shape) for file in files]
    return ModelScores([str(model) for model in models], units, list(scores)), problems


def read_scores(
    folders: list[Path], contents: "Contents", settings: Settings, folder: str | Path
) -> tuple[ModelScores, list[Problem]]:
    """The same from what infer wrote, an output folder for each model. Raises EarshotError if they do not fit together.

    folder: where scores are kept.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    first: Units | None = None
    scores, problems = [], []
    for source in folders:
        units, found = segment_units(contents, read_predictions(source), settings.evaluate.min_seconds)
        if first is None:
            first, problems = units, found
        elif units.classes != first.classes or not np.array_equal(units.start_time, first.start_time):
            fault = f"has other classes, recordings or windows than {folders[0]}"
            raise EarshotError(f"{source}: {fault}; run infer with the same recordings and infer.overlap")
        file = Path(folder) / f"{digest_of([digest_file(source / 'scores.csv'), str(source.resolve())])}.f32"
        with atomic(file) as part:
            units.scores.tofile(part)
        scores.append(np.memmap(file, np.float32, "r", shape=units.scores.shape))
    assert first is not None
    return ModelScores([str(source) for source in folders], first, list(scores)), problems


def _common_description(models: list[Path]) -> Description:
    first = read_description(models[0])
    for model in models[1:]:
        other = read_description(model)
        if (other.classes, other.audio) != (first.classes, first.audio):
            raise EarshotError(f"{model}: has other classes or audio settings than {models[0]}; keep them apart")
    return first


def _score_all(
    models: list[tuple[Path, Path]], recordings: dict[str, Path], description: Description, settings: Settings
) -> Iterator[None]:
    """Write the scores of each (model, file), and yield after each recording."""
    if not models:
        return
    from lib.inference.predictor import Predictor
    from lib.models.device import leave_room_for_reading

    leave_room_for_reading()
    for model, file in models:
        predictor = Predictor(str(model), device=settings.infer.device, cfg=settings)
        yield from _score(predictor, file, recordings, description, settings)


def _score(
    predictor: "Predictor", file: Path, recordings: dict[str, Path], description: Description, settings: Settings
) -> Iterator[None]:
    hop, batch = description.audio.spec_duration - settings.infer.overlap, settings.infer.batch_size
    streams = map_streams(
        lambda path: recording_windows(path, description.audio, hop, batch),
        recordings.values(),
        n_workers(settings.infer.workers),
    )
    index: dict[str, dict] = {}
    with atomic(file) as part, part.open("wb") as out:
        for name, (path, windows) in zip(recordings, streams, strict=True):
            begin = out.tell()
            entry: dict[str, Any] = {"path": printable(str(path)), "seconds": None, "status": "ok", "reason": ""}
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


def _is_complete(file: Path) -> bool:
    return file.is_file() and _index_file(file).is_file()


def _index_file(file: Path) -> Path:
    return file.with_suffix(".json")


def _without_scores(description: Description, overlap: float, index: dict[str, dict]) -> Predictions:
    """What infer would have written of the recordings, without any score."""
    empty = pd.DataFrame({"recording": [], "name": [], "start_time": [], "score": []})
    table = pd.DataFrame.from_dict(index, orient="index", columns=["path", "seconds", "status", "reason"])
    return Predictions(
        scores=empty.astype({"recording": "category", "name": "category", "start_time": float, "score": np.float32}),
        recordings=table.astype({"seconds": float}).rename_axis("recording"),
        segment_len=description.audio.spec_duration,
        overlap=overlap,
        classes=description.class_names,
        codes={entry["code"]: entry["name"] for entry in description.classes if entry["code"]},
    )
