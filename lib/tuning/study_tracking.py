"""MLflow runs of a search: one for the study, and below it one for each trial, written when the trial is done.

The run of a trial carries the key of its combination: whatever a killed search did not finish writing, the next one
writes, and a trial that gets more runs is brought up to date.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from lib.config.schema import Settings
from lib.core.digests import digest_of
from lib.tracking.data_versions import commit_tags
from lib.tracking.mlflow_runs import ended_by_errors
from lib.tracking.mlflow_store import open_experiment
from lib.tracking.run_contents import log_batch, params_of
from lib.tuning.search_space import combination_key, setting_key, with_values
from lib.tuning.studies import Trial

if TYPE_CHECKING:
    from mlflow.entities import Run

STUDY, TRIAL, SEEDS = "earshot.study", "earshot.trial", "earshot.seeds"


class StudyRun:
    """The MLflow run of a study, which several processes may share; it is made if it is missing."""

    def __init__(self, settings: Settings, study: str) -> None:
        self._settings = settings
        self._client, self._experiment = open_experiment(settings.tracking)
        self._run = self._find(study)
        self._client.update_run(self._run, status="RUNNING")

    def open(self) -> AbstractContextManager[None]:
        """If the block raises an error, the run says so."""
        return ended_by_errors(self._client, self._run)

    def log_trial(self, trial: Trial, metric: str) -> None:
        """Add a trial, unless it is there with as many runs or more.

        Its settings become params; means and deviations over its runs, metrics. The figures of each run are points of
        the history of `run/<figure>`, with the number of the run, from 1, as the step.
        """
        settings = with_values(self._settings, trial.values)
        seeds = [settings.train.seed + number for number in range(len(trial.figures))]
        known = self._child(trial)
        if known and known.info.status == "FINISHED" and len(known.data.tags[SEEDS].split(", ")) >= len(seeds):
            return
        end = int(time.time() * 1000)
        child = known or self._client.create_run(
            self._experiment,
            start_time=end - int(trial.seconds * 1000),
            tags={"mlflow.parentRunId": self._run, TRIAL: combination_key(trial.values)},
        )
        run_id, known_params = child.info.run_id, child.data.params  # which MLflow does not let change
        columns = {name: [figures[name] for figures in trial.figures] for name in trial.figures[0]}
        metrics = {name: fmean(values) for name, values in columns.items()} | {"score": trial.score(metric)}
        if len(trial.figures) > 1:
            metrics |= {f"{name}_sd": pstdev(values) for name, values in columns.items()}
        params = {name: text for name, text in params_of(settings).items() if not name.startswith("tune.")}
        params = {name: text for name, text in params.items() if name not in known_params}
        self._client.update_run(run_id, status="RUNNING", name=f"trial {trial.number}")
        log_batch(self._client, run_id, metrics, params=params, tags={SEEDS: ", ".join(map(str, seeds))})
        history = self._client.get_metric_history(run_id, f"run/{next(iter(columns))}")
        logged = {point.step for point in history}
        for number, figures in enumerate(trial.figures, 1):
            if number not in logged:
                log_batch(self._client, run_id, {f"run/{name}": value for name, value in figures.items()}, step=number)
        self._client.set_terminated(run_id, "FINISHED", end_time=end)

    def finish(self, best: Trial, metric: str, files: Sequence[Path]) -> None:
        """Add the best trial's score and values, and the reports."""
        values = {f"best.{setting_key(name)}": str(value) for name, value in best.values.items()}
        log_batch(self._client, self._run, {"best_score": best.score(metric)}, tags=values | {"metric": metric})
        for file in files:
            self._client.log_artifact(self._run, str(file))
        self._client.set_terminated(self._run, "FINISHED")

    def _child(self, trial: Trial) -> "Run | None":
        """The run of a trial, in whatever state."""
        query = f"tags.`mlflow.parentRunId` = '{self._run}' AND tags.`{TRIAL}` = '{combination_key(trial.values)}'"
        return next(iter(self._client.search_runs([self._experiment], query, max_results=1)), None)

    def _find(self, study: str) -> str:
        """The run of that study. Of two that are made at the same moment, both processes take the older one."""
        if not (known := self._runs_of(study)):
            tags = {STUDY: digest_of(study), "mlflow.source.name": "stages/tune.py"} | commit_tags()
            made = self._client.create_run(self._experiment, run_name=study, tags=tags).info.run_id
            known = self._runs_of(study)
            if known[0] != made:
                self._client.delete_run(made)
        return known[0]

    def _runs_of(self, study: str) -> list[str]:
        runs = self._client.search_runs([self._experiment], f"tags.`{STUDY}` = '{digest_of(study)}'")
        return [run.info.run_id for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))]
