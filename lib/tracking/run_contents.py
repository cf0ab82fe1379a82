"""What goes into an MLflow run: settings, code and data versions, epochs, evaluation, model, files.

Names of metrics have prefixes, by which MLflow groups its charts: `train/` and `val/` are of each epoch, `test/` of the
evaluation, `test/class/NAME/` of a class, `system/` of the machine.
"""

import csv
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.config.schema import Settings
from lib.core.files import project_root, without_password
from lib.evaluation.figures import read_figures
from lib.tracking.data_versions import by_data_set, commit_tags, data_set_versions, flatten, read_committed

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LEARNING_CURVES = "metrics/train.csv"
CLASSES = "classes.csv"
"""In the report folder: the figures of each class."""
CONTEXT = "mlflow.data.context"
"""Tag of an input: the sections of the settings that name it."""
CLASS_FIGURES = ("pr_auc", "roc_auc", "precision", "recall", "f1")
WITHOUT_EFFECT = {"tracking", "tune"}
"""Sections that no result depends on."""
RECORDS = ("params.yaml", "dvc.lock", "metrics/extract.json")
TRAINING_RECORDS = ("metrics/train.json", LEARNING_CURVES)


def params_of(settings: Settings, sections: tuple[str, ...] = ()) -> dict[str, str]:
    """Settings on which results depend as MLflow params, without passwords: all, or those of `sections`.

    sections: how the settings' names begin, such as `data.test.`.
    """
    content = settings.model_dump(exclude=WITHOUT_EFFECT)
    texts = flatten(content).items()
    return {name: without_password(text) for name, text in texts if not sections or name.startswith(sections)}


def log_origin(client: "MlflowClient", run_id: str, data_sets: Mapping[str, tuple[str, str]] | None = None) -> None:
    """Log the commit, and data sets as inputs: by section of params.yaml, the path and the md5 that DVC recorded."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data_sets = data_sets or {}
    log_batch(client, run_id, tags={"mlflow.source.name": "dvc.yaml"} | commit_tags())
    inputs = []
    for (path, md5), sections in by_data_set(data_sets).items():
        place = project_root() / path  # which a temporary experiment's folder does not outlive
        data_set = Dataset(path, md5, "local", json.dumps({"uri": str(place)}))
        inputs.append(DatasetInput(data_set, [InputTag(CONTEXT, sections)]))
    if inputs:
        client.log_inputs(run_id, datasets=inputs)


class Epoch(NamedTuple):
    """An epoch of a training: its fold, from 1 (0: there is none), and its number in it, from 1."""

    fold: int
    number: int


def epoch_of(figures: Mapping[str, float]) -> Epoch:
    """The epoch that figures, with `epoch` and perhaps `fold` among them, are of."""
    return Epoch(int(figures.get("fold", 0)), int(figures["epoch"]))


def log_epoch(client: "MlflowClient", run_id: str, figures: Mapping[str, float]) -> None:
    """Log the figures of an epoch, whose number is the step."""
    epoch = epoch_of(figures)
    within = f"fold_{epoch.fold}/" if epoch.fold else ""
    metrics = {}
    for name, value in figures.items():
        group, _, rest = name.partition("_")
        if name not in ("epoch", "fold"):
            metrics[f"{group}/{within}{rest}" if group in ("train", "val") else f"train/{within}{name}"] = value
    log_batch(client, run_id, metrics, epoch.number)


def logged_epochs(client: "MlflowClient", run_id: str) -> set[Epoch]:
    """Epochs of which the run has metrics."""
    epochs: set[Epoch] = set()
    for name in client.get_run(run_id).data.metrics:
        if match := re.fullmatch(r"train/(?:fold_(\d+)/)?loss", name):
            steps = {metric.step for metric in client.get_metric_history(run_id, name)}
            epochs |= {Epoch(int(match[1] or 0), step) for step in steps}
    return epochs


def log_missing_epochs(client: "MlflowClient", run_id: str, curves: str | Path = LEARNING_CURVES) -> None:
    """Add the epochs of the learning curves (CSV, a row an epoch) that the run lacks."""
    present = logged_epochs(client, run_id)
    with open(curves, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            figures = {name: float(value) for name, value in row.items() if value}
            if epoch_of(figures) not in present:
                log_epoch(client, run_id, figures)


def log_evaluation(client: "MlflowClient", run_id: str, report: str | Path, model_id: str | None) -> None:
    """Log the figures of a report, and those of each class, as metrics of the run, and of the model if one is given.

    Bounds of intervals are not logged as metrics: the report, which is an artifact, has them.
    """
    figures = read_figures(report)
    metrics = {f"test/{name}": value for name, value in figures.items() if not name.endswith(("_low", "_high"))}
    with (Path(report) / CLASSES).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = {name: row[name] for name in CLASS_FIGURES if row.get(name)}
            shown = _name(row["class"]).replace("/", "_").replace("..", "__")
            while f"test/class/{shown}/{CLASS_FIGURES[0]}" in metrics:  # of a class that differs in such characters
                shown += "_"
            metrics |= {f"test/class/{shown}/{name}": float(value) for name, value in values.items()}
    log_batch(client, run_id, metrics, model_id=model_id)


def made_from(run: "Run") -> dict[str, str]:
    """What a run was made from, by name: its settings, the versions of its data sets, and the commit of its code."""
    versions = {
        tag.value: _version_text(entry.dataset.name, entry.dataset.digest)
        for entry in (run.inputs.dataset_inputs if run.inputs else ())
        for tag in entry.tags
        if tag.key == CONTEXT
    }
    commit = run.data.tags.get("mlflow.source.git.commit", "")[:7]
    changed = " with changes" if run.data.tags.get("git.code_dirty") == "true" else ""
    return {**run.data.params, **versions} | ({"commit": commit + changed} if commit else {})


def committed() -> dict[str, str] | None:
    """What a run of the commit would be made from, as made_from; None if that is not known."""
    if (known := read_committed()) is None:
        return None
    settings, versions = known
    data_sets = by_data_set(data_set_versions(settings, versions))
    return params_of(settings) | {sections: _version_text(*data_set) for data_set, sections in data_sets.items()}


def _version_text(path: str, md5: str) -> str:
    return f"{path} {md5[:7]}"


def log_records(client: "MlflowClient", run_id: str, is_trained: bool) -> None:
    """Add the small files that record the pipeline's inputs and outcome; is_trained: its model is the run's."""
    for record in (*RECORDS, *(TRAINING_RECORDS if is_trained else ())):
        if os.path.exists(record):
            client.log_artifact(run_id, record)


def log_batch(
    client: "MlflowClient",
    run_id: str,
    metrics: Mapping[str, float] | None = None,
    step: int = 0,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    model_id: str | None = None,
) -> None:
    """Log all of these. Characters that MLflow does not allow in names become `_`."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    points = [Metric(_name(key), float(value), now, step, model_id=model_id) for key, value in (metrics or {}).items()]
    client.log_batch(
        run_id,
        points,
        [Param(_name(key), value) for key, value in (params or {}).items()],
        [RunTag(_name(key), value) for key, value in (tags or {}).items()],
    )


def _name(key: str) -> str:
    return re.sub(r"[^/\w.\- :]", "_", key)
