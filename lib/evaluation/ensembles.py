"""Which of some models are best together: the scores of an ensemble are the mean of its models' scores.

Where there are few ensembles of a size, all are tried. Otherwise models are added one by one, each time the one that
helps most (Caruana et al., Ensemble Selection from Libraries of Models, 2004, without replacement); then single models
are exchanged as long as that helps; what is left of the trials goes to ensembles drawn at random.

The best of many on a test set is better there than elsewhere: choose on validation data, and test on other recordings.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.config import Evaluate
from lib.console import progress
from lib.errors import EarshotError, SettingsError
from lib.evaluation import metrics
from lib.evaluation.model_scores import ModelScores
from lib.evaluation.results import measure
from lib.evaluation.units import Units
from lib.files import atomic
from lib.models.description import description_file

AREAS = ("macro_pr_auc", "micro_pr_auc", "macro_roc_auc", "micro_roc_auc")
METRICS = (*AREAS, "precision", "recall", "f1", "best_f1", "accuracy")


class Ensemble(NamedTuple):
    """Indexes of models, rising; how good they are together; and how they were found: all, greedy, swap or random."""

    models: tuple[int, ...]
    score: float
    found_by: str


def metric_name(name: str) -> str:
    """A figure of the evaluation by its name, or without `_auc`. Raises SettingsError."""
    for candidate in (name, f"{name}_auc"):
        if candidate in METRICS:
            return candidate
    raise SettingsError(f"metric = {name!r}: must be one of {', '.join(METRICS)}")


def evaluate_ensemble(models: ModelScores, chosen: Iterable[int], metric: str, threshold: float = 0.5) -> float:
    """A figure of the mean scores of the chosen models; see METRICS. Raises EarshotError if it is undefined."""
    parts = [models.scores[index] for index in chosen]
    if metric not in AREAS:
        value = measure(_together(models.units, parts), threshold, resamples=0).figures.get(metric, np.nan)
    else:
        average, _, area = metric.partition("_")
        area_of = _micro_area if average == "micro" else _macro_area
        value = area_of(models.units, parts, 0 if area == "pr_auc" else 1)
    if not np.isfinite(value):
        raise EarshotError(f"metric = {metric!r}: is not defined on this test set; choose another")
    return float(value)


def _micro_area(units: Units, parts: list[np.ndarray], area: int) -> float:
    owner = np.repeat(units.recording, len(units.classes))
    return _areas(units, units.truth.ravel(), _mean(parts).ravel(), owner)[area]


def _macro_area(units: Units, parts: list[np.ndarray], area: int) -> float:
    """Class by class: no more than a column of each model is read at a time."""
    values = np.array(
        [
            _areas(units, truth, _mean([part[:, column] for part in parts]), units.recording)[area]
            for column, truth in enumerate(units.truth.T)
        ]
    )
    defined = np.isfinite(values)
    return values[defined].mean() if defined.any() else np.nan


def _areas(units: Units, truth: np.ndarray, scores: np.ndarray, recording: np.ndarray) -> list[float]:
    once = np.ones((1, len(units.recordings)), np.float32)
    return [float(area[0]) for area in metrics.areas(metrics.rank(truth, scores, recording), once)]


def interval_of(
    models: ModelScores, chosen: Iterable[int], metric: str, threshold: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Bounds of the 95 % interval of that figure, NaN where there are none."""
    units = _together(models.units, [models.scores[index] for index in chosen])
    figures = measure(units, threshold, resamples, seed).figures
    return figures.get(f"{metric}_low", np.nan), figures.get(f"{metric}_high", np.nan)


class Found(NamedTuple):
    """Ensembles that were tried, best first, and bounds of the 95 % intervals of the best of each size."""

    tried: list[Ensemble]
    intervals: dict[tuple[int, ...], tuple[float, float]]


def find(models: ModelScores, sizes: range, metric: str, trials: int, settings: Evaluate) -> Found:
    """Search the ensembles of these sizes, showing progress. trials: of each size; settings: of the evaluation."""
    count, threshold = len(models.names), settings.threshold
    steps = search(count, sizes, trials, lambda chosen: evaluate_ensemble(models, chosen, metric, threshold))
    tried = ranked(progress(steps, "ensemble", n_trials(count, sizes, trials), unit="ensembles"))
    leaders = {len(entry.models): entry.models for entry in reversed(tried)}.values()
    resampled = settings.bootstrap, settings.seed
    return Found(tried, {best: interval_of(models, best, metric, threshold, *resampled) for best in leaders})


def n_trials(n_models: int, sizes: Iterable[int], trials: int) -> int:
    """How many ensembles `search` tries, at most."""
    total = 0
    for size in sizes:
        steps = sum(n_models - taken for taken in range(size))
        total += comb(n_models, size) if comb(n_models, size) <= trials else max(trials, steps)
    return total


def search(
    n_models: int, sizes: Iterable[int], trials: int, score: Callable[[tuple[int, ...]], float], seed: int = 1
) -> Iterator[Ensemble]:
    """Try ensembles and yield each once, as soon as its score is known.

    sizes: numbers of models. trials: how many of each size to try; adding models one by one may take more.
    score: how good an ensemble is; more is better. The same seed gives the same ensembles.
    """
    rng = np.random.default_rng(seed)
    known: dict[tuple[int, ...], float] = {}

    def look(candidates: Iterable[tuple[int, ...]], found_by: str) -> Iterator[Ensemble]:
        for candidate in candidates:
            if candidate not in known:
                known[candidate] = score(candidate)
                yield Ensemble(candidate, known[candidate], found_by)

    for size in sizes:
        if comb(n_models, size) <= trials:
            yield from look(combinations(range(n_models), size), "all")
            continue
        best: tuple[int, ...] = ()
        for _ in range(size):
            longer = [tuple(sorted((*best, model))) for model in range(n_models) if model not in best]
            yield from look(longer, "greedy")
            best = max(longer, key=known.__getitem__)

        def left(size: int = size) -> int:
            return max(0, trials - sum(len(models) == size for models in known))

        while left():
            near = [models for models in _exchanged(best, n_models) if models not in known][: left()]
            yield from look(near, "swap")
            better = max((models for models in _exchanged(best, n_models) if models in known), key=known.__getitem__)
            if known[better] <= known[best]:
                break
            best = better
        while left():
            drawn = rng.choice(n_models, size, replace=False)
            yield from look([tuple(sorted(drawn.tolist()))], "random")


def _exchanged(models: tuple[int, ...], n_models: int) -> list[tuple[int, ...]]:
    """The ensembles that differ in one model."""
    others = [model for model in range(n_models) if model not in models]
    return [tuple(sorted({*models, new} - {old})) for old in models for new in others]


def ranked(ensembles: Iterable[Ensemble]) -> list[Ensemble]:
    """Best first; of equals the one of fewer models, then of the first models."""
    return sorted(ensembles, key=lambda ensemble: (-ensemble.score, len(ensemble.models), ensemble.models))


def ensemble_table(found: Found, names: list[str]) -> pd.DataFrame:
    """ensemble.csv: size, score, low and high (of those with an interval), found_by, checkpoints, in that order."""
    nothing = (np.nan, np.nan)
    rows = [
        (len(models), score, *found.intervals.get(models, nothing), found_by, "; ".join(names[i] for i in models))
        for models, score, found_by in found.tried
    ]
    return pd.DataFrame(rows, columns=["size", "score", "low", "high", "found_by", "checkpoints"])


def check_output(folder: Path) -> None:
    """Raise EarshotError if there are models in the folder, which would become part of the ensemble."""
    if any(folder.glob("*.pt")):
        raise EarshotError(f"{folder}: holds models already; give an empty folder as --output")


def copy_models(models: list[Path], folder: Path) -> None:
    """Copy checkpoints with their descriptions into a folder; equal names get those of their folders before them."""
    names = [model.name for model in models]
    for model in models:
        name = model.name if names.count(model.name) == 1 else f"{model.resolve().parent.name}-{model.name}"
        if (folder / name).exists():
            raise EarshotError(f"{folder / name}: two of the models have this name; rename one of them")
        for source, target in ((model, folder / name), (description_file(model), description_file(folder / name))):
            with atomic(target) as part:
                part.write_bytes(source.read_bytes())


def _together(units: Units, parts: list[np.ndarray]) -> Units:
    return replace(units, scores=_mean(parts))


def _mean(parts: list[np.ndarray]) -> np.ndarray:
    total = np.array(parts[0], np.float32)
    for part in parts[1:]:
        total += part
    return total / np.float32(len(parts))
