import datetime

import pytest

from lib.core.errors import EarshotError
from lib.occurrence.recordings_table import RecordingEntry, RecordingsTable
from lib.sound.metadata import Position

TABLE = """recording,latitude,longitude,region,date
ottawa,45,-76,,
york.wav,,,CA-ON-YO,2024-10-25 05:30
both,45,-76,CA,
broken,north,-76,,soon
broken,1,1,,
far,91,0,,
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "recordings.csv").write_text(TABLE)
    return RecordingsTable(tmp_path / "recordings.csv")


def test_a_recording_is_found_by_its_name_or_its_file_name_with_or_without_suffix(table):
    assert table.entry("ottawa", "x.wav") == table.entry("a/ottawa", "ottawa.flac")
    assert table.entry("york", "york.wav") == RecordingEntry("CA-ON-YO", None, datetime.date(2024, 10, 25))
    assert table.entry("york", "york.flac") == table.entry("other", "other.wav") == RecordingEntry()


def test_a_row_tells_region_place_and_date_as_far_as_they_are_given(table):
    assert table.entry("ottawa", "ottawa.wav") == RecordingEntry(None, Position(45, -76))
    assert table.entry("both", "both.wav") == RecordingEntry("CA", Position(45, -76))


def test_faults_of_a_row_come_with_its_recording_and_its_line(table, tmp_path):
    entry = table.entry("broken", "broken.wav")
    assert entry[:3] == (None, None, None) and not entry.problems[0].lost
    assert [(problem.subject.removeprefix(f"{tmp_path}/"), problem.fault) for problem in entry.problems] == [
        ("recordings.csv:5", "latitude 'north' and longitude '-76' are not two numbers"),
        ("recordings.csv:5", "date = 'soon' is not a date"),
        ("recordings.csv:6", "broken is listed above already"),
    ]
    (problem,) = table.entry("far", "far.wav").problems
    assert problem.fault == "latitude 91 or longitude 0 is not on the globe"


@pytest.mark.parametrize("text", ["", "name,region\na,CA\n", "recording,site\na,b\n"])
def test_a_table_that_says_nothing_is_an_error_of_one_line(tmp_path, text):
    (tmp_path / "recordings.csv").write_text(text)
    with pytest.raises(EarshotError, match=r"recordings\.csv: ") as error:
        RecordingsTable(tmp_path / "recordings.csv")
    assert "\n" not in str(error.value)
