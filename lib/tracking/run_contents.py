"""What goes into an MLflow run: settings, code and data versions, epochs, evaluation, model, files."""

import csv
import json
import math
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lib.config.schema import Settings
from lib.core.files import without_password
from lib.tracking.data_versions import commit_tags, data_set_versions, flatten, read_data_versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

LEARNING_CURVES = "metrics/train.csv"
RECORDS = ("params.yaml", "dvc.lock", "metrics/extract.json", "metrics/train.json", LEARNING_CURVES)


def params_of(settings: Settings) -> dict[str, str]:
    """All settings as MLflow params, without passwords."""
    return {name: without_password(text) for name, text in flatten(settings.model_dump()).items()}


def log_origin(client: "MlflowClient", run_id: str, settings: Settings, stage: str) -> None:
    """Log commit and data versions: as params and tags, which compare, and as inputs, which the UI lists.

    stage: the running one.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    versions = read_data_versions(leave_out=stage)
    data_sets = data_set_versions(settings, versions)
    tags = {f"md5.{path}": md5 for path, md5 in versions.items()} | {"mlflow.source.name": "dvc.yaml"}
    md5s = {f"{section}.md5": md5 for section, (_, md5) in data_sets.items()}
    log_batch(client, run_id, params=md5s, tags=tags | commit_tags())
    inputs = []
    for path, md5 in dict.fromkeys(data_sets.values()):  # one for each, whose context names all sections that use it
        sections = ", ".join(section for section, data_set in data_sets.items() if data_set == (path, md5))
        data_set = Dataset(path, md5, "local", json.dumps({"uri": os.path.abspath(path)}))
        inputs.append(DatasetInput(data_set, [InputTag("mlflow.data.context", sections)]))
    client.log_inputs(run_id, datasets=inputs)


def logged_epochs(client: "MlflowClient", run_id: str) -> set[int]:
    """Epochs, from 1, of which the run has metrics."""
    return {metric.step for metric in client.get_metric_history(run_id, "train_loss")}


def log_missing_epochs(client: "MlflowClient", run_id: str, curves: str | Path = LEARNING_CURVES) -> None:
    """Add the epochs of the learning curves (CSV, a row an epoch) that the run lacks."""
    present = logged_epochs(client, run_id)
    with open(curves, newline="", encoding="utf-8") as file:
        for epoch, row in enumerate(csv.DictReader(file), 1):  # each fold counts from 1 again
            if epoch not in present:
                log_batch(client, run_id, {name: float(value) for name, value in row.items() if value}, epoch)


def log_model(client: "MlflowClient", experiment_id: str, run_id: str, models: str | Path) -> str:
    """Add a folder as the run's model; returns its id. The files are copied as they are, nothing is pickled."""
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(experiment_id, name="recognizer", source_run_id=run_id)
    client.log_model_artifacts(model.model_id, str(models))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return model.model_id


def log_evaluation(client: "MlflowClient", run_id: str, evaluation: str | Path, model_id: str | None) -> None:
    """Log the finite numbers of a flat JSON file as metrics of the run, and of the model if one is given."""
    content = json.loads(Path(evaluation).read_text(encoding="utf-8"))
    numbers = {name: value for name, value in content.items() if type(value) in (int, float) and math.isfinite(value)}
    log_batch(client, run_id, numbers, model_id=model_id)


def log_files(client: "MlflowClient", run_id: str, report: str | Path) -> None:
    """Add the report folder, and the small files that record the pipeline's inputs and outcome."""
    client.log_artifacts(run_id, str(report), "report")
    for record in RECORDS:
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
    """Log everything in one transaction. Characters that MLflow does not allow in names become `_`."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        [Metric(_name(key), float(value), now, step, model_id=model_id) for key, value in (metrics or {}).items()],
        [Param(_name(key), value) for key, value in (params or {}).items()],
        [RunTag(_name(key), value) for key, value in (tags or {}).items()],
    )


def _name(key: str) -> str:
    return re.sub(r"[^/\w.\- :]", "_", key)
