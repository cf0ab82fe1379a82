"""The search for good settings: trials of a stored Optuna study, which may be resumed, and shared by many processes.

A trial is a combination of values (lib.training.space), tried in one run or several that differ in their seed. The
study holds what each run measured, so nothing is measured twice: a search goes on where an earlier one was stopped,
with more runs or more trials if it is told so, and takes over what an earlier search with other values found.

Optuna's own samplers do not fit: GridSampler lets two processes take the same combination, counts a trial that was
killed as done, and needs values of plain types; random samplers repeat themselves. So the plan is made beforehand and
Optuna keeps the study. A process claims a combination by storing a trial that is RUNNING; storages number trials one
after another, so of two that claim the same at the same moment, the one with the lower number keeps it. A trial whose
process is gone (on the same machine) or has given no sign of life for a while (on another) is open to be claimed again.
"""

import json
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState

from lib.config import Parameter
from lib.errors import EarshotError, Problem, SettingsError
from lib.files import without_password
from lib.training.space import Values, combination_key, shown, values_of

METRICS = {
    "macro_pr": ("macro_pr_auc",),
    "micro_pr": ("micro_pr_auc",),
    "macro_roc": ("macro_roc_auc",),
    "micro_roc": ("micro_roc_auc",),
    "combo_pr": ("macro_pr_auc", "micro_pr_auc"),
    "combo_roc": ("macro_roc_auc", "micro_roc_auc"),
}
"""What trials can be compared by: the mean of these figures."""
FIGURES = tuple(dict.fromkeys(name for names in METRICS.values() for name in names))
"""What each run measures."""

SQLITE = "sqlite:///"
SIGN_SECONDS, GRACE_SECONDS = 20, 120
"""How often a trial that runs gives a sign of life, and after how long without one it counts as dead."""
LOOK_SECONDS = 1.0
"""How often a process with nothing left to claim looks whether the others are done."""
KEY, HOST, PROCESS, RUNS, RUN = "combination", "host", "process", "runs", "run "
"""User attributes of a stored trial; RUN with the key of a run holds what that run measured and how long it took."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """A combination that was tried. number: its place in the plan, from 1. figures: those of each run. seconds: what
    all runs took together. is_new: whether this search did any of it.
    """

    number: int
    values: Values
    figures: list[Figures]
    seconds: float = 0.0
    is_new: bool = False

    def scores(self, metric: str) -> list[float]:
        """The score of each run."""
        return [fmean(figures[name] for name in METRICS[metric]) for figures in self.figures]

    def score(self, metric: str) -> float:
        """The mean of the runs' scores."""
        return fmean(self.scores(metric))

    def deviation(self, metric: str) -> float:
        """Standard deviation of the runs' scores, as of a whole population: 0 for a single run."""
        return pstdev(self.scores(metric))


@dataclass(frozen=True)
class Run:
    """A run to be done: the values of a combination and the run's number, from 0."""

    values: Values
    number: int


@dataclass(frozen=True)
class Objective:
    """What is to be found out about combinations.

    measure: the figures of a run, among them those of the metric; an EarshotError says that the combination cannot be
    used. key: digest of all that a run's figures depend on.
    """

    measure: Callable[[Run], Figures]
    key: Callable[[Run], str]
    metric: str
    runs: int


def check_metric(metric: str) -> None:
    """Raise SettingsError unless trials can be compared by this metric."""
    if metric not in METRICS:
        raise SettingsError(f"tune.metric = {metric!r}: must be one of {', '.join(METRICS)}")


def open_storage(url: str) -> RDBStorage:
    """The storage of studies behind an SQLAlchemy URL, made if it is an SQLite file that is not there yet.

    Raises SettingsError if it cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_file = url.startswith(SQLITE)
    database = Path(url.removeprefix(SQLITE))
    if is_file:
        database.parent.mkdir(parents=True, exist_ok=True)
    arguments = {"connect_args": {"timeout": 60}} if is_file else {"pool_pre_ping": True}
    try:
        # Two processes that make the tables at the same moment would stumble over each other.
        with FileLock(f"{database}.lock") if is_file else nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return RDBStorage(url, arguments, heartbeat_interval=SIGN_SECONDS, grace_period=GRACE_SECONDS)
    except Exception as error:  # whatever the driver behind the URL raises, or the lack of one
        reason = without_password(str(error).strip().partition("\n")[0] or type(error).__name__)
        fault = f"tune.storage = {without_password(url)!r}: cannot be used ({reason})"
        raise SettingsError(f"{fault}; give an SQLAlchemy URL that can be reached") from None


class Search:
    """The trial of all combinations of a plan, together with the other processes that search the same study."""

    def __init__(
        self,
        combinations: Sequence[Values],
        objective: Objective,
        space: Sequence[Parameter],
        storage: RDBStorage,
        study: str,
    ) -> None:
        self._board = _Board(storage, study, space, objective)
        self._plan = {combination_key(values): (number, values) for number, values in enumerate(combinations, 1)}

    def known(self) -> list[Trial]:
        """What is done already."""
        return self._trials(self._board.look()[0])

    def run(self, known: Sequence[Trial] = ()) -> Iterator[Trial | Problem]:
        """Try the combinations that are not known; yields each as soon as it is done, whoever did it.

        A Problem stands for a combination that cannot be used here. Ends when the last one is done. Raises EarshotError
        if none can be used, or if the storage fails.
        """
        try:
            yield from self._try_all(known)
        except StorageInternalError as error:
            reason = str(error).strip().partition("\n")[0]
            raise EarshotError(f"tune.storage failed ({reason}); run the same command again to go on") from None

    def _try_all(self, known: Sequence[Trial]) -> Iterator[Trial | Problem]:
        given = {combination_key(trial.values) for trial in known}
        mine: set[str] = set()
        faults: dict[str, EarshotError] = {}
        while True:
            done, running = self._board.look()
            for trial in self._trials({key: found for key, found in done.items() if key not in given}, mine):
                given.add(combination_key(trial.values))
                yield trial
            left = [key for key in self._plan if key not in given and key not in faults]
            free = next((key for key in left if key not in running), None)
            if not left:
                break
            if free is None:
                time.sleep(LOOK_SECONDS)
                continue
            number, values = self._plan[free]
            try:
                if self._board.run(values):
                    mine.add(free)
            except EarshotError as error:
                faults[free] = error
                reason, _, action = str(error).rpartition("; ")
                yield Problem(f"trial {number} ({shown(values)})", reason or str(error), action)
        if not given:
            raise next(iter(faults.values()))

    def _trials(self, done: "_Done", mine: Collection[str] = ()) -> list[Trial]:
        found = [(key, *done[key]) for key in self._plan if key in done]
        return [Trial(*self._plan[key], figures, seconds, key in mine) for key, figures, seconds in found]


_Done = dict[str, tuple[list[Figures], float]]
"""By combination: the figures of its runs, and the seconds that they took."""


class _Board:
    """A study as the list of who does what, and of what was found."""

    def __init__(self, storage: RDBStorage, study: str, space: Sequence[Parameter], objective: Objective) -> None:
        self._storage, self._heart, self._objective = get_storage(storage), storage, objective
        self._distributions = {parameter.name: _distribution(parameter) for parameter in space}
        self._study = optuna.create_study(storage=storage, study_name=study, direction="maximize", load_if_exists=True)
        self._id = storage.get_study_id_from_name(study)
        self._known: dict[str, dict] = {}
        self._seen: set[int] = set()  # numbers of others' trials
        for other in storage.get_all_studies():  # they may have tried the same with another space
            self._remember(storage.get_all_trials(storage.get_study_id_from_name(other.study_name), deepcopy=False))

    def look(self) -> tuple[_Done, set[str]]:
        """Figures and seconds of combinations that are done, and those that a living process works at."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls it experimental
            optuna.storages.fail_stale_trials(self._study)
        trials = self._storage.get_all_trials(self._id, deepcopy=False)
        self._remember(trials)
        done: _Done = {}
        running: set[str] = set()
        for trial in trials:
            key = trial.user_attrs.get(KEY, "")
            if trial.state == TrialState.RUNNING:
                if _is_gone(trial):
                    self._give_up(self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number))
                else:
                    running.add(key)
                    self._await_sign(trial)
            elif self._is_done(trial):
                runs = [trial.user_attrs[RUN + run] for run in trial.user_attrs[RUNS][: self._objective.runs]]
                done[key] = [run["figures"] for run in runs], sum(run["seconds"] for run in runs)
        return done, running

    def run(self, values: Values) -> bool:
        """Claim a combination and do those of its runs that are not known; returns whether the claim stood."""
        runs = [Run(values, number) for number in range(self._objective.runs)]
        keys = [self._objective.key(run) for run in runs]
        claim = optuna.create_trial(
            state=TrialState.RUNNING,
            params={name: _plain(value) for name, value in values.items()},
            distributions=self._distributions,
            user_attrs={KEY: combination_key(values), HOST: _host(), PROCESS: os.getpid(), RUNS: keys},
        )
        trial_id = self._storage.create_new_trial(self._id, claim)
        try:
            with self._signs_of_life(trial_id):
                if self._is_late(trial_id):
                    self._give_up(trial_id)
                    return False
                for run, key in zip(runs, keys, strict=True):
                    if key not in self._known:
                        begin = time.monotonic()
                        figures = self._objective.measure(run)
                        self._known[key] = {"figures": figures, "seconds": time.monotonic() - begin}
                    self._storage.set_trial_user_attr(trial_id, RUN + key, self._known[key])
            score = Trial(0, values, [self._known[key]["figures"] for key in keys]).score(self._objective.metric)
            self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [score])
        except UpdateFinishedTrialError:
            return False  # this process slept so long that it was given up
        except BaseException:
            self._give_up(trial_id)
            raise
        return True

    def _remember(self, trials: list[FrozenTrial]) -> None:
        for trial in trials:
            found = {name.removeprefix(RUN): value for name, value in trial.user_attrs.items() if name.startswith(RUN)}
            self._known.update(found)

    def _is_done(self, trial: FrozenTrial) -> bool:
        enough = len(trial.user_attrs.get(RUNS, [])) >= self._objective.runs
        return trial.state == TrialState.COMPLETE and enough

    def _is_late(self, trial_id: int) -> bool:
        """Whether a trial with a lower number holds the same combination."""
        mine = self._storage.get_trial(trial_id)
        return any(
            other.number < mine.number and other.user_attrs.get(KEY) == mine.user_attrs[KEY]
            for other in self._storage.get_all_trials(self._id, deepcopy=False)
            if other.state == TrialState.RUNNING or self._is_done(other)
        )

    def _await_sign(self, trial: FrozenTrial) -> None:
        """Let the silence of another's trial count from now on, once: Optuna waits forever for a first sign of life."""
        if trial.number not in self._seen:
            self._seen.add(trial.number)
            self._heart.record_heartbeat(self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number))

    def _give_up(self, trial_id: int) -> None:
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    @contextmanager
    def _signs_of_life(self, trial_id: int) -> Iterator[None]:
        over = threading.Event()

        def give() -> None:
            while not over.wait(SIGN_SECONDS):
                with suppress(Exception):  # the storage is busy or away: the next sign comes through, or is missed
                    self._heart.record_heartbeat(trial_id)

        self._heart.record_heartbeat(trial_id)
        thread = threading.Thread(target=give, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _distribution(parameter: Parameter) -> BaseDistribution:
    """The values of a parameter in Optuna's terms; the study's tools go by it, the search does not."""
    values = values_of(parameter)
    if parameter.type == "categorical":
        return CategoricalDistribution([_plain(value) for value in values])
    return (IntDistribution if parameter.type == "int" else FloatDistribution)(values[0], values[-1])


def _plain(value: Any) -> Any:
    """A value as Optuna can store it: a list becomes its JSON text."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _host() -> str:
    """This machine; a container of its own is one, since its processes have other numbers."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _is_gone(trial: FrozenTrial) -> bool:
    """Whether a trial's process ran on this machine and runs no longer."""
    if trial.user_attrs.get(HOST) != _host():
        return False
    try:
        os.kill(trial.user_attrs[PROCESS], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, as another user's
    return False
