import numpy as np
import pandas as pd
import pytest

from lib.errors import DataSetError
from lib.evaluation.spectrograms import Marks, Style, annotation_spans, draw_windows, read_errors
from tests.database.builders import AUDIO, contents_of, write_data_set
from tests.recordings import noise, write


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
    contents = contents_of(write_data_set(tmp_path, 2))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/r00.csv").write_text("high,0.0,0.5,0.873\n")
    marks = Marks(contents.annotations, tmp_path)
    texts = [span.text for span in marks.of("r00")]
    assert texts[-1] == "high 0.87" and texts[:-1] == [
        *contents.annotations[contents.annotations["recording"] == "r00"]["class"]
    ]
    assert len(marks.of("r01")) == len(texts) - 1


def test_a_recording_that_cannot_be_read_is_a_problem_and_the_rest_is_drawn(tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    good = write(tmp_path / "good.wav", noise(1.2, 4000), 4000)
    problems = []
    drawn = draw_windows(
        {"bad": tmp_path / "bad.wav", "site/good": good}, Style(AUDIO, bare=True), 0.5, tmp_path, Marks(), problems
    )
    assert [path.relative_to(tmp_path).as_posix() for path in drawn] == ["site/good-0.00.png", "site/good-0.50.png"]
    assert len(problems) == 1 and "bad.wav" in problems[0].subject


def test_a_table_of_errors_is_cut_by_kind(tmp_path):
    rows = [(kind, "007", "a", 0, 3, score) for kind in ("false positive", "false negative") for score in (0.9, 0.8)]
    columns = ["kind", "recording", "class", "start_time", "end_time", "score"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "errors.csv", index=False)
    table = read_errors(tmp_path / "errors.csv", limit=1)
    assert table["score"].tolist() == [0.9, 0.9] and table["recording"].tolist() == ["007", "007"]
    with pytest.raises(DataSetError, match="run the evaluate stage first"):
        read_errors(tmp_path / "nowhere.csv")
    (tmp_path / "errors.csv").write_text("kind\n")
    with pytest.raises(DataSetError, match="run the evaluate stage again"):
        read_errors(tmp_path / "errors.csv")
