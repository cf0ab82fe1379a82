"""One MLflow run for each pipeline or experiment run that DVC starts, whichever of its stages had to be done.

The train stage opens the run and logs each epoch as it ends; the evaluate stage, which is always last, completes it.
They are two processes, perhaps hours apart, and others may use the same store, so a run carries tags by which the next
stage finds it: the folder it runs in (DVC runs one pipeline at a time in a folder; each queued or temporary experiment
has its own), the key of the training, and the digest of the resulting model. The run of a killed training is continued
by the training that resumes it; a run that nothing can continue is closed. If no training was needed, evaluate makes
the run and takes the epochs from the learning curves.

Tracking never stops the work: what fails becomes a Problem. Outside of DVC nothing is tracked.
"""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.config.schema import Settings
from lib.core.digests import digest_file, digest_of
from lib.core.errors import Problem
from lib.core.files import without_password
from lib.tracking import run_contents as contents
from lib.tracking.data_versions import read_commit, read_data_versions
from lib.tracking.mlflow_store import open_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOST, FOLDER, KEY, MODEL = "earshot.host", "earshot.folder", "earshot.training", "earshot.model"
COMPLETE = "earshot.complete"
"""Digest of all that a finished run is about."""
TRAINING_SECTIONS = ("data.train.", "audio.", "extract.", "train.")


class _OpenRun(NamedTuple):
    client: "MlflowClient"
    experiment_id: str
    run_id: str


class EpochLog:
    """Where a training reports its epochs. After a failure it logs no more: evaluate adds what is missing."""

    def __init__(self, run: _OpenRun | None, last_epoch: int, problems: list[Problem]) -> None:
        self._run = run
        self._last_epoch = last_epoch
        self.problems = problems

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics, unless the run that is resumed has them. epoch: from 1."""
        if self._run and not self.problems and epoch > self._last_epoch:
            with passing_over(self.problems):
                contents.log_batch(self._run.client, self._run.run_id, metrics, epoch)


@contextmanager
def training_run(
    settings: Settings, key: str, models: str | Path = "data/models", epochs_done: int = 0
) -> Iterator[EpochLog]:
    """Open the MLflow run of a training, or the one that it resumes; write the model inside the block.

    Args:
        key: digest of data and settings, equal only for a training and its resumption.
        models: the folder of the finished model, by whose content evaluate finds the run.
        epochs_done: how many epochs an interrupted training has done already; 0: this one starts from scratch.

    Yields an EpochLog, whose `problems` are for the stage to show.
    """
    problems: list[Problem] = []
    run, last_epoch = None, 0
    if _in_pipeline():
        texts = contents.params_of(settings).items()
        params = {name: text for name, text in texts if name.startswith(TRAINING_SECTIONS)}

        def is_resumed(run: "Run") -> bool:
            return run.data.tags.get(KEY) == key and (epochs_done > 0 or not run.data.metrics)

        with passing_over(problems):
            run = _begin(settings, is_resumed, params, {KEY: key})
            last_epoch = max(contents.logged_epochs(run.client, run.run_id), default=0)
    with ended_by_errors(run.client, run.run_id) if run else nullcontext():
        yield EpochLog(run, last_epoch, problems)
    if run:
        with passing_over(problems):
            run.client.set_tag(run.run_id, MODEL, _digest_folder(models))


def complete_run(
    settings: Settings,
    evaluation: str | Path = "metrics/evaluation.json",
    report: str | Path = "metrics/report",
    models: str | Path = "data/models",
) -> list[Problem]:
    """Complete the MLflow run of this pipeline run, and end it; call it when all of these are written.

    Args:
        evaluation: JSON of flat numbers.
        report: folder of tables and pictures.
        models: folder of the evaluated model.

    Returns what could not be tracked.
    """
    problems: list[Problem] = []
    if _in_pipeline():
        with passing_over(problems):
            model, params = _digest_folder(models), contents.params_of(settings)
            versions = read_data_versions(leave_out=os.environ["DVC_STAGE"])
            done = digest_of([model, params, digest_file(evaluation), _run_name(), versions])
            if _is_complete(settings, model, done):  # evaluate was killed when all was logged
                return problems
            client, experiment_id, run_id = _begin(
                settings, lambda run: run.data.tags.get(MODEL) == model, params, {MODEL: model}
            )
            contents.log_origin(client, run_id, settings, stage=os.environ["DVC_STAGE"])
            contents.log_missing_epochs(client, run_id)
            model_id = None
            if settings.tracking.log_model:
                model_id = contents.log_model(client, experiment_id, run_id, models)
            contents.log_evaluation(client, run_id, evaluation, model_id)
            contents.log_files(client, run_id, report)
            client.set_tag(run_id, COMPLETE, done)
            client.set_terminated(run_id, "FINISHED")
    return problems


def _is_complete(settings: Settings, model: str, done: str) -> bool:
    """Whether a run of this folder with that digest is finished, and none of the model is open."""
    client, experiment_id = open_experiment(settings.tracking)
    runs = client.search_runs([experiment_id], f"tags.`{MODEL}` = '{model}'", max_results=1000)
    here = [(run.info.status, run.data.tags.get(COMPLETE)) for run in runs if _is_here(run)]
    return ("FINISHED", done) in here and all(status != "RUNNING" for status, _ in here)


def _in_pipeline() -> bool:
    return "DVC_STAGE" in os.environ


@contextmanager
def passing_over(problems: list[Problem]) -> Iterator[None]:
    """Whatever fails inside becomes a Problem."""
    try:
        yield
    except Exception as error:
        text = without_password(str(error).strip().partition("\n")[0])[:200]
        fault = f"this run is not fully tracked ({type(error).__name__}: {text})"
        problems.append(Problem("MLflow store", fault, "check that tracking.uri can be reached and has room to write"))


@contextmanager
def ended_by_errors(client: "MlflowClient", run_id: str) -> Iterator[None]:
    """If the block raises an error, the run says that it failed or was killed."""
    try:
        yield
    except BaseException as error:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise


def _begin(
    settings: Settings, continues: Callable[["Run"], bool], params: Mapping[str, str], tags: Mapping[str, str]
) -> _OpenRun:
    """Continue the newest unfinished run of this folder that fits, else create one; close abandoned ones.

    A run with other params does not fit: MLflow cannot change a param.
    """
    client, experiment_id = open_experiment(settings.tracking)
    unfinished = client.search_runs(
        [experiment_id], "attributes.status != 'FINISHED'", max_results=200, order_by=["attributes.start_time DESC"]
    )
    fitting = (run for run in unfinished if _is_here(run) and continues(run) and _agrees(run, params))
    run_id = next((run.info.run_id for run in fitting), None)
    for run in unfinished:
        if run.info.status == "RUNNING" and run.info.run_id != run_id and (_is_here(run) or _folder_is_gone(run)):
            client.set_terminated(run.info.run_id, "KILLED")
    if run_id:
        client.update_run(run_id, status="RUNNING", name=_run_name())
    else:
        origin = {HOST: platform.node(), FOLDER: os.getcwd(), "mlflow.user": os.environ.get("USER", "unknown")}
        run_id = client.create_run(experiment_id, run_name=_run_name(), tags=origin).info.run_id
    contents.log_batch(client, run_id, params=params, tags=tags)
    return _OpenRun(client, experiment_id, run_id)


def _agrees(run: "Run", params: Mapping[str, str]) -> bool:
    return all(params.get(name, text) == text for name, text in run.data.params.items())


def _is_here(run: "Run") -> bool:
    return run.data.tags.get(HOST) == platform.node() and run.data.tags.get(FOLDER) == os.getcwd()


def _folder_is_gone(run: "Run") -> bool:
    return run.data.tags.get(HOST) == platform.node() and not os.path.isdir(run.data.tags.get(FOLDER, ""))


def _run_name() -> str:
    """Name of the DVC experiment, or of the commit that a plain `dvc repro` runs on."""
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    sha = read_commit()
    return f"repro-{sha[:7]}" if sha else "repro"


def _digest_folder(folder: str | Path) -> str:
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return digest_of({path.relative_to(folder).as_posix(): digest_file(path) for path in files})
