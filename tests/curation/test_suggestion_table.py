import pytest

from lib.core.errors import DataSetError
from lib.curation.picture_names import PictureAbout, read_about
from lib.curation.suggestion import Suggestion
from lib.curation.suggestion_table import read_suggestions, write_suggestions


def test_a_table_is_read_as_it_was_written_whatever_names_hold(tmp_path):
    written = [
        Suggestion("=cmd()", "", 0.0, float("inf"), "<img onerror=x>", 0.25, "label_errors", "relabel", 'Ä, "b"', "=1"),
        Suggestion("dawn", "/x y/ü.wav", 1.5, 2.125, "", 0.5, "novel"),
    ]
    write_suggestions(tmp_path / "s.csv", written)
    assert read_suggestions(tmp_path / "s.csv") == written


@pytest.mark.parametrize(
    ("row", "fault"),
    [("a,2,1,x,", "in order"), ("a,x,1,x,", "in order"), ("a,0,1,x,delete", "accept, reject, relabel")],
)
def test_a_row_that_means_nothing_is_refused_with_its_line(tmp_path, row, fault):
    (tmp_path / "s.csv").write_text(f"recording,start_time,end_time,class,decision\na,0,1,x,accept\n{row}\n")
    with pytest.raises(DataSetError, match=rf"s\.csv:3.*{fault}"):
        read_suggestions(tmp_path / "s.csv")


def test_a_damaged_picture_says_nothing(tmp_path):
    for content in (b"", b"\x89PNG\r\n\x1a\n12345", b"text"):
        (tmp_path / "p.png").write_bytes(content)
        assert read_about(tmp_path / "p.png").class_name == ""
    assert PictureAbout("", 86398.125, float("inf")).texts() == {"start_time": "86398.125", "end_time": "inf"}
