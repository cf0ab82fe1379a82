"""Which of some models are best together: the scores of an ensemble are the mean of its models' scores.

If there are few ensembles of a size, all are tried. Otherwise models are added one by one, each time the one that helps
most (Caruana et al., Ensemble Selection from Libraries of Models, 2004, without replacement); then single models are
exchanged as long as that helps; the remaining trials go to ensembles drawn at random.

The best of many on a test set is better there than elsewhere: choose on validation data, and test on other recordings.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.config.schema import EvaluateSettings
from lib.core.errors import EarshotError, SettingsError
from lib.core.files import atomic
from lib.core.progress import progress
from lib.evaluation.metrics import areas
from lib.evaluation.segment_metrics import measure
from lib.evaluation.units import Units
from lib.models.description import description_file
from lib.tuning.model_scores import ModelScores
from lib.tuning.tuning_metrics import AREAS

ENSEMBLE_METRICS = (*AREAS, "precision", "recall", "f1", "best_f1", "accuracy")


class Ensemble(NamedTuple):
    """An ensemble that was tried.

    Args:
        models: their indexes, rising.
        score: how good they are together.
        found_by: all, greedy, swap or random.
        low, high: bounds of the 95 % interval of the score, NaN if it was not computed.
    """

    models: tuple[int, ...]
    score: float
    found_by: str
    low: float = np.nan
    high: float = np.nan


def metric_name(name: str) -> str:
    """A figure of the evaluation by its name, also with `_auc` at its end. Raises SettingsError."""
    if (candidate := name.removesuffix("_auc")) in ENSEMBLE_METRICS:
        return candidate
    raise SettingsError(f"metric = {name!r}", f"must be one of {', '.join(ENSEMBLE_METRICS)}")


def evaluate_ensemble(models: ModelScores, chosen: Iterable[int], metric: str, threshold: float = 0.5) -> float:
    """One of ENSEMBLE_METRICS, of the mean scores of the chosen models. Raises EarshotError if it is undefined."""
    units, parts = models.units, [models.scores[index] for index in chosen]
    if metric in AREAS:
        value = _area(units, parts, metric)
    else:
        value = measure(replace(units, scores=_mean(parts)), threshold, resamples=0).figures.get(metric, np.nan)
    if not np.isfinite(value):
        raise EarshotError(f"metric = {metric!r}", "is not defined on this test set", "choose another")
    return float(value)


def _area(units: Units, parts: list[np.ndarray], metric: str) -> float:
    """One of AREAS, NaN if it is undefined; for a macro average, a column of each model is read at a time."""
    average, curve = metric.split("_")
    which = ("pr", "roc").index(curve)
    if average == "micro":
        return areas(units.truth.ravel(), _mean(parts).ravel())[which]
    columns = enumerate(units.truth.T)
    of_classes = np.array([areas(truth, _mean([part[:, k] for part in parts]))[which] for k, truth in columns])
    return float(of_classes[np.isfinite(of_classes)].mean()) if np.isfinite(of_classes).any() else np.nan


def _mean(parts: list[np.ndarray]) -> np.ndarray:
    total = np.array(parts[0], np.float32)
    for part in parts[1:]:
        total += part
    return total / np.float32(len(parts))


def find_ensembles(
    models: ModelScores, sizes: range, metric: str, trials: int, settings: EvaluateSettings
) -> list[Ensemble]:
    """Ensembles of these sizes, up to `trials` of each, ranked, the best of each size with its interval."""
    count, threshold = len(models.names), settings.threshold
    steps = search_ensembles(count, sizes, trials, lambda chosen: evaluate_ensemble(models, chosen, metric, threshold))
    tried = ranked(progress(steps, "ensemble", n_trials(count, sizes, trials), unit="ensembles"))
    for size in sizes:
        rank, best = next((rank, ensemble) for rank, ensemble in enumerate(tried) if len(ensemble.models) == size)
        units = replace(models.units, scores=_mean([models.scores[index] for index in best.models]))
        figures = measure(units, threshold, settings.bootstrap, settings.seed).figures
        low, high = (figures.get(f"{metric}_{side}", np.nan) for side in ("low", "high"))
        tried[rank] = best._replace(low=low, high=high)
    return tried


def n_trials(n_models: int, sizes: Iterable[int], trials: int) -> int:
    """How many ensembles `search_ensembles` tries, at most."""
    counts = ((comb(n_models, size), sum(n_models - taken for taken in range(size))) for size in sizes)
    return sum(count if count <= trials else max(trials, steps) for count, steps in counts)


def search_ensembles(
    n_models: int, sizes: Iterable[int], trials: int, score: Callable[[tuple[int, ...]], float], seed: int = 1
) -> Iterator[Ensemble]:
    """Try ensembles and yield each once, as soon as its score is known.

    Args:
        trials: ensembles of each size to try; adding models one by one may take more.
        score: how good an ensemble is; more is better.
        seed: the same seed gives the same ensembles.
    """
    rng = np.random.default_rng(seed)
    scores: dict[tuple[int, ...], float] = {}

    def try_all(candidates: Iterable[tuple[int, ...]], found_by: str) -> Iterator[Ensemble]:
        for candidate in candidates:
            if candidate not in scores:
                scores[candidate] = score(candidate)
                yield Ensemble(candidate, scores[candidate], found_by)

    for size in sizes:
        if comb(n_models, size) <= trials:
            yield from try_all(combinations(range(n_models), size), "all")
            continue
        best: tuple[int, ...] = ()
        for _ in range(size):
            longer = [tuple(sorted((*best, model))) for model in range(n_models) if model not in best]
            yield from try_all(longer, "greedy")
            best = max(longer, key=scores.__getitem__)

        def n_remaining(size: int = size) -> int:
            return max(0, trials - sum(len(models) == size for models in scores))

        while n_remaining():
            neighbours = _exchanged(best, n_models)
            yield from try_all([models for models in neighbours if models not in scores][: n_remaining()], "swap")
            better = max((models for models in neighbours if models in scores), key=scores.__getitem__)
            if scores[better] <= scores[best]:
                break
            best = better
        while n_remaining():
            drawn = rng.choice(n_models, size, replace=False)
            yield from try_all([tuple(sorted(drawn.tolist()))], "random")


def _exchanged(models: tuple[int, ...], n_models: int) -> list[tuple[int, ...]]:
    """The ensembles that differ in one model."""
    others = [model for model in range(n_models) if model not in models]
    return [tuple(sorted({*models, new} - {old})) for old in models for new in others]


def ranked(ensembles: Iterable[Ensemble]) -> list[Ensemble]:
    """Best first; of equals the one of fewer models, then of the first models."""
    return sorted(ensembles, key=lambda ensemble: (-ensemble.score, len(ensemble.models), ensemble.models))


def ensemble_table(tried: Sequence[Ensemble], names: list[str]) -> pd.DataFrame:
    """ensemble.csv: size, score, low, high, found_by, checkpoints (their names), in the order of `tried`."""
    table = pd.DataFrame(tried, columns=Ensemble._fields)
    table["size"] = table["models"].map(len)
    table["checkpoints"] = table["models"].map(lambda models: "; ".join(names[index] for index in models))
    return table[["size", "score", "low", "high", "found_by", "checkpoints"]]


def check_output(folder: Path) -> None:
    """Raise EarshotError if there are models in the folder, which would become part of the ensemble."""
    if any(folder.glob("*.pt")):
        raise EarshotError(folder, "holds models already", "give an empty folder as --output")


def copy_models(models: list[Path], folder: Path) -> None:
    """Copy checkpoints with their descriptions into a folder; those of equal names get their folder's name before it.

    Raises EarshotError if that does not tell them apart.
    """
    names = [model.name for model in models]
    for model in models:
        name = model.name if names.count(model.name) == 1 else f"{model.resolve().parent.name}-{model.name}"
        if (folder / name).exists():
            raise EarshotError(folder / name, "two of the models have this name", "rename one of them")
        for source, target in ((model, folder / name), (description_file(model), description_file(folder / name))):
            with atomic(target) as part:
                part.write_bytes(source.read_bytes())
