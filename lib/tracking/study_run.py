"""MLflow runs of a search: one for the study, and below it one for each trial, written when the trial is done.

A trial's run carries the key of its combination. What a search that was killed did not write, or not to its end, the
next one writes, and where a trial got more runs since, its MLflow run is brought up to that.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from lib.config import Settings
from lib.digests import digest_of
from lib.tracking.contents import log_batch, params_of
from lib.tracking.store import connect, ensure_store, store_uri
from lib.tracking.versions import read_commit
from lib.training.space import combination_key, setting_key, with_values
from lib.training.tuner import Trial

if TYPE_CHECKING:
    from mlflow.entities import Run

STUDY, TRIAL, SEEDS = "earshot.study", "earshot.trial", "earshot.seeds"


class StudyRun:
    """The MLflow run of a study, taken up if there is one, also by several processes at a time."""

    def __init__(self, settings: Settings, study: str) -> None:
        self._settings = settings
        uri = store_uri(settings.tracking)
        self._experiment = ensure_store(uri, settings.tracking.experiment)
        self._client = connect(uri)
        self._run = self._find(study)
        self._client.update_run(self._run, status="RUNNING")

    @contextmanager
    def open(self) -> Iterator[None]:
        """While the search lasts: if it breaks off, the run says so."""
        try:
            yield
        except BaseException as error:
            with suppress(Exception):
                self._client.set_terminated(self._run, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise

    def log_trial(self, trial: Trial, metric: str) -> None:
        """Add a trial: its settings as params, means and deviations over its runs as metrics, and each run's figures.

        The metrics of a run are points of the history of `run/<figure>`, with the run's number from 1 as the step. A
        trial whose MLflow run is finished, with as many runs or more, stays as it is.
        """
        settings = with_values(self._settings, trial.values)
        seeds = [settings.train.seed + number for number in range(len(trial.figures))]
        found = self._child(trial)
        if found and found.info.status == "FINISHED" and len(found.data.tags[SEEDS].split(", ")) >= len(seeds):
            return
        end = int(time.time() * 1000)
        child = found or self._client.create_run(
            self._experiment,
            start_time=end - int(trial.seconds * 1000),
            tags={"mlflow.parentRunId": self._run, TRIAL: combination_key(trial.values)},
        )
        means = {name: fmean(figures[name] for figures in trial.figures) for name in trial.figures[0]}
        metrics = means | {"score": trial.score(metric)}
        if len(trial.figures) > 1:
            spread = {name: pstdev([figures[name] for figures in trial.figures]) for name in means}
            metrics |= {f"{name}_sd": value for name, value in spread.items()}
        run_id, known = child.info.run_id, child.data.params  # which MLflow does not let change
        self._client.update_run(run_id, status="RUNNING", name=f"trial {trial.number}")
        ours = {name: text for name, text in params_of(settings).items() if not name.startswith("tune.")}
        params = {name: text for name, text in ours.items() if name not in known}
        log_batch(self._client, run_id, metrics, params=params, tags={SEEDS: ", ".join(map(str, seeds))})
        history = self._client.get_metric_history(run_id, f"run/{next(iter(means))}")
        done = {point.step for point in history}
        for number, figures in enumerate(trial.figures, 1):
            if number not in done:
                log_batch(self._client, run_id, {f"run/{name}": value for name, value in figures.items()}, step=number)
        self._client.set_terminated(run_id, "FINISHED", end_time=end)

    def finish(self, best: Trial, metric: str, files: Sequence[Path]) -> None:
        """Add what the search came to: its best score and values, and its reports."""
        values = {f"best.{setting_key(name)}": str(value) for name, value in best.values.items()}
        log_batch(self._client, self._run, {"best_score": best.score(metric)}, tags=values | {"metric": metric})
        for file in files:
            self._client.log_artifact(self._run, str(file))
        self._client.set_terminated(self._run, "FINISHED")

    def _child(self, trial: Trial) -> "Run | None":
        """The run of a trial, whatever became of it."""
        query = f"tags.`mlflow.parentRunId` = '{self._run}' AND tags.`{TRIAL}` = '{combination_key(trial.values)}'"
        return next(iter(self._client.search_runs([self._experiment], query, max_results=1)), None)

    def _find(self, study: str) -> str:
        """The run of that study. Of two that were made at the same moment, both processes take the older one."""
        found = self._runs_of(study)
        if not found:
            tags = {STUDY: digest_of(study), "mlflow.source.name": "stages/tune.py"}
            if commit := read_commit():
                tags |= {"mlflow.source.git.commit": commit.sha, "git.dirty": str(commit.dirty).lower()}
            made = self._client.create_run(self._experiment, run_name=study, tags=tags).info.run_id
            found = self._runs_of(study)
            if found[0] != made:
                self._client.delete_run(made)
        return found[0]

    def _runs_of(self, study: str) -> list[str]:
        runs = self._client.search_runs([self._experiment], f"tags.`{STUDY}` = '{digest_of(study)}'")
        return [run.info.run_id for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))]
