import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from lib.config.schema import Settings
from lib.core.digests import digest_of
from lib.core.errors import EarshotError, Problem, SettingsError
from lib.tuning.search_space import combination_key, plan, read_space
from lib.tuning.studies import Objective, Run, Search, StudyStorage, Trial, open_storage
from lib.tuning.tuning_metrics import TUNE_METRICS

PROJECT = Path(__file__).parents[2]
HEARTBEAT, GRACE = 1, 3  # seconds
SPACE = [
    {"name": "dropout", "type": "float", "bounds": [0.1, 0.4], "step": 0.1},
    {"name": "head", "choices": ["pool", "sed"]},
    {"name": "initial_offsets", "choices": [None, [0.0, 1.0]]},
]
ONE = [{"name": "dropout", "choices": [0.1]}, {"name": "head", "choices": ["pool"]}]
TWO = [{"name": "dropout", "choices": [0.1]}, {"name": "head", "choices": ["pool", "sed"]}]
KILLER = """
import os, sys
from tests.tuning.test_studies import TWO, figures_of, run_search

def measure(run):
    if run.values["head"] == "pool":
        os._exit(137)  # as a process that Linux ends when memory runs out
    return figures_of(run)

run_search(sys.argv[1], measure, entries=TWO)
"""
SEARCHER = """
import os, sys, time
from tests.tuning.test_studies import run_search, figures_of, key

def measure(run):
    with open(sys.argv[2], "a") as file:
        file.write(f"{key(run)} {os.getpid()}\\n")
    time.sleep(float(sys.argv[3]) if run.number else 0.02)
    return figures_of(run)

for outcome in run_search(sys.argv[1], measure, runs=2):
    print(outcome.number, outcome.score("macro_pr"))
"""


def figures_of(run: Run) -> dict[str, float]:
    score = run.values["dropout"] + 0.01 * run.number + (run.values["head"] == "sed")
    return {"macro_pr": score, "micro_pr": 0.5, "macro_roc": 1.0, "micro_roc": 0.0}


def key(run: Run) -> str:
    return digest_of([run.values, run.number])


def run_search(url, measure, runs=1, entries=SPACE, trials=0, metric="macro_pr", study="study", again=False):
    space = read_space(entries)
    combinations, _ = plan(space, trials, study, Settings())
    storage = open_storage(url, HEARTBEAT, GRACE)
    search = Search(combinations, Objective(measure, key, metric, runs), space, storage, study)
    if again:
        search.forget_abandoned()
    done = search.done()
    return [*done, *search.run(done)]


class Measured:
    """An objective that remembers its runs."""

    def __init__(self, fault=lambda run: False) -> None:
        self.runs: list[Run] = []
        self._fault = fault

    def __call__(self, run: Run) -> dict[str, float]:
        self.runs.append(run)
        if self._fault(run):
            raise EarshotError("", "no window has a class", "check the annotations")
        return figures_of(run)


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/a folder/tuning.db"


def start(url: str, log: Path, seconds: float) -> subprocess.Popen:
    """A process that searches; its second run of each combination takes so many seconds."""
    command = [sys.executable, "-c", SEARCHER, url, str(log), str(seconds)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_search_tries_every_combination_with_every_run_once(url):
    measured = Measured()
    trials = run_search(url, measured, runs=2)
    assert [trial.number for trial in trials] == list(range(1, 17))
    assert all(trial.is_new for trial in trials)
    assert len(set(map(key, measured.runs))) == len(measured.runs) == 32
    best = max(trials, key=lambda trial: trial.score("macro_pr"))
    assert best.values == {"dropout": 0.4, "head": "sed", "initial_offsets": None}
    assert best.score("macro_pr") == pytest.approx(1.405)
    assert best.deviation("macro_pr") == pytest.approx(0.005)
    stored = optuna.load_study(study_name="study", storage=url)
    assert stored.best_value == pytest.approx(1.405) and stored.best_params["head"] == "sed"


def test_scores_are_means_of_the_metric_s_figures():
    trial = Trial(1, {}, [{"macro_pr": 0.4, "micro_pr": 0.6, "macro_roc": 0.8, "micro_roc": 0.9}])
    expected = {
        "macro_pr": 0.4,
        "micro_pr": 0.6,
        "macro_roc": 0.8,
        "micro_roc": 0.9,
        "combo_pr": 0.5,
        "combo_roc": 0.85,
    }
    assert {metric: round(trial.score(metric), 6) for metric in TUNE_METRICS} == expected


def test_what_was_measured_is_not_measured_again_for_more_trials_runs_values_or_another_metric(url):
    first = Measured()
    small = [SPACE[0] | {"bounds": [0.1, 0.2]}, *SPACE[1:]]
    known = run_search(url, first, entries=small, trials=3)
    again = Measured()
    assert [trial.is_new for trial in run_search(url, again, entries=small, trials=3, metric="micro_pr")] == [False] * 3
    assert again.runs == []

    more = Measured()
    trials = run_search(url, more, entries=small, trials=3, runs=3)
    assert [run.number for run in more.runs] == [1, 2] * 3
    assert [trial.figures[0] for trial in trials] == [trial.figures[0] for trial in known]

    larger = Measured()
    assert len(run_search(url, larger, study="a larger space")) == 16
    assert len(larger.runs) == 13
    assert len({key(run) for run in first.runs + larger.runs}) == 16


def test_combination_that_cannot_be_used_is_a_problem_and_the_others_are_tried(url):
    measured = Measured(fault=lambda run: run.values["head"] == "sed")
    outcomes = run_search(url, measured)
    problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert len(outcomes) == len(measured.runs) == 16
    assert len(problems) == 8
    assert "dropout = 0.1, head = sed, initial_offsets = None): no window has a class; check" in str(problems[0])
    with pytest.raises(EarshotError, match="no window has a class; check the annotations"):
        run_search(url, Measured(fault=lambda run: True), study="other", entries=ONE)


def test_error_in_the_code_ends_the_search(url):
    def broken(run):
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        run_search(url, broken)


def test_interrupted_search_loses_only_the_running_run_and_resumes_at_once(url):
    def interrupt(run):
        if len(measured.runs) == 4:
            raise KeyboardInterrupt
        return False

    measured = Measured(fault=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_search(url, measured, runs=3)
    rest = Measured()
    assert len(run_search(url, rest, runs=3)) == 16
    assert len(rest.runs) == 3 * 16 - 3
    assert key(rest.runs[0]) == key(measured.runs[-1])


def test_processes_share_the_work_and_see_the_same_outcome(url, tmp_path):
    processes = [start(url, tmp_path / "log", seconds=0.1) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [error for _, error in outputs] == ["", "", ""]  # Optuna keeps silent
    lines = [sorted(output.splitlines()) for output, _ in outputs]
    assert lines[0] == lines[1] == lines[2]
    assert len(lines[0]) == 16
    runs, workers = zip(*(line.split() for line in (tmp_path / "log").read_text().splitlines()), strict=True)
    assert len(set(runs)) == len(runs) == 32
    assert len(set(workers)) == 3


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGSTOP])
def test_trial_of_a_process_that_stopped_is_taken_over_without_the_runs_that_it_had_done(url, tmp_path, stop):
    log = tmp_path / "log"
    process = start(url, log, seconds=0.5)
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 2:  # the second run has begun
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(stop)
    measured = Measured()
    begin = time.monotonic()
    trials = run_search(url, measured, runs=2)
    assert 1 < time.monotonic() - begin < 60  # it might still live
    assert [len(trials), len(measured.runs)] == [16, 31]
    stopped = plan(read_space(SPACE), 0, "", Settings())[0][0]  # whose first run was done
    assert [run.number for run in measured.runs if run.values == stopped] == [1]
    assert [trial.values for trial in trials].count(stopped) == 1
    if stop == signal.SIGSTOP:  # as a laptop that sleeps and wakes up
        process.send_signal(signal.SIGCONT)
    output, errors = process.communicate(timeout=60)
    assert errors == ""
    if stop == signal.SIGSTOP:
        expected = sorted(f"{trial.number} {trial.score('macro_pr')}" for trial in trials)
        assert sorted(output.splitlines()) == expected and process.returncode == 0
        assert Counter(log.read_text().split()[::2]).most_common(1)[0][1] == 1


def add_running_trial(storage: StudyStorage, values: dict) -> int:
    """What a process that was killed leaves in the study; returns the id of the trial."""
    study = optuna.create_study(storage=storage, study_name="study", direction="maximize")
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs={"combination": combination_key(values)}))
    return storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name("study"), 0)


def test_trial_of_a_process_that_was_killed_before_its_first_heartbeat_is_not_waited_for_forever(url):
    values = {"dropout": 0.1, "head": "pool"}
    add_running_trial(open_storage(url), values)
    begin = time.monotonic()
    (trial,) = run_search(url, Measured(), entries=ONE)
    assert GRACE - 1 < time.monotonic() - begin < 60
    assert trial.values == values


def test_processes_that_join_do_not_postpone_the_takeover_of_a_dead_trial(url):
    storage = open_storage(url, HEARTBEAT, GRACE)
    storage.record_heartbeat(add_running_trial(storage, {"dropout": 0.1, "head": "pool"}))
    ends: list[float] = []

    def join(number: int) -> None:
        time.sleep(number)
        run_search(url, Measured(), entries=ONE)
        ends.append(time.monotonic())

    begin, n_joining = time.monotonic(), 4 * GRACE
    with ThreadPoolExecutor(n_joining) as joining:
        list(joining.map(join, range(n_joining)))
    assert GRACE - 1 < min(ends) - begin < n_joining  # the last one joins at that time, and would wait for GRACE


def test_combination_that_kills_its_process_is_left_out_in_the_end_and_the_others_are_tried(url):
    command = [sys.executable, "-c", KILLER, url]
    for _ in range(3):
        assert subprocess.run(command, cwd=PROJECT, timeout=60).returncode == 137
    for _ in range(2):
        measured = Measured()
        trial, problem = run_search(url, measured, entries=TWO)
        assert trial.values == {"dropout": 0.1, "head": "sed"} and measured.runs == []
        assert "trial 1 (dropout = 0.1, head = pool): its process died 3 times" in str(problem)
    assert len(run_search(url, measured, entries=TWO, again=True)) == 2 and len(measured.runs) == 1


def test_combination_that_only_another_process_wants_is_not_tried(url):
    """One that the other has enqueued already, because it tries more trials of the same study."""
    study = optuna.create_study(storage=open_storage(url), study_name="study", direction="maximize")
    study.enqueue_trial({"dropout": 0.4}, {"combination": combination_key({"dropout": 0.4})})
    measured = Measured()
    assert len(run_search(url, measured, entries=ONE)) == len(measured.runs) == 1
    assert measured.runs[0].values["dropout"] == 0.1


def test_heartbeats_survive_a_storage_that_fails_for_a_moment(url):
    def disturb(run):
        for statement in ("ALTER TABLE trial_heartbeats RENAME TO away", "ALTER TABLE away RENAME TO trial_heartbeats"):
            with storage.engine.begin() as connection:
                connection.exec_driver_sql(statement)
            before = time.time()
            time.sleep(2.5)
        with storage.engine.connect() as connection:
            query = "SELECT unixepoch(heartbeat) FROM trial_heartbeats"
            heartbeats.append(connection.exec_driver_sql(query).scalar() - before)
        return False

    storage, heartbeats = open_storage(url), []
    run_search(url, Measured(fault=disturb), entries=ONE)
    assert heartbeats[0] > 0


def test_storage_that_cannot_be_used_is_one_clear_line_without_its_password():
    with pytest.raises(SettingsError, match=r"tune\.storage = 'nonsense': cannot be used \(.*\); give") as caught:
        open_storage("nonsense")
    assert "\n" not in str(caught.value)
    for url in ("postgres://me:secret@host/studies", "postgresql://me:secret@host/studies"):
        with pytest.raises(SettingsError, match=r"postgres(ql)?://me:\*\*\*@host/studies") as caught:
            open_storage(url)
        assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
