import pytest

from lib.core import progress as module
from lib.core.progress import progress, progress_of_sound, quiet


@pytest.fixture(autouse=True)
def line_for_each_item(monkeypatch):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)


def test_a_pipe_gets_plain_lines_that_count_what_an_earlier_run_has_done(capsys):
    assert list(progress(range(3), "extract", total=5, done=2)) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"extract: {n}/5 recordings" for n in (3, 4, 5)]
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_work_that_is_a_part_of_longer_work_shows_no_progress(capsys):
    with quiet(), quiet():
        assert list(progress(range(3), "extract", total=3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_parts_of_a_recording_count_and_the_rate_is_in_seconds_of_sound(capsys):
    with progress_of_sound("infer", 2) as advance:
        advance(0.5, 1800.0)
        advance(0.5, 1800.0)
        advance(1.0, 60.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"infer: {n}/2 recordings" for n in ("0.5", "1", "2")]
    assert all("x real time" in line for line in lines)
