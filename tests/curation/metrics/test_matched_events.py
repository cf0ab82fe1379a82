import numpy as np
import pandas as pd
import pytest

from lib.curation.metrics.matched_events import NONE, match_events, read_matched, write_matched
from tests.curation.metrics.event_builders import found_table, truth_table

TRUTH = truth_table(
    ("f1", "t1", "wren", 0, 2),
    ("f1", "t2", "robin", 0, 2),
    ("f1", "t3", "crow", 5, 6),
    ("f2", "t4", "wren", 0, 4, 1000, 3000),
)
FOUND = found_table(
    ("f1", "p1", "robin", 0, 2, 0.9),
    ("f1", "p2", "crow", 0, 2, 0.8),
    ("f2", "p3", "wren", 1, 4, 1000, 3000, 0.7),
    ("f2", "p4", "wren", 1, 4, 1000, 2000, 0.6),
    ("f3", "p5", "crow", 1, 4, 0.3),
)


def rows(matched) -> list[tuple]:
    return [
        (matched.frames[frame], truth.decode(), found.decode(), None if np.isnan(iou) else round(float(iou), 3), size)
        for frame, truth, found, iou, size in zip(
            matched.frame, matched.truth_id, matched.found_id, matched.iou, matched.box_size, strict=True
        )
    ]


def test_events_of_the_same_class_are_matched_first_and_what_is_left_whatever_its_class():
    assert rows(match_events(TRUTH, FOUND, 0.5)) == [
        ("f1", "t1", "p2", 1.0, 2.0),
        ("f1", "t2", "p1", 1.0, 2.0),
        ("f1", "t3", "", None, 1.0),
        ("f2", "t4", "p3", 0.75, 8000.0),
        ("f2", "", "p4", None, 3000.0),
        ("f3", "", "p5", None, 3.0),
    ]


def test_thresholds_decide_what_can_be_a_pair():
    at_confidence = rows(match_events(TRUTH, FOUND, 0.5, 0.8))
    assert [row[:3] for row in at_confidence] == [
        ("f1", "t1", "p2"),
        ("f1", "t2", "p1"),
        ("f1", "t3", ""),
        ("f2", "t4", ""),
    ]
    strict = rows(match_events(TRUTH, FOUND, 0.8))
    assert ("f2", "t4", "", None, 8000.0) in strict and ("f2", "", "p3", None, 6000.0) in strict
    loose = truth_table(("f", "t", "wren", 0, 10)), found_table(("f", "p", "wren", 9, 19, 0.5))
    assert len(match_events(*loose, 0.0).frame) == 1 and len(match_events(*loose, 0.1).frame) == 2


def test_labels_of_whole_frames_match_each_other_alone():
    truth = truth_table(("f", "t1", "wren", 0, 0), ("f", "t2", "robin", 0, 2))
    found = found_table(("f", "p1", "wren", 0, 9, 0.5), ("f", "p2", "crow", 0, 2, 0.5), ("f", "p3", "wren", 0, 2, 0.4))
    whole = truth.assign(is_whole=[True, False]), found.assign(is_whole=[True, False, False])
    matched = match_events(*whole, 0.5)
    assert [row[1:4] for row in rows(matched)] == [("t1", "p1", 1.0), ("t2", "p2", 1.0), ("", "p3", None)]


def test_rows_are_of_the_stratum_of_the_truth_or_else_of_the_prediction():
    truth, found = (
        TRUTH.assign(noise=[0, 1, 2, NONE], site=3),
        FOUND.assign(noise=[4, 4, 4, 5, 6], site=[7, 7, 7, 8, 8]),
    )
    matched = match_events(truth, found, 0.5, strata=["noise", "site"])
    assert matched.strata.tolist() == [[0, 1, 2, NONE, 5, 6], [3, 3, 3, 3, 8, 8]]


@pytest.mark.parametrize("truth, found", [(TRUTH[:0], FOUND), (TRUTH, FOUND[:0]), (TRUTH[:0], FOUND[:0])])
def test_one_side_may_be_empty(truth, found):
    matched = match_events(truth, found, 0.5)
    assert len(matched.frame) == len(truth) + len(found)
    assert (matched.truth != NONE).sum() == len(truth) and np.isnan(matched.iou).all()
    assert sorted(matched.truth[matched.truth != NONE]) == list(range(len(truth)))


def test_a_file_of_matched_events_is_read_as_it_was_and_a_damaged_one_is_none(tmp_path):
    matched = match_events(TRUTH.assign(label_id=["Ä", "", "x", "y"]), FOUND, 0.5)
    write_matched(tmp_path / "m.npz", matched)
    again = read_matched(tmp_path / "m.npz")
    pd.testing.assert_frame_equal(pd.DataFrame(rows(again)), pd.DataFrame(rows(matched)))
    assert again.truth_id[1].decode() == "" and b"\xc3\x84" in again.truth_id
    content = (tmp_path / "m.npz").read_bytes()
    (tmp_path / "m.npz").write_bytes(content[: len(content) // 2])
    assert read_matched(tmp_path / "m.npz") is None and read_matched(tmp_path / "none.npz") is None
