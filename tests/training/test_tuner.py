import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from lib.config import Settings
from lib.digests import digest_of
from lib.errors import EarshotError, Problem, SettingsError
from lib.training import tuner
from lib.training.space import combination_key, plan, read_space
from lib.training.tuner import Objective, Run, Search, Trial, check_metric, open_storage

PROJECT = Path(__file__).parents[2]
SPACE = [
    {"name": "dropout", "type": "float", "bounds": [0.1, 0.4], "step": 0.1},
    {"name": "head", "choices": ["pool", "sed"]},
    {"name": "initial_offsets", "choices": [None, [0.0, 1.0]]},
]
SEARCHER = """
import os, sys, time
from lib.training.tuner import Objective
from tests.training.test_tuner import run_search, figures_of, key

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
    return {"macro_pr_auc": score, "micro_pr_auc": 0.5, "macro_roc_auc": 1.0, "micro_roc_auc": 0.0}


def key(run: Run) -> str:
    return digest_of([run.values, run.number])


def run_search(url, measure, runs=1, entries=SPACE, trials=0, metric="macro_pr", study="study"):
    space = read_space(entries)
    combinations, _ = plan(space, trials, study, Settings())
    search = Search(combinations, Objective(measure, key, metric, runs), space, open_storage(url), study)
    known = search.known()
    return [*known, *search.run(known)]


class Measured:
    """An objective that remembers its runs."""

    def __init__(self, fault=lambda run: False) -> None:
        self.runs: list[Run] = []
        self._fault = fault

    def __call__(self, run: Run) -> dict[str, float]:
        self.runs.append(run)
        if self._fault(run):
            raise EarshotError("no window has a class; check the annotations")
        return figures_of(run)


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/a folder/tuning.db"


def test_exhaustive_search_tries_every_combination_with_every_run_once(url):
    measured = Measured()
    trials = run_search(url, measured, runs=2)
    assert [trial.number for trial in trials] == list(range(1, 17))
    assert all(trial.is_new for trial in trials)
    assert Counter(map(key, measured.runs)).most_common(1)[0][1] == 1
    assert len(measured.runs) == 32
    best = max(trials, key=lambda trial: trial.score("macro_pr"))
    assert best.values == {"dropout": 0.4, "head": "sed", "initial_offsets": None}
    assert best.score("macro_pr") == pytest.approx(1.405)
    assert best.deviation("macro_pr") == pytest.approx(0.005)


def test_random_search_tries_so_many_combinations_none_twice(url):
    measured = Measured()
    assert len(run_search(url, measured, trials=7)) == 7
    assert len({key(run) for run in measured.runs}) == len(measured.runs) == 7


def test_scores_are_means_of_the_metric_s_figures():
    trial = Trial(1, {}, [{"macro_pr_auc": 0.4, "micro_pr_auc": 0.6, "macro_roc_auc": 0.8, "micro_roc_auc": 0.9}])
    scores = {metric: round(trial.score(metric), 6) for metric in tuner.METRICS}
    assert scores == {
        "macro_pr": 0.4,
        "micro_pr": 0.6,
        "macro_roc": 0.8,
        "micro_roc": 0.9,
        "combo_pr": 0.5,
        "combo_roc": 0.85,
    }
    with pytest.raises(SettingsError, match=r"tune\.metric = 'f1': must be one of macro_pr"):
        check_metric("f1")


def test_what_was_measured_is_not_measured_again_not_for_more_trials_runs_values_or_another_metric(url):
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
    assert {key(run) for run in first.runs + larger.runs} == {
        digest_of([values, 0]) for values in plan(read_space(SPACE), 0, "", Settings())[0]
    }
    assert len(larger.runs) == 13


def test_combination_that_cannot_be_used_is_a_problem_and_the_others_are_tried(url):
    measured = Measured(fault=lambda run: run.values["head"] == "sed")
    outcomes = run_search(url, measured)
    problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert len(outcomes) == 16
    assert len(problems) == 8
    assert "dropout = 0.1, head = sed, initial_offsets = None): no window has a class; check" in str(problems[0])
    with pytest.raises(EarshotError, match="no window has a class; check the annotations"):
        run_search(
            url, Measured(fault=lambda run: True), study="other", entries=[{"name": "dropout", "choices": [0.7]}]
        )


def test_interrupted_search_loses_the_running_run_only(url):
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


def start(url: str, log: Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", SEARCHER, url, str(log), str(seconds)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_share_the_work_and_see_the_same_outcome(url, tmp_path):
    processes = [start(url, tmp_path / "log", seconds=0.1) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [error for _, error in outputs] == ["", ""]  # Optuna keeps silent
    lines = [sorted(output.splitlines()) for output, _ in outputs]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 16
    runs, workers = zip(*(line.split() for line in (tmp_path / "log").read_text().splitlines()), strict=True)
    assert len(set(runs)) == len(runs) == 32
    assert len(set(workers)) == 2


def test_trial_whose_process_was_killed_is_run_again_at_once_but_for_the_runs_that_it_had_done(url, tmp_path):
    log = tmp_path / "log"
    process = start(url, log, seconds=60)
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 2:  # the second run has begun
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    measured = Measured()
    begin = time.monotonic()
    assert len(run_search(url, measured, runs=2)) == 16
    assert time.monotonic() - begin < 20
    assert [measured.runs[0].number, len(measured.runs)] == [1, 31]


def test_trial_of_another_machine_is_waited_for_until_it_gives_no_sign_of_life(url, monkeypatch):
    monkeypatch.setattr(tuner, "SIGN_SECONDS", 1)
    monkeypatch.setattr(tuner, "GRACE_SECONDS", 3)
    entries = [{"name": "dropout", "choices": [0.1]}, {"name": "head", "choices": ["pool"]}]
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="study", direction="maximize")
    values = {"dropout": 0.1, "head": "pool"}
    attributes = {"combination": combination_key(values), "host": "elsewhere", "process": os.getpid(), "runs": []}
    claim = optuna.create_trial(state=TrialState.RUNNING, user_attrs=attributes)
    storage.record_heartbeat(storage.create_new_trial(storage.get_study_id_from_name("study"), claim))
    begin = time.monotonic()
    (trial,) = run_search(url, Measured(), entries=entries)
    assert 2 < time.monotonic() - begin < 15
    assert trial.values == values


@pytest.mark.parametrize("host", ["elsewhere", None])
def test_trial_that_was_killed_before_its_first_sign_of_life_is_not_waited_for_forever(url, monkeypatch, host):
    monkeypatch.setattr(tuner, "SIGN_SECONDS", 1)
    monkeypatch.setattr(tuner, "GRACE_SECONDS", 3)
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="study", direction="maximize")
    values = {"dropout": 0.1, "head": "pool"}
    attributes = {"combination": combination_key(values), "process": os.getpid(), "runs": []}
    attributes |= {"host": host} if host else {}
    claim = optuna.create_trial(state=TrialState.RUNNING, user_attrs=attributes)
    storage.create_new_trial(storage.get_study_id_from_name("study"), claim)
    entries = [{"name": "dropout", "choices": [0.1]}, {"name": "head", "choices": ["pool"]}]
    begin = time.monotonic()
    (trial,) = run_search(url, Measured(), entries=entries)
    assert 2 < time.monotonic() - begin < 15
    assert trial.values == values


def test_claim_gives_its_first_sign_of_life_before_any_work(url):
    def count(run):
        with storage.engine.connect() as connection:
            signs.append(connection.exec_driver_sql("SELECT count(*) FROM trial_heartbeats").scalar())
        return False

    storage, signs = open_storage(url), []
    run_search(url, Measured(fault=count), entries=[SPACE[0] | {"bounds": [0.1, 0.1]}, *SPACE[1:]])
    assert signs == [1, 2, 3, 4]


def test_storage_that_cannot_be_used_is_one_clear_line():
    with pytest.raises(SettingsError, match=r"tune\.storage = 'nonsense': cannot be used \(.*\); give") as caught:
        open_storage("nonsense")
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"postgres://me:\*\*\*@host/studies") as caught:
        open_storage("postgres://me:secret@host/studies")
    assert "secret" not in str(caught.value)
