import math

import numpy as np
import pytest

from lib.core.errors import DataSetError
from lib.evaluation.units import segment_units
from lib.results.external_recordings import ExternalRecordings
from lib.results.manifest import ExternalRun, manifest_of_predictions
from lib.results.results_store import ResultsStore
from tests.evaluation.example import make_data_set, write_results


def units_of(folder, annotations, seconds, recordings=None, **results):
    with write_results(folder, seconds, **results) as store:
        units, problems = segment_units(make_data_set(annotations, recordings or list(seconds)), store)
        return units.whole(), problems


def test_truth_and_scores_stand_in_their_units(tmp_path):
    annotations, scores = [("r", "a", 2, 4), ("s", "B", 0, math.inf)], [("s", "b", 1.5, 0.7), ("r", "a", 3.0, 0.4)]
    units, problems = units_of(tmp_path, annotations, {"r": 6, "s": 4.5}, scores=scores)
    assert problems == []
    assert units.recordings == ["r", "s"]
    assert units.recording.tolist() == [0, 0, 0, 1, 1]
    assert units.start_time.tolist() == [0, 1.5, 3, 0, 1.5]
    assert units.truth.tolist() == [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    np.testing.assert_allclose(units.scores, [[0, 0], [0, 0], [0.4, 0], [0, 0], [0, 0.7]], rtol=1e-6)


def test_segments_begin_where_infer_began(tmp_path):
    annotations = [("r", "a", 0, 2), ("r", "a", 1, 4), ("r", "b", 5.4, 6)]
    units, problems = units_of(tmp_path, annotations, {"r": 6}, start_seconds=2.0)
    assert units.start_time.tolist() == [2, 3.5, 5]
    assert units.truth.tolist() == [[1, 0], [1, 1], [0, 1]]
    assert [problem.fault for problem in problems] == [
        "annotations outside of its segments: 1, the first at 0 s (it lasts 6 s)"
    ]


def test_a_recording_that_was_not_analyzed_is_left_out_and_reported(tmp_path):
    annotations = [("r", "a", 0, 3), ("r", "b", 0, 3), ("bad", "a", 0, 3)]
    failed = {"bad": "the file is empty"}
    units, problems = units_of(tmp_path, annotations, {"r": 6}, ["r", "bad", "new"], failed=failed)
    assert units.recordings == ["r"]
    assert [(problem.subject, problem.lost) for problem in problems] == [("bad", True), ("new", True)]
    assert "the file is empty" in problems[0].fault


def test_classes_of_one_side_only_are_reported_and_take_no_part(tmp_path):
    units, problems = units_of(tmp_path, [("r", "a", 0, 3), ("r", "stranger", 0, 3)], {"r": 6})
    assert units.classes == ["a", "b"]
    assert units.others.tolist() == [True] and units.unknown == {0: ["stranger"], 1: ["stranger"]}
    assert ["stranger" in problem.fault for problem in problems] == [True, False]
    assert problems[1].fault.endswith(": b")
    assert not any(problem.lost for problem in problems)


def test_an_annotation_behind_the_end_of_its_recording_is_reported(tmp_path):
    units, problems = units_of(tmp_path, [("r", "a", 7, 9), ("r", "a", 5.9, 12), ("r", "b", 0, 3)], {"r": 6})
    assert units.truth[:, 0].tolist() == [False, False, True]
    assert [str(problem) for problem in problems] == [
        "r: annotations outside of its segments: 1, the first at 7 s (it lasts 6 s); correct their times"
    ]


def test_an_annotation_in_the_padding_of_the_last_segment_is_outside(tmp_path):
    _, problems = units_of(tmp_path, [("r", "a", 2, 3)], {"r": 1}, classes=("a",))
    assert [problem.subject for problem in problems] == ["r", "test set"]


@pytest.mark.parametrize(("analyzed", "names"), [({}, ["r"]), ({"r": 3}, []), ({"other": 3}, ["r"])])
def test_no_recording_to_evaluate_is_one_clear_error(tmp_path, analyzed, names):
    with write_results(tmp_path, analyzed) as store, pytest.raises(DataSetError, match="no recording to evaluate"):
        segment_units(make_data_set([], names), store)


def test_predictions_from_elsewhere_have_no_segments(tmp_path):
    manifest = manifest_of_predictions([{"name": "a"}], ExternalRun(model_id="m", name="other"))
    with ResultsStore(tmp_path, manifest) as store:
        ExternalRecordings(store).upsert("r", "r.wav", 6.0, "content")
        with pytest.raises(DataSetError, match=r"results\.db: holds an external model run, without scores of windows"):
            segment_units(make_data_set([("r", "a", 0, 3)], ["r"]), store)
