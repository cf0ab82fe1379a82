import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from lib.config import DataSet
from lib.datasets.contents import read_data_set
from lib.errors import DataSetError
from lib.evaluation.predictions import read_predictions
from lib.evaluation.report import summary, write_example, write_report
from lib.evaluation.results import measure
from lib.evaluation.units import segment_units
from tests.evaluation.example import contents, predictions, write_project

TABLES = {
    "classes": ["class", "positives", "pr_auc"],
    "thresholds": ["threshold", "precision", "recall", "f1"],
    "pr_curve": ["recall", "precision", "threshold"],
    "roc_curve": ["fpr", "tpr", "threshold"],
    "confusion": ["actual", "predicted", "count", "share"],
    "recordings": ["recording", "seconds", "status", "reason", "segments", "tp", "fp", "fn"],
    "errors": ["kind", "recording", "class", "start_time", "end_time", "score"],
}
PICTURES = ["pr_curves", "roc_curves", "confusion", "scores", "classes"]


def report(folder, test_set, found):
    units, problems = segment_units(test_set, found)
    results = measure(units, resamples=20)
    write_report(folder, results, units, found, list(test_set.recordings), problems)
    return results, units


def not_blank(path):
    return image.imread(path)[..., :3].std() > 0.01


@pytest.mark.parametrize("n_classes", [2, 60])
def test_a_report_holds_every_table_and_picture(tmp_path, n_classes):
    write_project(tmp_path, n_classes)
    test_set = read_data_set(DataSet(path=str(tmp_path / "test")))
    found = read_predictions(tmp_path / "labels")
    results, units = report(tmp_path / "report", test_set, found)
    for name, columns in TABLES.items():
        table = pd.read_csv(tmp_path / f"report/{name}.csv")
        assert list(table.columns)[: len(columns)] == columns and len(table), name
    assert all(not_blank(tmp_path / f"report/{name}.png") for name in PICTURES)
    assert summary(results) in (tmp_path / "report/summary.txt").read_text()

    assert write_example(tmp_path / "example.png", units, test_set, found) == []
    assert not_blank(tmp_path / "example.png")


def test_a_report_of_a_test_set_without_any_sound_is_whole(tmp_path):
    report(tmp_path, contents([], ["r", "s"]), predictions([], {"r": 6, "s": 6}, classes=("a$b$", "c")))
    assert all((tmp_path / f"{name}.png").stat().st_size for name in PICTURES)
    assert pd.read_csv(tmp_path / "classes.csv")["pr_auc"].isna().all()


def test_recordings_that_failed_are_listed_with_their_reason(tmp_path):
    found = predictions([("r", "a", 0, 0.9)], {"r": 6}, failed={"bad": "the file is empty"})
    report(tmp_path, contents([("r", "a", 0, 3)], ["r", "bad", "new"]), found)
    table = pd.read_csv(tmp_path / "recordings.csv").set_index("recording")
    assert table["status"].to_dict() == {"bad": "failed", "new": "not analyzed", "r": "ok"}
    assert table.at["bad", "reason"] == "the file is empty" and np.isnan(table.at["bad", "tp"])
    assert "the file is empty" in (tmp_path / "summary.txt").read_text()


def test_an_example_that_cannot_be_read_is_reported_and_no_old_one_stays(tmp_path):
    (tmp_path / "example.png").write_text("old")
    test_set, found = contents([("r", "a", 0, 3)], ["r"]), predictions([], {"r": 6})
    units, _ = segment_units(test_set, found)
    problems = write_example(tmp_path / "example.png", units, test_set, found)
    assert [problem.subject for problem in problems] == ["r"]
    assert not (tmp_path / "example.png").exists()


def test_the_example_is_the_recording_with_the_most_classes(tmp_path):
    rows = [("r", "a", 0, 6), ("s", "a", 0, 3), ("s", "b", 0, 3)]
    test_set, found = contents(rows, ["r", "s"]), predictions([], {"r": 6, "s": 6})
    units, _ = segment_units(test_set, found)
    assert [problem.subject for problem in write_example(tmp_path / "x.png", units, test_set, found)] == ["s"]


def test_names_that_look_like_numbers_or_nothing_stay_names(tmp_path):
    write_project(tmp_path, n_recordings=2)
    for path in (tmp_path / "labels/scores.csv", tmp_path / "labels/recordings.csv"):
        path.write_text(path.read_text().replace("001,", "NA,"))
    found = read_predictions(tmp_path / "labels")
    assert set(found.scores["recording"]) == set(found.recordings.index) == {"000", "NA"}


@pytest.mark.parametrize("name", ["scores.csv", "recordings.csv", "manifest.yaml"])
@pytest.mark.parametrize("content", [None, "", "nonsense"])
def test_an_infer_folder_that_lacks_something_is_one_clear_error(tmp_path, name, content):
    write_project(tmp_path)
    path = tmp_path / "labels" / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataSetError, match=f"{name}: .*infer") as error:
        read_predictions(tmp_path / "labels")
    assert "\n" not in str(error.value)


def test_no_scores_at_all_is_a_model_that_found_nothing(tmp_path):
    write_project(tmp_path)
    (tmp_path / "labels/scores.csv").write_text("recording,name,start_time,end_time,score\n")
    units, _ = segment_units(read_data_set(DataSet(path=str(tmp_path / "test"))), read_predictions(tmp_path / "labels"))
    assert not units.scores.any()
