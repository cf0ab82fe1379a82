"""Tuning: a space of settings in, the best of them out, with reports and MLflow runs."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config.load import get_config, with_changes
from lib.config.schema import Parameter, Settings
from lib.core.console import show_problems
from lib.core.digests import digest_of
from lib.core.errors import EarshotError, Problem
from lib.core.progress import progress
from lib.formats.data_sets import DataSet, read_annotated
from lib.tracking.mlflow_runs import passing_over
from lib.tracking.study_runs import StudyRun
from lib.tuning.search_space import (
    Values,
    combination_key,
    plan,
    read_space,
    sections_of,
    setting_key,
    values_of,
    with_values,
)
from lib.tuning.studies import Objective, Run, Search, Trial, open_storage
from lib.tuning.trials import Bench, ModelSource, choose_source
from lib.tuning.tuning_report import write_reports


@dataclass(frozen=True)
class Tuning:
    """The outcome of a search.

    Args:
        study: its name.
        metric: which trials are compared by.
        trials: in the order of the plan.
        best: the trial with the highest score, the first of equals.
        files: the reports.
        problems: what was left out or is unusual.
    """

    study: str
    metric: str
    trials: list[Trial]
    best: Trial
    files: list[Path]
    problems: list[Problem]


def tune_settings(
    settings: Settings,
    test: DataSet,
    source: ModelSource,
    output: Path,
    scratch: Path,
    space: Sequence[Parameter],
    track: bool = True,
    again: bool = False,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Tuning:
    """Search a space as settings.tune says. Called again, it resumes an interrupted search.

    Args:
        test: recordings with annotations, to compare models by.
        output: folder for the reports.
        scratch: folder for models and training databases.
        space: instead of settings.tune.space.
        track: keep runs in MLflow; what fails of that is a Problem.
        again: also try combinations that were left out because their process died.
        on_trial: called with each trial that is done during this search.

    Raises EarshotError if no combination can be used.
    """
    tune = settings.tune
    combinations, problems = plan(space, tune.trials, tune.study, settings)
    bench = Bench(settings, test, source, scratch, keep_models="infer" in sections_of(space))
    study = f"{tune.study} {_digest(space, bench)[:8]}"
    objective = Objective(bench.measure, bench.key, tune.metric, tune.runs)
    problems += _incomparable(space)
    search = Search(combinations, objective, space, open_storage(tune.storage), study)
    if again:
        search.forget_abandoned()
    study_run = None
    if track:
        with passing_over(problems):
            study_run = StudyRun(settings.tracking, study)

    def log(trial: Trial) -> None:
        if study_run:
            runs = [Run(trial.values, number) for number in range(len(trial.figures))]
            with passing_over(problems):
                study_run.log_trial(
                    key=combination_key(trial.values),
                    number=trial.number,
                    settings=with_values(settings, trial.values),
                    seeds=[bench.settings_of(run).train.seed for run in runs],
                    figures=trial.figures,
                    score=trial.score(tune.metric),
                    seconds=trial.seconds,
                )

    trials = search.done()
    for trial in trials:  # a search that was killed may not have logged it
        log(trial)
    with bench.in_use(), study_run.open() if study_run else nullcontext():
        for outcome in progress(search.run(trials), "tune", len(combinations), "trials", len(trials)):
            if isinstance(outcome, Problem):
                problems.append(outcome)
                continue
            trials.append(outcome)
            on_trial(outcome)
            if outcome.is_new:
                log(outcome)
    trials.sort(key=lambda trial: trial.number)
    best = max(trials, key=lambda trial: trial.score(tune.metric))
    files = write_reports(output, trials, space, tune.metric)
    if study_run:
        values = {setting_key(name): value for name, value in best.values.items()}
        with passing_over(problems):
            study_run.finish(best.score(tune.metric), tune.metric, values, files)
    return Tuning(study, tune.metric, trials, best, files, [*test.problems, *problems, *bench.problems])


class Tuner:
    """Tunes the joint values of settings, by exhaustive search or at random.

    Args:
        recording_dir: folder of recordings to compare models by.
        output_dir: folder for metrics-summary.csv, metrics-details.csv and tuning.png.
        annotation_path: CSV file that says what is in the recordings (recording, class, start_time, end_time).
        train_log_dir: folder for the models while they are needed, in its folder work; with skip_training, where the
            model is (the newest version_<n>, if there are several).
        metric: what to maximize, as tune.metric.
        param_space: mappings of name, type (categorical, int or float) and choices, or bounds and step; a name is a key
            of train, audio or infer, or section.key. None: only the settings as they are.
        num_trials: combinations to try, at random; 0: all.
        num_runs: trainings a trial, with seeds train.seed, train.seed + 1, ..., whose scores are averaged.
        extract: train with windows extracted for the search from data.train; implied where settings of audio vary.
        skip_training: use the model as it is, so that only settings of inference can vary.
        classes_path: CSV file with a column name of the classes to train with; implies extract.
        cfg: the settings; None: those of params.yaml.
        database: training database, where nothing is extracted.
        track: keep runs in MLflow.

    Raises SettingsError if these do not go together.
    """

    def __init__(
        self,
        recording_dir: str | Path,
        output_dir: str | Path,
        annotation_path: str | Path,
        train_log_dir: str | Path,
        metric: str,
        param_space: Sequence[Parameter | dict[str, Any]] | None,
        num_trials: int = 0,
        num_runs: int = 1,
        extract: bool = False,
        skip_training: bool = False,
        classes_path: str | Path | None = None,
        cfg: Settings | None = None,
        database: str | Path = "data/training.db",
        track: bool = True,
    ) -> None:
        self.space = read_space(param_space)
        changes = {"tune.metric": metric, "tune.trials": num_trials, "tune.runs": num_runs}
        self.settings = with_changes(cfg or get_config(), changes)
        self.recordings, self.annotations = Path(recording_dir), Path(annotation_path)
        self.output, self.scratch = Path(output_dir), Path(train_log_dir) / "work"
        model = newest_model(Path(train_log_dir)) if skip_training else None
        classes = Path(classes_path) if classes_path else None
        self.source = choose_source(self.space, self.settings, model, Path(database), extract, classes)
        self.track = track

    def tune(self) -> Tuning:
        """Search, or resume an interrupted search; returns the whole outcome."""
        test = read_annotated(self.recordings, self.annotations)
        return tune_settings(self.settings, test, self.source, self.output, self.scratch, self.space, self.track)

    def run(self) -> tuple[float, Values]:
        """Search, or resume an interrupted search; returns the best score and the best values, name -> value.

        Prints problems. Raises EarshotError if no combination can be used.
        """
        tuning = self.tune()
        show_problems(tuning.problems)
        return tuning.best.score(tuning.metric), tuning.best.values


def newest_model(folder: Path) -> Path:
    """The folder with checkpoints (*.pt): this one, else the version_<n> below it with the highest number.

    Raises EarshotError if there is none.
    """
    if folder.is_file() or any(folder.glob("*.pt")):
        return folder
    versions = [path for path in folder.glob("version_*") if path.name.removeprefix("version_").isdigit()]
    for version in sorted(versions, key=lambda path: int(path.name.removeprefix("version_")), reverse=True):
        for candidate in (version / "checkpoints", version):
            if any(candidate.glob("*.pt")):
                return candidate
    raise EarshotError(folder, "holds no model (*.pt)", "train one first, or give the folder of one")


def _digest(space: Sequence[Parameter], bench: Bench) -> str:
    """Digest of what makes a study: the space, the data, the code and the settings that it does not vary."""
    varied = {setting_key(parameter.name): values_of(parameter) for parameter in space}
    return digest_of([varied, bench.digest_without(varied)])


def _incomparable(space: Sequence[Parameter]) -> list[Problem]:
    """A warning about each varied setting that changes what is counted."""
    keys = {setting_key(parameter.name) for parameter in space if len(values_of(parameter)) > 1}
    fault = "changes the segments that are counted, so scores of its values differ even where models do not"
    remedy = "compare such values at one setting of evaluation before you decide"
    counting = keys & {"infer.overlap", "audio.spec_duration", "infer.start_seconds"}
    return [Problem(key, fault, remedy, lost=False) for key in sorted(counting)]
