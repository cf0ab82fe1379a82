import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lib.errors import DataSetError
from lib.evaluation.units import segment_ranges, segment_units
from tests.evaluation.example import contents, predictions


def segments(start, end, length, overlap, min_seconds=0.3):
    """Indexes of the segments in which a sound counts, of a recording that ends with it."""
    count = math.floor(end / (length - overlap) + 1e-6) + 1
    first, last = segment_ranges(start, end, length, overlap, min_seconds, count)
    return list(range(int(first), int(last) + 1))


@pytest.mark.parametrize(
    ("start", "end", "overlap", "offsets"),
    [
        (2.0, 6.2, 1.5, [0, 1.5, 3, 4.5]),  # 4.5 holds 1.7 s of it, 6.0 only 0.2 s
        (2.7, 6.3, 0, [0, 3, 6]),  # exactly 0.3 s in the first and in the last
        (2.8, 6.2, 0, [3]),
        (0, 0.1, 1.5, [0]),  # shorter than 0.3 s: each segment that holds all of it
        (1.6, 1.7, 1.5, [0, 1.5]),
        (2.95, 3.15, 0, [3]),  # across a boundary: the segment that holds most of it
        (2.9, 3.0, 0, [0]),
        (2.75, 3.25, 0, [0]),  # 0.25 s in each of two: the earlier
        (2.7, 3.25, 0, [0]),
    ],
)
def test_a_sound_counts_in_the_segments_that_hold_enough_of_it(start, end, overlap, offsets):
    assert [(3 - overlap) * index for index in segments(start, end, 3, overlap)] == pytest.approx(offsets)


def hundredths(low, high):
    return st.integers(low, high).map(lambda number: number / 100)


@given(hundredths(0, 3000), hundredths(1, 1500), hundredths(100, 500), hundredths(0, 499), hundredths(5, 100))
def test_segments_of_a_sound_equal_their_definition(start, duration, length, overlap, min_seconds):
    assume(overlap < length)
    hundred = [round(value * 100) for value in (start, start + duration, length, overlap, min_seconds)]
    begin, end, size, shared, least = hundred  # integers: no rounding in the definition
    held = []
    for index in range(end // (size - shared) + 1):
        offset = index * (size - shared)
        held.append(min(end, offset + size) - max(begin, offset))
    needed = min(least, end - begin, size)
    expected = [index for index, amount in enumerate(held) if amount >= needed] or [int(np.argmax(held))]
    assert segments(start, start + duration, length, overlap, min_seconds) == expected


@given(hundredths(0, 3000), hundredths(60, 1500), st.sampled_from([0.0, 0.5, 1.5]))
def test_sounds_of_twice_min_seconds_count_as_in_the_reference(start, duration, overlap):
    hop, first, expected = 3 - overlap, None, []
    first = max(0, math.ceil((start - 2.7) / hop - 1e-9))
    while start + duration - first * hop >= 0.3 - 1e-9:
        expected.append(first)
        first += 1
    assert segments(start, start + duration, 3, overlap) == expected


def test_truth_and_scores_stand_in_their_units():
    units, problems = segment_units(
        contents([("r", "a", 2, 4), ("s", "B", 0, math.inf)], ["r", "s"]),
        predictions([("s", "b", 1.5, 0.7), ("r", "a", 3.0, 0.4)], {"r": 6, "s": 4.5}),
    )
    assert problems == []
    assert units.recordings == ["r", "s"]
    assert units.recording.tolist() == [0, 0, 0, 1, 1]
    assert units.start_time.tolist() == [0, 1.5, 3, 0, 1.5]
    assert units.truth.tolist() == [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    assert units.scores.tolist() == pytest.approx(np.array([[0, 0], [0, 0], [0.4, 0], [0, 0], [0, 0.7]]))


def test_a_recording_that_was_not_analyzed_is_left_out_and_reported():
    units, problems = segment_units(
        contents([("r", "a", 0, 3), ("r", "b", 0, 3), ("bad", "a", 0, 3)], ["r", "bad", "new"]),
        predictions([("r", "a", 0, 0.9)], {"r": 6}, failed={"bad": "the file is empty"}),
    )
    assert units.recordings == ["r"]
    assert [(problem.subject, problem.lost) for problem in problems] == [("bad", True), ("new", True)]
    assert "the file is empty" in problems[0].reason


def test_classes_of_one_side_only_are_reported_and_take_no_part():
    units, problems = segment_units(
        contents([("r", "a", 0, 3), ("r", "stranger", 0, 3)], ["r"]), predictions([], {"r": 6})
    )
    assert units.classes == ["a", "b"]
    assert units.others.tolist() == [True]
    assert ["stranger" in problem.reason for problem in problems] == [True, False]
    assert problems[1].reason.endswith(": b")
    assert not any(problem.lost for problem in problems)


def test_an_annotation_behind_the_end_of_its_recording_is_reported():
    rows = [("r", "a", 7, 9), ("r", "a", 5.9, 12), ("r", "b", 0, 3)]
    units, problems = segment_units(contents(rows, ["r"]), predictions([], {"r": 6}))
    assert units.truth[:, 0].tolist() == [False, False, True]
    assert [str(problem) for problem in problems] == [
        "r: annotations outside of its segments: 1, the first at 7 s (it lasts 6 s); correct their times"
    ]


def test_an_annotation_in_the_padding_of_the_last_segment_is_outside():
    _, problems = segment_units(contents([("r", "a", 2, 3)], ["r"]), predictions([], {"r": 1}, classes=("a",)))
    assert [problem.subject for problem in problems] == ["r", "test set"]


@pytest.mark.parametrize(("analyzed", "names"), [({}, ["r"]), ({"r": 3}, []), ({"other": 3}, ["r"])])
def test_no_recording_to_evaluate_is_one_clear_error(analyzed, names):
    with pytest.raises(DataSetError, match="no recording to evaluate"):
        segment_units(contents([], names), predictions([], analyzed))


@pytest.mark.parametrize("row", [("r", "a", 0.7, 0.5), ("r", "a", 9, 0.5), ("r", "stranger", 0, 0.5)])
def test_scores_that_fit_no_segment_are_one_clear_error(row):
    with pytest.raises(DataSetError, match=r"scores\.csv: r at"):
        segment_units(contents([("r", "a", 0, 3)], ["r"]), predictions([row], {"r": 6}))
