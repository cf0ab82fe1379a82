import numpy as np
import pandas as pd
import pytest

from lib.core.errors import DataSetError
from lib.curation.sound_pictures import (
    ERROR_COLUMNS,
    Marks,
    Style,
    annotation_spans,
    count_pictures,
    draw_recordings,
    read_errors,
)
from lib.results.results_store import ResultsStore
from tests.recordings import noise, write
from tests.results.builders import write_store
from tests.training_data.builders import AUDIO, contents_of, write_data_set


def test_spans_of_annotations_have_frequencies_where_they_are_known():
    table = pd.DataFrame(
        {
            "recording": ["r", "r", "s"],
            "class": ["a", "b", "a"],
            "start_time": [1.0, 2.0, 3.0],
            "end_time": [2.0, np.inf, 4.0],
            "low_freq": ["1000", "", ""],
            "high_freq": ["2000", "3000", ""],
        }
    )
    spans = annotation_spans(table, "r")
    assert [(span.text, span.low_freq, span.high_freq) for span in spans] == [("a", 1000, 2000), ("b", None, None)]


def test_marks_are_annotations_and_labels_of_the_recording(tmp_path):
    annotations = contents_of(write_data_set(tmp_path, 2)).annotations
    write_store(tmp_path / "labels", "r")
    with ResultsStore(tmp_path / "labels") as results:
        marks = Marks(annotations.replace({"recording": {"r00": "r"}}), results)
        texts = [span.text for span in marks.of("r")]
        assert texts == [*annotations[annotations["recording"] == "r00"]["class"], "a 0.50"]
        assert [span.text for span in marks.of("r01")] == [*annotations[annotations["recording"] == "r01"]["class"]]


def test_a_recording_that_cannot_be_read_is_a_problem_and_the_rest_is_drawn(tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    good = write(tmp_path / "good.wav", noise(1.2, 4000), 4000)
    problems = []
    recordings = {"bad": tmp_path / "bad.wav", "site/good": good}
    drawn = draw_recordings(recordings, 0.5, Style(AUDIO, bare=True), tmp_path, Marks(), problems)
    assert [path.relative_to(tmp_path).as_posix() for path in drawn] == ["site/good-0.00.png", "site/good-0.50.png"]
    assert len(problems) == 1 and "bad.wav" in problems[0].subject
    assert count_pictures(recordings, 0.5, AUDIO) == 2


def test_a_table_of_errors_is_cut_by_kind(tmp_path):
    rows = [
        (kind, "007", "a", 0, 3, score, "") for kind in ("false positive", "false negative") for score in (0.9, 0.8)
    ]
    pd.DataFrame(rows, columns=ERROR_COLUMNS).to_csv(tmp_path / "errors.csv", index=False)
    table = read_errors(tmp_path / "errors.csv", limit=1)
    assert table["score"].tolist() == [0.9, 0.9] and table["recording"].tolist() == ["007", "007"]
    with pytest.raises(DataSetError, match="run the evaluate stage first"):
        read_errors(tmp_path / "nowhere.csv")
    (tmp_path / "errors.csv").write_text("kind\n")
    with pytest.raises(DataSetError, match="run the evaluate stage again"):
        read_errors(tmp_path / "errors.csv")
