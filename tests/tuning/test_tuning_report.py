import ast

import pandas as pd
import pytest

from lib.config.schema import Settings
from lib.tuning.search_space import plan, read_space
from lib.tuning.studies import Run, Trial
from lib.tuning.tuning_report import SHOWN_TRIALS, arguments, trial_line, trial_table, write_reports
from tests.tuning.test_studies import SPACE, figures_of

TITLES = ("Macro PR-AUC", "Micro PR-AUC", "Macro ROC-AUC", "Micro ROC-AUC")


def trials_of(runs: int = 2, entries=SPACE) -> list[Trial]:
    combinations, _ = plan(read_space(entries), 0, "study", Settings())
    return [
        Trial(number, values, [figures_of(Run(values, run)) for run in range(runs)], seconds=60.0 * number)
        for number, values in enumerate(combinations, 1)
    ]


def test_summary_has_means_and_deviations_over_the_runs_and_details_have_each_run(tmp_path):
    trials = trials_of()
    files = write_reports(tmp_path, trials[::-1], read_space(SPACE), "macro_pr")
    assert [file.name for file in files] == ["metrics-summary.csv", "metrics-details.csv", "tuning.png"]
    summary, details = map(pd.read_csv, files[:2])
    columns = [f"{title} ({kind})" for title in TITLES for kind in ("mean", "stdev")]
    assert list(summary) == ["Trial #", "Params", *columns]
    assert list(details) == ["Trial #", "Run #", *TITLES]
    assert [ast.literal_eval(text) for text in summary["Params"]] == [trial.values for trial in trials]
    runs = details.groupby("Trial #")["Macro PR-AUC"]
    assert runs.mean().to_numpy() == pytest.approx(summary["Macro PR-AUC (mean)"].to_numpy(), abs=1e-4)
    assert runs.std(ddof=0).to_numpy() == pytest.approx(summary["Macro PR-AUC (stdev)"].to_numpy(), abs=1e-4)
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_table_shows_the_best_first_and_says_how_many_are_not_shown():
    trials = trials_of()
    best = max(trials, key=lambda trial: trial.score("macro_pr"))
    header, _, first, *_ = trial_table(trials, "macro_pr").splitlines()
    assert header.split() == ["trial", "macro_pr", "time", "dropout", "head", "initial_offsets"]
    assert first.split() == [str(best.number), "1.4050", "±", "0.0050", f"{best.number}:00", "0.4", "sed", "null"]
    many = [Trial(number, {}, trials[0].figures) for number in range(SHOWN_TRIALS + 3)]
    assert trial_table(many, "macro_pr").endswith("\n... and 3 more in metrics-summary.csv")


def test_trial_is_a_line():
    (trial,) = trials_of(runs=1, entries=[{"name": "dropout", "choices": [0.1]}, {"name": "head", "choices": ["sed"]}])
    assert trial_line(trial, "macro_pr") == "trial 1: macro_pr 1.1000, dropout = 0.1, head = sed"


def test_values_become_arguments_that_a_shell_passes_on_as_they_are():
    values = {"dropout": 0.1, "head": "sed", "initial_offsets": [0.0, 1.0], "infer.merge_labels": True}
    assert arguments(values) == (
        "-S train.dropout=0.1 -S train.head=sed -S 'infer.initial_offsets=[0.0, 1.0]' -S infer.merge_labels=true"
    )
