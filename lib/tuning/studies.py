"""The search for good settings: trials of a stored Optuna study, which resumes, and which several processes may share.

A trial is a combination of values (lib.tuning.search_space), tried in one run or in several that differ in their seed.
The study holds what each run measured, so nothing is measured twice: an interrupted search resumes, also with more runs
or trials, and takes over what an earlier search with other values measured.

Optuna's samplers do not fit: the grid sampler lets two processes take the same combination, and random samplers repeat
themselves. So the combinations are planned beforehand and enqueued one by one. Optuna hands each to one process, and by
its heartbeats notices when that process has died. If two processes enqueue a combination at the same moment, the later
trial is pruned.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from lib.config.schema import Parameter
from lib.core.databases import SQLITE, database_of
from lib.core.errors import EarshotError, Problem, SettingsError
from lib.core.files import without_password
from lib.tuning.search_space import Values, combination_key, shown, values_of
from lib.tuning.tuning_metrics import TUNE_METRICS

POLL_SECONDS = 1.0
"""How often a process with nothing left to try checks whether the others have finished."""
RETRIES = 2
"""How often a trial whose process died is tried again."""
COMBINATION, RUNS, RUN = "combination", "runs", "run "
"""User attributes of a stored trial: the key of its combination; the keys of its runs; and RUN with the key of a run:
the figures of that run and its seconds."""
ABANDONED = "abandoned "
"""User attribute of a stored study, with the key of a combination behind it: its last retry died with its process."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """A combination that was tried.

    Args:
        number: its place in the plan, from 1.
        values: the combination.
        figures: those of each run.
        seconds: what all runs took together.
        is_new: whether this search completed it.
    """

    number: int
    values: Values
    figures: list[Figures]
    seconds: float = 0.0
    is_new: bool = False

    def scores(self, metric: str) -> list[float]:
        """The score of each run."""
        return [fmean(figures[name] for name in TUNE_METRICS[metric]) for figures in self.figures]

    def score(self, metric: str) -> float:
        """The mean of the runs' scores."""
        return fmean(self.scores(metric))

    def deviation(self, metric: str) -> float:
        """Standard deviation of the runs' scores, as of a whole population: 0 for a single run."""
        return pstdev(self.scores(metric))


@dataclass(frozen=True)
class Run:
    """A run to do: the values of a combination, and the number of the run, from 0."""

    values: Values
    number: int


@dataclass(frozen=True)
class Objective:
    """What is measured of combinations.

    Args:
        measure: returns the figures of a run; raises EarshotError if the combination cannot be used.
        key: returns a digest of everything that the figures of a run depend on.
        metric: which combinations are compared by, one of TUNE_METRICS.
        runs: how many of each combination.
    """

    measure: Callable[[Run], Figures]
    key: Callable[[Run], str]
    metric: str
    runs: int


class StudyStorage(RDBStorage):
    """Its heartbeats survive a database that is away for a moment: Optuna's would end, and the trial count as dead.

    Args:
        lock: held while a trial changes its state. Optuna locks the row, which SQLite cannot do, so that two processes
            could take the same trial.
        options: of RDBStorage.
    """

    def __init__(self, url: str, lock: AbstractContextManager, **options: Any) -> None:
        super().__init__(url, **options)
        self._lock = lock

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with self._lock:
            return super().set_trial_state_values(trial_id, state, values)

    def record_heartbeat(self, trial_id: int) -> None:
        with suppress(Exception):
            super().record_heartbeat(trial_id)

    def record_first_heartbeat(self, trial_id: int) -> None:
        """Give a trial a heartbeat unless it has one: another one would let a dead trial look alive."""
        query = text("SELECT count(*) FROM trial_heartbeats WHERE trial_id = :trial_id")  # Optuna has no way to ask
        with suppress(SQLAlchemyError), self.engine.connect() as connection:
            if not connection.execute(query, {"trial_id": trial_id}).scalar():
                self.record_heartbeat(trial_id)


def open_storage(url: str, heartbeat_seconds: int = 10, grace_seconds: int = 60) -> StudyStorage:
    """The storage of studies behind an SQLAlchemy URL; an SQLite file is made if it is missing.

    Args:
        url: a relative SQLite path counts from the project's folder.
        heartbeat_seconds: how often a running trial gives a heartbeat.
        grace_seconds: how long after the last heartbeat a trial is tried again.

    Raises SettingsError if the storage cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    engine_options: dict[str, Any] = {"pool_pre_ping": True}
    lock: AbstractContextManager = nullcontext()
    if database := database_of(url):
        database.parent.mkdir(parents=True, exist_ok=True)
        url, engine_options, lock = (
            f"{SQLITE}{database}",
            {"connect_args": {"timeout": 60}},
            FileLock(f"{database}.lock"),
        )
    try:
        # Two processes that make the tables at the same moment would collide.
        with lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls heartbeats experimental
            return StudyStorage(
                url,
                lock,
                engine_kwargs=engine_options,
                heartbeat_interval=heartbeat_seconds,
                grace_period=grace_seconds,
                heartbeat_stale_trial_callback=_retry_or_abandon,
            )
    except Exception as error:  # whatever the driver behind the URL raises, or the lack of one
        reason = without_password(str(error).strip().partition("\n")[0] or type(error).__name__)
        setting, remedy = f"tune.storage = {without_password(url)!r}", "give an SQLAlchemy URL that can be reached"
        raise SettingsError(setting, f"cannot be used ({reason})", remedy) from None


def _retry_or_abandon(study: optuna.Study, trial: FrozenTrial) -> None:
    """What becomes of a trial whose process died: without a limit, a trial that kills it would kill all of them."""
    if len(RetryHeartbeatStaleTrialCallback.retry_history(trial)) < RETRIES:
        RetryHeartbeatStaleTrialCallback()(study, trial)
    else:
        study.set_user_attr(ABANDONED + trial.user_attrs.get(COMBINATION, ""), trial.number)


class Search:
    """The trial of all combinations of a plan, together with other processes that search the same study."""

    def __init__(
        self,
        combinations: Sequence[Values],
        objective: Objective,
        space: Sequence[Parameter],
        storage: StudyStorage,
        study: str,
    ) -> None:
        self._objective, self._space, self._storage = objective, space, storage
        self._plan = {combination_key(values): (number, values) for number, values in enumerate(combinations, 1)}
        self._study = optuna.create_study(storage=storage, study_name=study, direction="maximize", load_if_exists=True)
        self._id = storage.get_study_id_from_name(study)
        self._measured: dict[str, dict] = {}  # by key of a run
        self._completed: set[str] = set()  # combinations
        self._faults: dict[str, EarshotError] = {}  # of combinations that cannot be used here
        for other in optuna.get_all_study_names(storage):  # they may have tried the same with another space
            self._remember(storage.get_all_trials(storage.get_study_id_from_name(other), deepcopy=False))

    def done(self) -> list[Trial]:
        """The trials that are done already."""
        return list(self._done_trials().values())

    def forget_abandoned(self) -> None:
        """Let combinations be tried again whose process died more than RETRIES times."""
        for key in self._abandoned():
            self._study.set_user_attr(ABANDONED + key, None)

    def run(self, done: Sequence[Trial] = ()) -> Iterator[Trial | Problem]:
        """Try the combinations that are not done; yields each as soon as it is done, whoever did it.

        A Problem stands for a combination that cannot be used here. Ends when the last one is done. Raises EarshotError
        if none can be used, or if the storage fails.
        """
        try:
            yield from self._try_all({combination_key(trial.values) for trial in done})
        except StorageInternalError as error:
            reason = without_password(str(error).strip().partition("\n")[0])
            raise EarshotError("tune.storage", f"failed ({reason})", "run the same command again to resume") from None

    def _try_all(self, yielded: set[str]) -> Iterator[Trial | Problem]:
        n_problems = 0
        while True:
            for key, trial in self._done_trials().items():
                if key not in yielded:
                    yielded.add(key)
                    yield trial
            self._fail_lost_trials()
            for key in self._abandoned():
                if key not in yielded:
                    fault = f"its process died {1 + RETRIES} times, perhaps for want of memory"
                    remedy = "give it more memory, and --again to try it again"
                    self._faults.setdefault(key, EarshotError("", fault, remedy))
            for key, error in list(self._faults.items())[n_problems:]:
                number, values = self._plan[key]
                yield Problem(f"trial {number} ({shown(values)})", error.fault, error.remedy)
            n_problems = len(self._faults)
            untried = [key for key in self._plan if key not in yielded and key not in self._faults]
            if not untried:
                break
            if self._enqueue(untried):
                self._try_next()
            else:  # other processes are at work
                time.sleep(POLL_SECONDS)
        if not yielded:
            raise next(iter(self._faults.values()))

    def _enqueue(self, untried: list[str]) -> bool:
        """Let the first combination that no process works at be tried next; returns False if there is none."""
        running, waiting = (
            {trial.user_attrs.get(COMBINATION) for trial in self._trials(state)}
            for state in (TrialState.RUNNING, TrialState.WAITING)
        )
        free = next((key for key in untried if key not in running), None)
        if free is not None and free not in waiting:
            values = {name: _plain(value) for name, value in self._plan[free][1].items()}
            self._study.enqueue_trial(values, {COMBINATION: free})
        return free is not None

    def _try_next(self) -> None:
        """Try the combination that Optuna hands out next."""
        raised: list[Exception] = []

        def objective(trial: optuna.Trial) -> float:
            try:
                return self._measure(trial)
            except Exception as error:
                raised.append(error)
                raise

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls heartbeats experimental
            # Optuna raises these if this process was suspended so long that another one took over its trial.
            with suppress(ValueError, UpdateFinishedTrialError):
                self._study.optimize(objective, n_trials=1, catch=Exception)
        for error in raised:
            if not isinstance(error, EarshotError | optuna.TrialPruned | UpdateFinishedTrialError):
                raise error

    def _measure(self, trial: optuna.Trial) -> float:
        key = trial.user_attrs.get(COMBINATION, "")  # "": the queue was empty, so Optuna made up a trial
        if key not in self._plan or key in self._faults or self._is_late(trial, key):
            raise optuna.TrialPruned
        for parameter in self._space:
            _suggest(trial, parameter)
        number, values = self._plan[key]
        runs = [Run(values, run) for run in range(self._objective.runs)]
        try:
            run_keys = [self._objective.key(run) for run in runs]
            trial.set_user_attr(RUNS, run_keys)
            for run, run_key in zip(runs, run_keys, strict=True):
                if run_key not in self._measured:
                    begin = time.monotonic()
                    figures = self._objective.measure(run)
                    self._measured[run_key] = {"figures": figures, "seconds": time.monotonic() - begin}
                trial.set_user_attr(RUN + run_key, self._measured[run_key])
        except EarshotError as error:
            self._faults[key] = error
            raise
        self._completed.add(key)
        figures_of_runs = [self._measured[run_key]["figures"] for run_key in run_keys]
        return Trial(number, values, figures_of_runs).score(self._objective.metric)

    def _is_late(self, trial: optuna.Trial, key: str) -> bool:
        """Whether a trial with a lower number holds the same combination, or it is done."""
        others = self._trials(TrialState.WAITING, TrialState.RUNNING)  # first: they may be done a moment later
        return key in self._done_trials() or any(
            other.number < trial.number and other.user_attrs.get(COMBINATION) == key for other in others
        )

    def _fail_lost_trials(self) -> None:
        """Let trials of processes that are gone be tried again.

        Optuna waits forever for a process that died before its first heartbeat, so each running trial gets one from us.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls heartbeats experimental
            optuna.storages.fail_stale_trials(self._study)
        for trial in self._trials(TrialState.RUNNING):
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)
            self._storage.record_first_heartbeat(trial_id)

    def _abandoned(self) -> list[str]:
        """Combinations that no process shall try again."""
        attributes = self._study.user_attrs
        return [key for key in self._plan if attributes.get(ABANDONED + key) is not None]

    def _done_trials(self) -> dict[str, Trial]:
        """Trials that are done, by combination, in the order of the plan."""
        trials = self._trials()
        self._remember(trials)
        done: dict[str, list[dict]] = {}
        for trial in trials:
            run_keys = trial.user_attrs.get(RUNS, [])[: self._objective.runs]
            if trial.state == TrialState.COMPLETE and len(run_keys) == self._objective.runs:
                done[trial.user_attrs[COMBINATION]] = [trial.user_attrs[RUN + key] for key in run_keys]
        return {
            key: Trial(
                number,
                values,
                figures=[run["figures"] for run in done[key]],
                seconds=sum(run["seconds"] for run in done[key]),
                is_new=key in self._completed,
            )
            for key, (number, values) in self._plan.items()
            if key in done
        }

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _remember(self, trials: list[FrozenTrial]) -> None:
        for trial in trials:
            runs = {name.removeprefix(RUN): run for name, run in trial.user_attrs.items() if name.startswith(RUN)}
            self._measured.update(runs)


def _suggest(trial: optuna.Trial, parameter: Parameter) -> None:
    """Record a parameter's value in Optuna's terms, for its own tools; the value is the enqueued one."""
    values = values_of(parameter)
    if parameter.type == "categorical":
        trial.suggest_categorical(parameter.name, [_plain(value) for value in values])
    elif parameter.type == "int":
        trial.suggest_int(parameter.name, values[0], values[-1])
    else:
        trial.suggest_float(parameter.name, values[0], values[-1])


def _plain(value: Any) -> Any:
    """A value as Optuna can store it: a list becomes its JSON text."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
