import json

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from lib.errors import DataSetError
from lib.evaluation.events import IOUS, measure_events
from lib.evaluation.report import write_event_report
from lib.inference.label_formats import make_scheme
from lib.inference.labels import Label
from lib.inference.output import Output, read_labels
from tests.evaluation.example import contents, predictions, write_project
from tests.evaluation.test_evaluate import run

SECONDS = {"r": 30, "s": 30}


def write_labels(folder, rows):
    """rows: recording -> (name, start, end) of its labels."""
    (folder / "labels").mkdir(exist_ok=True)
    for name, labels in rows.items():
        lines = [f"{label},{start},{end},0.7\n" for label, start, end in labels]
        (folder / f"labels/{name}.csv").write_text("".join(lines))


def measured(folder, annotations, labels, seconds=SECONDS, **options):
    write_labels(folder, labels)
    test_set, found = contents(annotations, list(seconds)), predictions([], seconds)
    return measure_events(test_set, found, folder, sorted(seconds), **options)


def row(results, criterion, value=None):
    table = results.table[results.table["criterion"] == criterion]
    return table.iloc[0] if value is None else table[np.isclose(table["value"], value)].iloc[0]


def test_figures_by_hand(tmp_path):
    annotations = [("r", "a", 0, 4), ("r", "a", 10, 12), ("r", "b", 20, 21), ("s", "a", 5, 10)]
    labels = {"r": [("a", 0, 5), ("a", 9, 13), ("a", 25, 26)], "s": [("a", 5.4, 9.6), ("b", 5, 10)]}
    results, problems = measured(tmp_path, annotations, labels)
    assert problems == []
    # IoU: 0.8, 0.5 and 0.84; b is missed in r and found by mistake in s.
    for iou, tp in zip(IOUS, [3, 3, 3, 3, 3, 2, 2, 2, 0], strict=True):
        found = row(results, "iou", iou)
        assert (found["tp"], found["annotated"], found["found"]) == (tp, 4, 5)
        assert found["precision"] == pytest.approx(tp / 5) and found["recall"] == pytest.approx(tp / 4)
        assert found["f1"] == pytest.approx(2 * tp / 9)
        assert found["macro_recall"] == pytest.approx((tp / 3 + 0) / 2)
    assert row(results, "onset")["tp"] == 2
    assert row(results, "onset and offset")["tp"] == 1  # of 0..5 the end is 1 s late, more than a fifth of 4 s
    assert results.figures["event_f1"] == pytest.approx(6 / 9, abs=1e-6)
    assert results.figures["event_onset_f1"] == pytest.approx(4 / 9, abs=1e-6)
    assert results.figures["n_events"] == 4
    by_class = results.classes.set_index(["class", "criterion", "value"])
    assert by_class.loc[("a", "iou", 0.5)][["annotated", "found", "tp"]].tolist() == [3, 4, 3]
    assert by_class.loc[("b", "iou", 0.5)][["precision", "recall", "f1"]].tolist() == [0, 0, 0]


def test_the_collar_is_the_setting(tmp_path):
    for collar, tp in ((0.3, 0), (0.5, 1)):
        results, _ = measured(tmp_path, [("r", "a", 1, 4)], {"r": [("a", 1.4, 4)], "s": []}, collar=collar)
        assert row(results, "onset")["tp"] == tp


def test_annotated_frequencies_do_no_harm_to_labels_without(tmp_path):
    write_labels(tmp_path, {"r": [("a", 0, 4)]})
    test_set = contents([("r", "a", 0, 4)], ["r"])
    test_set.annotations[["low_freq", "high_freq"]] = [["1000", "2000"]]
    results, _ = measure_events(test_set, predictions([], {"r": 30}), tmp_path, ["r"])
    assert row(results, "iou", 0.9)["tp"] == 1


def test_an_annotation_without_an_end_takes_its_class_out_of_its_recording(tmp_path):
    annotations = [("r", "a", 0, np.inf), ("r", "b", 0, 3), ("s", "a", 0, 3)]
    labels = {"r": [("a", 3, 6), ("b", 0, 3)], "s": [("a", 0, 3), ("a", 9, 12)]}
    results, problems = measured(tmp_path, annotations, labels)
    assert row(results, "iou", 0.5)[["annotated", "found", "tp"]].tolist() == [2, 3, 2]
    assert len(problems) == 1 and "annotations without an end: 1" in str(problems[0])


def test_whole_file_annotations_alone_have_no_figures(tmp_path):
    results, problems = measured(tmp_path, [("r", "a", 0, np.inf)], {"r": [("b", 0, 3)], "s": []})
    assert results.figures == {} and len(problems) == 1
    write_event_report(tmp_path, results)
    assert (tmp_path / "events.png").stat().st_size


def test_events_are_cut_at_the_end_of_their_recording(tmp_path):
    results, _ = measured(tmp_path, [("r", "a", 28, 35), ("s", "a", 40, 41)], {"r": [("a", 28, 31)], "s": []})
    assert row(results, "iou", 0.9)[["annotated", "found", "tp"]].tolist() == [1, 1, 1]


def test_recordings_without_a_label_file_are_left_out_and_said(tmp_path):
    results, problems = measured(tmp_path, [("r", "a", 0, 3), ("s", "a", 0, 3)], {"r": [("a", 0, 3)]})
    assert results.figures["event_recall"] == 1
    assert "1 recordings have no table of labels: s" in str(problems[0])
    (tmp_path / "labels/r.csv").unlink()
    assert measured(tmp_path, [("r", "a", 0, 3)], {})[0].figures == {}


def test_labels_may_be_codes_and_unknown_ones_are_said(tmp_path):
    results, problems = measured(tmp_path, [("r", "a", 0, 3)], {"r": [("A", 0, 3), ("zebra", 0, 3)], "s": []})
    assert row(results, "iou", 0.9)[["found", "tp"]].tolist() == [1, 1]
    assert "zebra" in str(problems[0])


def test_a_damaged_table_of_labels_is_one_clear_error(tmp_path):
    (tmp_path / "labels").mkdir()
    for content in ("a,1.0\n", "a,1.0,2.0,high\n"):
        (tmp_path / "labels/r.csv").write_text(content)
        with pytest.raises(DataSetError, match=r"r\.csv: is no table of labels .*infer"):
            list(read_labels(tmp_path, "r"))


def test_labels_that_infer_keeps_are_read_as_they_are(tmp_path):
    output = Output(tmp_path, ["audacity"], make_scheme([], "names", 0, 1), places=False)
    output.write_labels("site/r", [Label('a, "b"', 0.1 + 0.2, 1e-5, 0.7)])
    assert list(read_labels(tmp_path, "site/r")) == [('a, "b"', 0.1 + 0.2, 1e-5, 0.7)]


def test_intervals_hold_the_value_and_depend_on_the_seed_alone(tmp_path):
    rng = np.random.default_rng(1)
    seconds = {f"{index:02}": 60 for index in range(20)}
    starts = {name: np.sort(rng.uniform(0, 55, 6)) for name in seconds}
    annotations = [(name, "ab"[i % 2], t, t + 3) for name in seconds for i, t in enumerate(starts[name])]
    labels = {
        name: [("ab"[i % 2], t + shift, t + shift + 3) for i, t in enumerate(starts[name])]
        for name, shift in zip(seconds, rng.uniform(0, 2, 20), strict=True)
    }
    one, again = (measured(tmp_path, annotations, labels, seconds)[0] for _ in range(2))
    pd.testing.assert_frame_equal(one.table, again.table)
    for name in ("f1", "macro_f1"):
        table = one.table
        assert (table[f"{name}_low"] <= table[name]).all() and (table[name] <= table[f"{name}_high"]).all()
    assert row(one, "iou", 0.5)["f1_low"] < row(one, "iou", 0.5)["f1_high"]
    assert measured(tmp_path, annotations, labels, seconds, resamples=0)[0].figures.keys() == {
        *("event_precision", "event_recall", "event_f1", "event_onset_f1", "n_events")
    }


def test_batches_of_recordings_give_what_one_gives(tmp_path, monkeypatch):
    seconds = {f"{index}": 30 for index in range(5)}
    annotations = [(name, "a", 2 * int(name), 2 * int(name) + 3) for name in seconds]
    labels = {name: [("a", 7, 10), ("b", 0, 3)] for name in seconds}
    whole = measured(tmp_path, annotations, labels, seconds)[0]
    monkeypatch.setattr("lib.evaluation.events.AT_ONCE", 2)
    pd.testing.assert_frame_equal(measured(tmp_path, annotations, labels, seconds)[0].table, whole.table)


def test_the_stage_writes_tables_picture_and_figures(tmp_path, capsys):
    write_project(tmp_path)
    run(tmp_path)
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert {"event_f1", "event_f1_low", "event_precision_high", "event_recall", "event_onset_f1_low"} <= set(figures)
    assert f"event F1        {figures['event_f1']:>7.3f}" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "report/events.csv")
    assert table["criterion"].tolist() == ["iou"] * 9 + ["onset", "onset and offset"]
    assert table.loc[4, "f1"] == pytest.approx(figures["event_f1"], abs=1e-5)
    assert len(pd.read_csv(tmp_path / "report/events_classes.csv")) == 3 * 11
    assert image.imread(tmp_path / "report/events.png")[..., :3].std() > 0.01
