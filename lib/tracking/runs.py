"""One MLflow run for each pipeline or experiment run that DVC starts, whichever of its stages had to be done.

The train stage opens the run and logs each epoch as it ends; the evaluate stage, which is always last, completes it.
They are two processes, perhaps hours apart, and others may be at work in the same store, so a run carries tags by
which the next stage finds it: the folder it runs in (DVC lets one pipeline at a time run in a folder; queued and
temporary experiments each have their own), the key of the training, and the digest of the model that came of it.
A run that was killed is continued by the training that resumes it; a run that nothing can continue is closed.
If no training was needed, evaluate makes the run and takes the epochs from the curves that the training left.

Tracking never stops the work: what fails becomes a Problem. Outside of DVC nothing is tracked.
"""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.config import Settings
from lib.digests import digest_file, digest_of
from lib.errors import Problem
from lib.tracking import contents
from lib.tracking.store import connect, ensure_store, store_uri
from lib.tracking.versions import read_commit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOST, FOLDER, KEY, MODEL = "earshot.host", "earshot.folder", "earshot.training", "earshot.model"
TRAINING_SECTIONS = ("data.train.", "audio.", "extract.", "train.")


class _OpenRun(NamedTuple):
    client: "MlflowClient"
    experiment_id: str
    run_id: str


class EpochLog:
    """Where a training reports its epochs. After a failure it keeps silent: evaluate adds what is missing."""

    def __init__(self, run: _OpenRun | None, last_epoch: int, problems: list[Problem]) -> None:
        self._run = run
        self._last_epoch = last_epoch
        self.problems = problems

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics. epoch counts from 1; one that the resumed run holds already is not logged again."""
        if self._run and not self.problems and epoch > self._last_epoch:
            with passing_over(self.problems):
                contents.log_batch(self._run.client, self._run.run_id, metrics, epoch)


@contextmanager
def training_run(
    settings: Settings, key: str, models: str | Path = "data/models", epochs_done: int = 0
) -> Iterator[EpochLog]:
    """Open the MLflow run of a training, or the one that it resumes; write the model inside the block.

    key: says what is trained from what, equal for a training and its resumption only (a digest of data and settings).
    models: the folder of the finished model, by whose content evaluate finds the run.
    epochs_done: how many epochs a resumed training finds done; with 0 it starts anew.
    Yields an EpochLog, whose `problems` are for the stage to show.
    """
    problems: list[Problem] = []
    run, last_epoch = None, 0
    if _in_pipeline():
        with passing_over(problems):
            run = _begin_training(settings, key, epochs_done)
            last_epoch = max(contents.logged_epochs(run.client, run.run_id), default=0)
    try:
        yield EpochLog(run, last_epoch, problems)
    except BaseException as error:
        if run:
            with passing_over(problems):
                run.client.set_terminated(run.run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    if run:
        with passing_over(problems):
            run.client.set_tag(run.run_id, MODEL, _digest_folder(models))


def complete_run(
    settings: Settings,
    evaluation: str | Path = "metrics/evaluation.json",
    report: str | Path = "metrics/report",
    models: str | Path = "data/models",
) -> list[Problem]:
    """Complete the MLflow run of this pipeline run with all that the evaluate stage and DVC know, and end it.

    evaluation: JSON of flat numbers. report: folder of tables and pictures. models: folder of the evaluated model.
    Call it last in the stage, when these are written. Returns what could not be tracked.
    """
    problems: list[Problem] = []
    if _in_pipeline():
        with passing_over(problems):
            client, experiment_id, run_id = _begin_completion(settings, _digest_folder(models))
            contents.log_origin(client, run_id, settings, stage=os.environ["DVC_STAGE"])
            contents.log_missing_epochs(client, run_id)
            model_id = None
            if settings.tracking.log_model:
                model_id = contents.log_model(client, experiment_id, run_id, models)
            contents.log_evaluation(client, run_id, evaluation, model_id)
            contents.log_files(client, run_id, report)
            client.set_terminated(run_id, "FINISHED")
    return problems


def _in_pipeline() -> bool:
    return "DVC_STAGE" in os.environ


@contextmanager
def passing_over(problems: list[Problem]) -> Iterator[None]:
    """Whatever fails inside becomes a Problem."""
    try:
        yield
    except Exception as error:
        text = str(error).strip().partition("\n")[0][:200]
        reason = f"this run is not fully tracked ({type(error).__name__}: {text})"
        problems.append(Problem("MLflow store", reason, "see that tracking.uri can be reached and has room to write"))


def _begin_training(settings: Settings, key: str, epochs_done: int) -> _OpenRun:
    params = {name: text for name, text in contents.params_of(settings).items() if name.startswith(TRAINING_SECTIONS)}

    def resumed(run: "Run") -> bool:
        return run.data.tags.get(KEY) == key and (epochs_done > 0 or not run.data.metrics)

    run = _begin(settings, resumed, params)
    contents.log_batch(run.client, run.run_id, params=params, tags={KEY: key})
    return run


def _begin_completion(settings: Settings, model: str) -> _OpenRun:
    run = _begin(settings, lambda run: run.data.tags.get(MODEL) == model, contents.params_of(settings))
    run.client.set_tag(run.run_id, MODEL, model)
    return run


def _begin(settings: Settings, continues: Callable[["Run"], bool], params: Mapping[str, str]) -> _OpenRun:
    """Take up the newest unfinished run of this folder that fits, else create one; close what was left behind.

    A run whose params say otherwise does not fit: MLflow cannot change a param.
    """
    uri = store_uri(settings.tracking)
    experiment_id = ensure_store(uri, settings.tracking.experiment)
    client = connect(uri)
    unfinished = client.search_runs(
        [experiment_id], "attributes.status != 'FINISHED'", max_results=200, order_by=["attributes.start_time DESC"]
    )
    fitting = [run for run in unfinished if _is_here(run) and continues(run) and _agrees(run, params)]
    taken = fitting[0].info.run_id if fitting else None
    for run in unfinished:
        if run.info.status == "RUNNING" and run.info.run_id != taken and (_is_here(run) or _folder_is_gone(run)):
            client.set_terminated(run.info.run_id, "KILLED")
    if taken:
        client.update_run(taken, status="RUNNING", name=_run_name())
    else:
        tags = {HOST: platform.node(), FOLDER: os.getcwd(), "mlflow.user": os.environ.get("USER", "unknown")}
        taken = client.create_run(experiment_id, run_name=_run_name(), tags=tags).info.run_id
    return _OpenRun(client, experiment_id, taken)


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
    commit = read_commit()
    return f"repro-{commit.sha[:7]}" if commit else "repro"


def _digest_folder(folder: str | Path) -> str:
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return digest_of({path.relative_to(folder).as_posix(): digest_file(path) for path in files})
