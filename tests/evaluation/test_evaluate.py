import json

import pytest

from lib.errors import DataSetError
from stages.evaluate import evaluate
from tests.evaluation.example import write_project


def run(folder, **overrides):
    evaluate(
        labels=str(folder / "labels"),
        output=str(folder / "report"),
        metrics=str(folder / "evaluation.json"),
        **{"data.test.path": str(folder / "test"), "bootstrap": 20} | overrides,
    )


def test_the_stage_writes_flat_figures_and_prints_them(tmp_path, capsys):
    write_project(tmp_path)
    run(tmp_path)
    text = (tmp_path / "evaluation.json").read_text()
    figures = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert all(isinstance(value, int | float) for value in figures.values())
    assert {"macro_pr_auc", "micro_pr_auc_low", "best_f1", "best_threshold", "n_recordings"} <= set(figures)
    shown = capsys.readouterr()
    assert f"{figures['macro_pr_auc']:.3f}" in shown.out
    assert shown.err == ""
    assert (tmp_path / "report/example.png").exists()


def test_the_same_input_gives_the_same_files(tmp_path):
    write_project(tmp_path)
    files = []
    for _ in range(2):
        run(tmp_path)
        files.append({path.name: path.read_bytes() for path in [*tmp_path.glob("report/*"), *tmp_path.glob("*.json")]})
    assert files[0] == files[1] and len(files[0]) == 18


def test_a_setting_on_the_command_line_counts(tmp_path):
    write_project(tmp_path)
    run(tmp_path, threshold=0.0)
    assert json.loads((tmp_path / "evaluation.json").read_text())["recall"] == 1


def test_problems_are_shown_one_line_each(tmp_path, capsys):
    write_project(tmp_path)
    table = tmp_path / "labels/recordings.csv"
    table.write_text(table.read_text().replace("12,ok,", ",failed,the file is empty", 1))
    run(tmp_path)
    warnings = capsys.readouterr().err.splitlines()
    assert [line for line in warnings if "000: left out of the evaluation: the file is empty" in line]


def test_without_scores_the_error_says_what_to_run(tmp_path):
    write_project(tmp_path)
    (tmp_path / "labels/scores.csv").unlink()
    with pytest.raises(DataSetError, match=r"scores\.csv: no such file; run the infer stage"):
        run(tmp_path)
