import numpy as np
import pandas as pd
import pytest

from lib.evaluation.event_metrics import IOUS, measure_events
from tests.evaluation.example import make_data_set, write_results

SECONDS = {"r": 30, "s": 30}


def measured(folder, annotations, labels, seconds=SECONDS, more=None, **options):
    """labels: recording -> (class, start, end). more: further columns of the annotations."""
    data_set = make_data_set(annotations, list(seconds))
    for column, values in (more or {}).items():
        data_set.annotations[column] = values
    with write_results(folder, seconds, labels=labels) as store:
        return measure_events(data_set, store, sorted(seconds), **options)


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
    assert len(by_class) == 2 * 11
    assert by_class.loc[("a", "iou", 0.5)][["annotated", "found", "tp"]].tolist() == [3, 4, 3]
    assert by_class.loc[("b", "iou", 0.5)][["precision", "recall", "f1"]].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("collar", "tp"), [(0.3, 0), (0.5, 1)])
def test_the_collar_is_the_setting(tmp_path, collar, tp):
    results, _ = measured(tmp_path, [("r", "a", 1, 4)], {"r": [("a", 1.4, 4)]}, collar=collar)
    assert row(results, "onset")["tp"] == tp


@pytest.mark.parametrize("more", [{"low_freq": 1000.0, "high_freq": 2000.0}, {"low_freq": 1000.0}])
def test_annotated_frequencies_do_no_harm_to_labels_without(tmp_path, more):
    results, _ = measured(tmp_path, [("r", "a", 0, 4)], {"r": [("a", 0, 4)]}, more=more)
    assert row(results, "iou", 0.9)["tp"] == 1


def test_an_annotation_without_an_end_takes_its_class_out_of_its_recording(tmp_path):
    annotations = [("r", "a", 0, np.inf), ("r", "b", 0, 3), ("s", "a", 0, 3)]
    labels = {"r": [("a", 3, 6), ("b", 0, 3)], "s": [("a", 0, 3), ("a", 9, 12)]}
    results, problems = measured(tmp_path, annotations, labels)
    assert row(results, "iou", 0.5)[["annotated", "found", "tp"]].tolist() == [2, 3, 2]
    assert len(problems) == 1 and "1 annotation of whole recordings among those of events" in str(problems[0])


@pytest.mark.parametrize("labels", [{"r": [("b", 0, 3)]}, {}])
def test_whole_file_annotations_alone_have_no_figures(tmp_path, labels):
    results, problems = measured(tmp_path, [("r", "a", 0, np.inf)], labels)
    assert results.figures == {} and problems == []
    assert (results.table["found"] == len(labels)).all()


def test_events_are_cut_at_the_end_of_their_recording(tmp_path):
    results, _ = measured(tmp_path, [("r", "a", 28, 35), ("s", "a", 40, 41)], {"r": [("a", 28, 31)]})
    assert row(results, "iou", 0.9)[["annotated", "found", "tp"]].tolist() == [1, 1, 1]


def test_annotations_may_call_classes_by_their_codes_and_unknown_ones_do_not_count(tmp_path):
    results, _ = measured(tmp_path, [("r", "A", 0, 3), ("r", "zebra", 0, 3)], {"r": [("a", 0, 3)]})
    assert row(results, "iou", 0.9)[["annotated", "found", "tp"]].tolist() == [1, 1, 1]


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
    monkeypatch.setattr("lib.evaluation.event_tables.LABELS_AT_ONCE", 5)
    pd.testing.assert_frame_equal(measured(tmp_path, annotations, labels, seconds)[0].table, whole.table)
