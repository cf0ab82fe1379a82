"""MLflow runs of a search for good settings: one for the study, and below it one for each trial that is done.

The run of a trial carries a key: whatever a killed search did not finish writing, the next one writes, and a trial that
gets more runs is brought up to date.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from lib.config.schema import Settings, TrackingSettings
from lib.core.digests import digest_of
from lib.tracking.data_versions import commit_tags
from lib.tracking.mlflow_runs import ended_by_errors
from lib.tracking.mlflow_store import open_experiment
from lib.tracking.run_contents import log_batch, params_of

if TYPE_CHECKING:
    from mlflow.entities import Run

STUDY, TRIAL, SEEDS = "mlflow.earshot.study", "mlflow.earshot.trial", "seeds"


class StudyRun:
    """The MLflow run of a study, which several processes may share; it is made if it is missing."""

    def __init__(self, tracking: TrackingSettings, study: str) -> None:
        self._client, self._experiment = open_experiment(tracking)
        self._run = self._find(study)
        self._client.update_run(self._run, status="RUNNING")

    def open(self) -> AbstractContextManager[None]:
        """If the block raises an error, the run says so."""
        return ended_by_errors(self._client, self._run)

    def log_trial(
        self,
        key: str,
        number: int,
        settings: Settings,
        seeds: Sequence[int],
        figures: Sequence[Mapping[str, float]],
        score: float,
        seconds: float,
    ) -> None:
        """Add a trial, unless it is there with as many runs or more.

        Its settings become params; means and deviations over its runs, metrics `test/<figure>`. The figures of each run
        are points of the history of `run/<figure>`, with the number of the run, from 1, as the step.

        Args:
            key: what identifies it in the study.
            number: by which it is named.
            settings: those of the trial.
            seeds: of each run.
            figures: of each run, name -> value.
            score: of the trial.
            seconds: what all runs took together.
        """
        child = self._child(key)
        if child and child.info.status == "FINISHED" and len(child.data.tags[SEEDS].split(", ")) >= len(seeds):
            return
        end = int(time.time() * 1000)
        if child is None:
            tags = {"mlflow.parentRunId": self._run, TRIAL: key}
            child = self._client.create_run(self._experiment, start_time=end - int(seconds * 1000), tags=tags)
        run_id = child.info.run_id
        columns = {name: [run[name] for run in figures] for name in figures[0]}
        metrics = {f"test/{name}": fmean(values) for name, values in columns.items()} | {"score": score}
        if len(figures) > 1:
            metrics |= {f"test/{name}_sd": pstdev(values) for name, values in columns.items()}
        params = {
            name: text
            for name, text in params_of(settings).items()
            if name not in child.data.params  # which MLflow does not let change
        }
        self._client.update_run(run_id, status="RUNNING", name=f"trial {number}")
        log_batch(self._client, run_id, metrics, params=params, tags={SEEDS: ", ".join(map(str, seeds))})
        history = self._client.get_metric_history(run_id, f"run/{next(iter(columns))}")
        logged_steps = {point.step for point in history}
        for step, run in enumerate(figures, 1):
            if step not in logged_steps:
                log_batch(self._client, run_id, {f"run/{name}": value for name, value in run.items()}, step=step)
        self._client.set_terminated(run_id, "FINISHED", end_time=end)

    def finish(self, score: float, metric: str, values: Mapping[str, object], files: Sequence[Path]) -> None:
        """Add the best trial's score and values (`section.key` -> value), and the reports."""
        tags = {f"best.{key}": str(value) for key, value in values.items()}
        log_batch(self._client, self._run, {"best_score": score}, tags=tags | {"metric": metric})
        for file in files:
            self._client.log_artifact(self._run, str(file))
        self._client.set_terminated(self._run, "FINISHED")

    def _child(self, key: str) -> "Run | None":
        """The run of a trial, in whatever state."""
        query = f"tags.`mlflow.parentRunId` = '{self._run}' AND tags.`{TRIAL}` = '{key}'"
        return next(iter(self._client.search_runs([self._experiment], query, max_results=1)), None)

    def _find(self, study: str) -> str:
        """The run of that study. Of two that are made at the same moment, both processes take the older one."""
        if not (existing := self._runs_of(study)):
            tags = {STUDY: digest_of(study), "mlflow.source.name": "stages/tune.py"} | commit_tags()
            created = self._client.create_run(self._experiment, run_name=study, tags=tags).info.run_id
            existing = self._runs_of(study)
            if existing[0] != created:
                self._client.delete_run(created)
        return existing[0]

    def _runs_of(self, study: str) -> list[str]:
        runs = self._client.search_runs([self._experiment], f"tags.`{STUDY}` = '{digest_of(study)}'")
        return [run.info.run_id for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))]
