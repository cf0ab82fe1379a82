"""One MLflow run for each pipeline or experiment run that DVC starts, whichever of its stages had to be done.

The train stage opens the run and logs each epoch as it ends; the evaluate stage, which is always last, completes it.
They are two processes, perhaps hours apart, and others may use the same store, so a run carries tags by which the next
stage finds it: the folder it runs in (DVC runs one pipeline at a time in a folder; each queued or temporary experiment
has its own), the key of the training, and the digest of the resulting model. The run of a killed training is continued
by the training that resumes it; a run that nothing can continue is closed: as killed, unless its training had ended.
If no training was needed, evaluate makes the run and takes the epochs from the learning curves.

A stage that is run by hand is tracked if it is asked to. Its run is that of a folder of models, which one training at a
time writes to, so that trainings side by side have their own. It is finished when its training is, and opened again by
the evaluation of its model.

Tracking never stops the work: what fails becomes a Problem.
"""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.config.schema import Settings
from lib.core.digests import digest_file, digest_of
from lib.core.errors import Problem, SettingsError, store_fault
from lib.evaluation.figures import read_figures
from lib.models.model_files import all_files
from lib.tracking import run_contents as contents
from lib.tracking.data_versions import DECIDED, data_set_versions, is_dirty, read_commit, read_data_versions
from lib.tracking.mlflow_store import open_experiment, store_uri
from lib.tracking.registry.model_card import CardInputs, Provenance, read_card_inputs
from lib.tracking.registry.model_connections import connect_model
from lib.tracking.registry.model_history import user_name
from lib.tracking.registry.model_provenance import is_trained_here, own_provenance
from lib.tracking.registry.registered_inputs import outdated_copies
from lib.tracking.registry.registered_models import ModelError
from lib.tracking.registry.registration import register_run_model, store_run_model
from lib.tracking.run_description import description

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOST, FOLDER, KEY, MODEL, COMPLETE = (
    f"mlflow.earshot.{name}" for name in ("host", "folder", "training", "model", "complete")
)
"""Tags of a run that MLflow's page does not show: where it runs, the key of the training, the digest of the model and,
once it is finished, that of all that it is about."""
SAMPLE_SECONDS = 5.0
"""Between two samples of how busy the machine is."""
TRAINING_SECTIONS = ("data.train.", "audio.", "extract.", "train.")
EVALUATION_SECTIONS = ("data.test.", "evaluate.")
"""Those that an evaluation by hand knows of: its labels may have been made with other settings."""


class _OpenRun(NamedTuple):
    client: "MlflowClient"
    experiment_id: str
    run_id: str


class EpochLog:
    """Where a training reports its epochs. After a failure it logs no more: evaluate adds what is missing.

    is_complete: whether the training was not stopped; a run of one that was is resumed with it.
    """

    def __init__(self, run: _OpenRun | None, present: set[contents.Epoch], problems: list[Problem]) -> None:
        self._run, self._present, self.problems = run, present, problems
        self.is_complete = True

    def log_epoch(self, figures: Mapping[str, float]) -> None:
        """Log the figures of an epoch, with `epoch` and perhaps `fold`, unless the run that is resumed has them."""
        if self._run and not self.problems and contents.epoch_of(figures) not in self._present:
            with passing_over(self.problems):
                contents.log_epoch(self._run.client, self._run.run_id, figures)


@contextmanager
def training_run(
    settings: Settings,
    key: str,
    models: str | Path = "data/models",
    epochs_done: int = 0,
    track: bool = False,
    input_model: str = "",
) -> Iterator[EpochLog]:
    """Open the MLflow run of a training, or the one that it resumes; write the model inside the block.

    Args:
        key: digest of data and settings, equal only for a training and its resumption.
        models: the folder of the finished model, by whose content evaluate finds the run.
        epochs_done: how many epochs an interrupted training has done already; 0: this one starts from scratch.
        track: also where DVC did not start this.
        input_model: id of the registered model that the training starts from; "": it starts from none.

    Yields an EpochLog, whose `problems` are for the stage to show.
    """
    problems: list[Problem] = []
    run, present = None, set[contents.Epoch]()
    if track or _in_pipeline():
        params = contents.params_of(settings, TRAINING_SECTIONS)

        def is_resumed(run: "Run") -> bool:
            n_epochs = sum(not name.startswith("system/") for name in run.data.metrics)
            return run.data.tags.get(KEY) == key and (epochs_done > 0 or not n_epochs)

        with passing_over(problems):
            Path(models).mkdir(parents=True, exist_ok=True)  # a run whose folder is gone counts as killed
            run = _begin(settings, _place(models), is_resumed, params, {KEY: key})
            present = contents.logged_epochs(run.client, run.run_id)
            _connect(run, input_model, "train.load_checkpoint")
    with ended_by_errors(run.client, run.run_id) if run else nullcontext(), _system_metrics(settings, run, problems):
        log = EpochLog(run, present, problems)
        yield log
    if run:
        with passing_over(problems):
            run.client.set_tag(run.run_id, MODEL, _digest_model(models))
            if not _in_pipeline():
                contents.log_origin(run.client, run.run_id)
                run.client.set_terminated(run.run_id, "FINISHED" if log.is_complete else "KILLED")


@contextmanager
def _system_metrics(settings: Settings, run: _OpenRun | None, problems: list[Problem]) -> Iterator[None]:
    """Log how busy the machine is while the block lasts."""
    monitor = None
    if run:
        with passing_over(problems):
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            uri = store_uri(settings.tracking)
            monitor = SystemMetricsMonitor(run.run_id, SAMPLE_SECONDS, resume_logging=True, tracking_uri=uri)
            monitor.start()
    try:
        yield
    finally:
        if monitor:
            monitor.finish()


def complete_run(
    settings: Settings,
    report: str | Path = "metrics/report",
    models: str | Path = "data/models",
    track: bool = False,
    input_model: str = "",
) -> list[Problem]:
    """Complete the MLflow run of this pipeline run, end it, and register its model, unless that is done already.

    Call it when all of these are written.

    Args:
        report: folder of the evaluation's figures, tables and pictures.
        models: the evaluated model, a folder or a checkpoint; the learning curves are logged only if it was trained
            here, in data/models.
        track: also where DVC did not start this.
        input_model: its id if it is a registered one: then it is an input of the run, not its result; "": it is none.

    Returns what could not be tracked, and in the pipeline, of which registered models the copies are out of date.
    """
    problems: list[Problem] = []
    if track or _in_pipeline():
        try:
            details = read_card_inputs()
        except SettingsError as error:
            details = CardInputs()
            problems.append(error.problem(lost=False))
        run = None
        with passing_over(problems):
            run = _completed(settings, report, models, details, input_model)
        if run and settings.tracking.register_as and not input_model:
            with passing_over(problems):
                register_run_model(run.client, run.run_id, settings.tracking.register_as)
        if run and _in_pipeline():
            with passing_over(problems):
                problems += outdated_copies(run.client, settings)
    return problems


def _completed(
    settings: Settings, report: str | Path, models: str | Path, details: CardInputs, input_model: str
) -> _OpenRun:
    """The run of this pipeline run, completed and ended."""
    model, place = _digest_model(models), _place(models)
    params = contents.params_of(settings, () if _in_pipeline() else EVALUATION_SECTIONS)
    versions = read_data_versions(leave_out=os.environ["DVC_STAGE"]) if _in_pipeline() else {}
    figures = read_figures(report)
    made_of = [model, params, figures, _run_name(), versions, settings.tracking.log_model, details.model_dump()]
    done = digest_of(made_of)
    if finished := _finished_run(settings, place, model, done):  # evaluate was killed when all was logged
        return finished
    begun = _begin(settings, place, lambda run: run.data.tags.get(MODEL) == model, params, {MODEL: model})
    client, experiment_id, run_id = begun
    data_sets = data_set_versions(settings, versions)
    contents.log_origin(client, run_id, data_sets)
    _connect(begun, input_model, "infer.model")
    if _in_pipeline():
        if is_trained := not input_model and is_trained_here(models):
            contents.log_missing_epochs(client, run_id)
        contents.log_records(client, run_id, is_trained)
    run = client.get_run(run_id)
    logged = run.outputs.model_outputs if run.outputs else []  # by an evaluation that was killed
    model_id = logged[0].model_id if logged else None
    if settings.tracking.log_model and not logged and not input_model:
        name, origin = run.info.run_name or "", Provenance()
        if is_trained_here(models) or _was_trained(client, experiment_id, model):
            date = datetime.now(UTC).date().isoformat()
            origin = own_provenance(settings, details, versions, name)._replace(date=date)
        model_id = store_run_model(client, experiment_id, run_id, name, models, settings, figures, origin)
    contents.log_evaluation(client, run_id, report, model_id)
    client.log_artifacts(run_id, str(report), "report")
    client.set_tag(run_id, "mlflow.note.content", _description(client, experiment_id, run_id, figures))
    client.set_tag(run_id, COMPLETE, done)
    client.set_terminated(run_id, "FINISHED")
    return begun


def _connect(run: _OpenRun, input_model: str, name: str) -> None:
    """Make a registered model an input of a run, unless it was removed since it was copied."""
    if input_model:
        with suppress(ModelError):
            connect_model(run.client, input_model, run.run_id, name, ignore_overrides=True)


def _description(client: "MlflowClient", experiment_id: str, run_id: str, figures: Mapping[str, float]) -> str:
    """The description of a run whose contents are logged: an experiment is compared with the commit that it started
    from, any other run with the last one that was finished before it."""
    if "DVC_EXP_NAME" in os.environ and (start := contents.committed()):
        name = f"commit {(read_commit() or '')[:7]}"
        return description(figures, contents.made_from(client.get_run(run_id)), start, name)
    query = f"attributes.status = 'FINISHED' AND tags.`{COMPLETE}` != ''"
    newest_first = ["attributes.end_time DESC"]
    others = client.search_runs([experiment_id], query, max_results=1, order_by=newest_first)
    run, before = client.get_run(run_id), others[0] if others else None
    name = (before.info.run_name or "") if before else ""
    return description(figures, contents.made_from(run), contents.made_from(before) if before else None, name)


def _finished_run(settings: Settings, place: str, model: str, done: str) -> _OpenRun | None:
    """The run of this place with that digest if it is finished, and none of the model is open."""
    client, experiment_id = open_experiment(settings.tracking)
    runs = client.search_runs([experiment_id], f"tags.`{MODEL}` = '{model}'", max_results=1000)
    here = [run for run in runs if _is_at(place, run)]
    if any(run.info.status == "RUNNING" for run in here):
        return None
    ids = (run.info.run_id for run in here if (run.info.status, run.data.tags.get(COMPLETE)) == ("FINISHED", done))
    return next((_OpenRun(client, experiment_id, run_id) for run_id in ids), None)


def _in_pipeline() -> bool:
    return "DVC_STAGE" in os.environ


def _place(models: str | Path) -> str:
    """The folder in which one run at a time is under way: that of the pipeline, or by hand that of the models.

    A file is never a run's folder, or the run would seem to be of a folder that is gone.
    """
    if _in_pipeline():
        return os.getcwd()
    return os.path.abspath(Path(models).parent if Path(models).is_file() else models)


def _was_trained(client: "MlflowClient", experiment_id: str, model: str) -> bool:
    """Whether a training of this experiment made the model of that digest, wherever it lies."""
    query = f"tags.`{MODEL}` = '{model}' AND tags.`{KEY}` != ''"
    return bool(client.search_runs([experiment_id], query, max_results=1))


@contextmanager
def passing_over(problems: list[Problem]) -> Iterator[None]:
    """Whatever fails inside becomes a Problem."""
    try:
        yield
    except Exception as error:
        fault = f"this run is not fully tracked ({type(error).__name__}: {store_fault(error)[:200]})"
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
    settings: Settings,
    place: str,
    continues: Callable[["Run"], bool],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> _OpenRun:
    """Continue the newest unfinished run of this place that fits, or the finished one of the model in the tags that was
    not evaluated, else create one; close abandoned ones.

    A run with other params does not fit: MLflow cannot change a param.
    """
    client, experiment_id = open_experiment(settings.tracking)
    queries = ["attributes.status != 'FINISHED'", *([f"tags.`{MODEL}` = '{tags[MODEL]}'"] if MODEL in tags else [])]
    newest_first = ["attributes.start_time DESC"]
    pages = [client.search_runs([experiment_id], query, max_results=200, order_by=newest_first) for query in queries]
    runs = [run for page in pages for run in page]
    incomplete = [run for run in runs if run.info.status != "FINISHED" or COMPLETE not in run.data.tags]
    fitting = (run for run in incomplete if _is_at(place, run) and continues(run) and _agrees(run, params))
    run_id = next((run.info.run_id for run in fitting), None)
    for run in incomplete:
        is_over = _is_at(place, run) or _folder_is_gone(run)
        if run.info.status == "RUNNING" and run.info.run_id != run_id and is_over:
            client.set_terminated(run.info.run_id, "FINISHED" if MODEL in run.data.tags else "KILLED")
    if run_id:
        client.update_run(run_id, status="RUNNING", name=_run_name())
    else:
        origin = {HOST: platform.node(), FOLDER: place, "mlflow.user": user_name()}
        run_id = client.create_run(experiment_id, run_name=_run_name(), tags=origin).info.run_id
    contents.log_batch(client, run_id, params=params, tags=tags)
    return _OpenRun(client, experiment_id, run_id)


def _agrees(run: "Run", params: Mapping[str, str]) -> bool:
    return all(params.get(name, text) == text for name, text in run.data.params.items())


def _is_at(place: str, run: "Run") -> bool:
    return run.data.tags.get(HOST) == platform.node() and run.data.tags.get(FOLDER) == place


def _folder_is_gone(run: "Run") -> bool:
    return run.data.tags.get(HOST) == platform.node() and not os.path.isdir(run.data.tags.get(FOLDER, ""))


def _run_name() -> str | None:
    """Name of the DVC experiment, or of the commit that a plain `dvc repro` runs on, with `-dirty` behind it if
    settings or data differ from it; by hand, MLflow finds one."""
    if not _in_pipeline():
        return None
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    sha = read_commit()
    return f"repro-{sha[:7]}{'-dirty' if is_dirty(DECIDED) else ''}" if sha else "repro"


def _digest_model(models: str | Path) -> str:
    """Digest of a model's files: a checkpoint and its description have that of a folder that holds only them."""
    return digest_of({place: digest_file(file) for place, file in all_files(models).items()})
