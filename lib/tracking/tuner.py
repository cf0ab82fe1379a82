"""Tuning: a space of settings in, the best of them out, with reports and MLflow runs."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config import Parameter, Settings, get_config, with_changes
from lib.console import progress, show_problems
from lib.datasets.contents import Contents, read_annotated
from lib.digests import digest_of
from lib.errors import EarshotError, Problem
from lib.tracking.runs import passing_over
from lib.tracking.store import project_root
from lib.tracking.study_run import StudyRun
from lib.tracking.trials import Bench, Source, choose_source
from lib.tracking.tuning_report import write_reports
from lib.training.space import Values, plan, read_space, sections_of, setting_key, values_of
from lib.training.tuner import SQLITE, Objective, Search, Trial, check_metric, open_storage


@dataclass(frozen=True)
class Tuning:
    """What a search found. trials: all, in the order of the plan. files: the reports. problems: what was passed over,
    or is odd.
    """

    study: str
    metric: str
    trials: list[Trial]
    files: list[Path]
    problems: list[Problem]

    @property
    def best(self) -> Trial:
        """The trial with the highest score, the first of equals."""
        return max(self.trials, key=lambda trial: trial.score(self.metric))

    @property
    def best_score(self) -> float:
        return self.best.score(self.metric)

    @property
    def best_values(self) -> Values:
        return self.best.values


def tune(
    settings: Settings,
    test: Contents,
    source: Source,
    output: Path,
    scratch: Path,
    space: Sequence[Parameter],
    track: bool = True,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Tuning:
    """Search a space as settings.tune says, and write reports into the output folder.

    test: recordings with annotations by which models are compared. source: where models come from. scratch: folder for
    models and training databases. space: instead of settings.tune.space. track: keep runs in MLflow; what fails of
    that is a Problem. on_trial: called with each trial that is done while this search lasts. The same call again goes
    on where the last one was stopped. Raises EarshotError if no combination can be used.
    """
    chosen = settings.tune
    check_metric(chosen.metric)
    combinations, problems = plan(space, chosen.trials, chosen.study, settings)
    bench = Bench(settings, test, source, scratch, keep_models="infer" in sections_of(space))
    study = f"{chosen.study} {_digest(space, bench)[:8]}"
    objective = Objective(bench.measure, bench.key, chosen.metric, chosen.runs)
    problems += _incomparable(space)
    storage = open_storage(_storage_url(chosen.storage))
    searching = Search(combinations, objective, space, storage, study)
    run = None
    if track:
        with passing_over(problems):
            run = StudyRun(settings, study)
    trials = searching.known()

    def log(trial: Trial) -> None:
        if run:
            with passing_over(problems):
                run.log_trial(trial, chosen.metric)

    for trial in trials:  # a search that was killed may not have come to it
        log(trial)
    with bench.in_use(), run.open() if run else nullcontext():
        for outcome in progress(searching.run(trials), "tune", len(combinations), "trials", len(trials)):
            if isinstance(outcome, Problem):
                problems.append(outcome)
                continue
            trials.append(outcome)
            on_trial(outcome)
            if outcome.is_new:
                log(outcome)
    trials.sort(key=lambda trial: trial.number)
    files = write_reports(output, trials, space, chosen.metric)
    tuning = Tuning(study, chosen.metric, trials, files, [*test.problems, *problems, *bench.problems])
    if run:
        with passing_over(tuning.problems):
            run.finish(tuning.best, chosen.metric, files)
    return tuning


class Tuner:
    """Tune the joint values of settings, by exhaustive search or at random.

    recording_dir, annotation_path: recordings, and a CSV file (recording, class, start_time, end_time) that says what
    is in them; models are compared by these. output_dir: for metrics-summary.csv, metrics-details.csv and tuning.png.
    train_log_dir: for models while they are needed, in its folder work; with skip_training, where the model is (its
    newest version_<n>, if there are several). metric: macro_pr, micro_pr, macro_roc, micro_roc, combo_pr or combo_roc.
    param_space: mappings of name, type (categorical, int or float) and choices, or bounds and step; a name is a key of
    train, audio or infer, or section.key; None: only the settings as they are. num_trials: combinations to try at
    random; 0: all. num_runs: trainings a trial, with seeds train.seed, train.seed + 1, ..., whose scores are averaged.
    extract: train with spectrograms that are extracted anew from the recordings of data.train; implied where settings
    of audio vary. skip_training: use the model as it is, so that only settings of inference vary. classes_path: CSV
    file with a column name of the classes to train with; implies extract. cfg: None: that of params.yaml. database:
    training database to train with where nothing is extracted. track: keep runs in MLflow.

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
        check_metric(metric)
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
        """Search, or go on with a search that was stopped; returns all that was found."""
        test = read_annotated(self.recordings, self.annotations)
        return tune(self.settings, test, self.source, self.output, self.scratch, self.space, self.track)

    def run(self) -> tuple[float, Values]:
        """Search, or go on with a search that was stopped; returns the best score and the best values, name -> value.

        Shows what was passed over, or is odd. Raises EarshotError if no combination can be used.
        """
        found = self.tune()
        show_problems(found.problems)
        return found.best_score, found.best_values


def newest_model(folder: Path) -> Path:
    """The folder with checkpoints (*.pt): this one, else the version_<n> below it with the highest number.

    Raises EarshotError if there is none.
    """
    if folder.is_file() or any(folder.glob("*.pt")):
        return folder
    versions = {path for path in folder.glob("version_*") if path.name.removeprefix("version_").isdigit()}
    for version in sorted(versions, key=lambda path: int(path.name.removeprefix("version_")), reverse=True):
        for candidate in (version / "checkpoints", version):
            if any(candidate.glob("*.pt")):
                return candidate
    raise EarshotError(f"{folder}: holds no model (*.pt); train one first, or give the folder of one")


def _digest(space: Sequence[Parameter], bench: Bench) -> str:
    """Digest of what makes a study: the space, the data, the code and the settings that it does not vary."""
    varied = {setting_key(parameter.name): values_of(parameter) for parameter in space}
    return digest_of([varied, bench.digest_without(varied)])


def _incomparable(space: Sequence[Parameter]) -> list[Problem]:
    """A word about settings that change what is counted."""
    keys = {setting_key(parameter.name) for parameter in space if len(values_of(parameter)) > 1}
    reason = "changes the segments that are counted, so scores of its values differ also where models do not"
    action = "compare such values at one setting of evaluation before you decide"
    odd = sorted(keys & {"infer.overlap", "audio.spec_duration", "infer.start_seconds"})
    return [Problem(key, reason, action, lost=False) for key in odd]


def _storage_url(url: str) -> str:
    """A relative SQLite path counts from the project's folder, wherever the search is started."""
    if not url.startswith(SQLITE):
        return url
    return f"{SQLITE}{project_root().absolute() / url.removeprefix(SQLITE)}"
