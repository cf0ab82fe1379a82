"""Which clips count as decided, and how lists stay as they are."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from lib.core.errors import EarshotError
from lib.core.locks import sole_writer
from lib.curation.clip_index import Clip, ClipFilter, ClipIndex
from lib.curation.embedding_store import EmbeddedRecording
from lib.curation.nearest_windows import Match
from lib.sound.decisions import Decision, append_decisions, read_decisions
from tests.recordings import noise, write
from tests.server.review.builders import RATE, Project, write_project, write_results

OVERLAPPING = [("low", 1.5 * k, 1.5 * k + 3, 0.9) for k in range(10)]
"""Windows that share half of themselves with each neighbour."""


@pytest.fixture
def project(tmp_path) -> Project:
    return write_project(tmp_path, {"f0": OVERLAPPING})


@pytest.fixture
def index(project):
    with ClipIndex(project.settings(), str(project.labels)) as index:
        yield index


def listed(index: ClipIndex, **values) -> list[Clip]:
    return index.page(ClipFilter(**values), "time", 0, 500).clips


def found(index: ClipIndex, **values) -> list[Clip]:
    return listed(index, origin="found", recording="f0", **values)


def starts(clips: list[Clip]) -> list[float]:
    return [clip.start_time for clip in clips]


def test_neighbours_that_share_exactly_half_are_not_decided(project, index):
    append_decisions(project.decisions, [Decision("f0", 1.5, 4.5, "low", "accept")])
    assert starts(found(index, decided="decided")) == [1.5]
    append_decisions(project.decisions, [Decision("f0", 7.5, 10.4, "low", "reject")])
    assert starts(found(index, decided="reject")) == [7.5]


def test_a_decision_about_exactly_this_sound_counts_before_later_ones_about_its_neighbours(project, index):
    about = [Decision("f0", 3.0, 6.0, "low", "accept"), Decision("f0", 3.5, 6.5, "low", "reject")]
    append_decisions(project.decisions, about)
    assert starts(found(index, decided="accept")) == [3.0]
    append_decisions(project.decisions, [Decision("f0", 3.0, 6.0, "low", "unsure")])
    assert starts(found(index, decided="unsure")) == [3.0]


@pytest.mark.parametrize("decided", ["undecided", "decided", "unsure"])
def test_pages_of_a_list_stay_as_they_are_while_decisions_change(index, decided):
    ids = [clip.id for clip in found(index)]
    index.decide(ids[:6], "unsure", "", "ana")
    chosen = ClipFilter(origin="found", recording="f0", decided=decided)
    before = index.page(chosen, "time", 0, 500)
    assert before.total == (4 if decided == "undecided" else 6)
    as_of = chosen._replace(as_of=before.serial)
    index.decide(ids[:3], "accept", "", "ana")
    index.decide(ids[:3], "reject", "", "ana")
    index.decide(ids[8:], "unsure", "", "ana")
    for _ in range(2):
        again = index.page(as_of, "time", 0, 500)
        assert (again.total, [clip.id for clip in again.clips]) == (before.total, [clip.id for clip in before.clips])
        index.undo("ana")
    now = found(index, decided="unsure")
    assert [clip.id for clip in now] == ids[3:6]


def test_a_list_of_an_earlier_index_sees_what_was_decided_until_the_new_one(project, index):
    ids = [clip.id for clip in found(index)]
    serial = index.decide(ids[:2], "reject", "", "ana") and index.page(ClipFilter(), "time", 0, 0).serial
    with ClipIndex(project.settings(), str(project.labels)) as later:
        assert starts(found(later, decided="reject", as_of=serial)) == [0.0, 1.5]
        assert later.page(ClipFilter(), "time", 0, 0).serial < 2**40


def test_an_index_that_is_closed_during_a_request_writes_no_decisions(project, index):
    ids = [clip.id for clip in found(index)]
    with ThreadPoolExecutor(1) as pool:
        with sole_writer(project.folder / "reviewed/recordings/f0.wav"):
            answer = pool.submit(index.decide, ids[:1], "accept", "", "ana")
            wait([answer], timeout=0.3)  # it waits to bring the recording there
            index.close()  # as a rebuild does
        with pytest.raises(EarshotError, match="out of date"):
            answer.result()
    assert not project.decisions.exists()
    append_decisions(project.decisions, [Decision("f0", 0.0, 3.0, "low", "accept", by="ana")])
    with pytest.raises(EarshotError, match="out of date"):
        index.undo("ana")
    assert len(read_decisions(project.decisions)[0]) == 1


def test_a_sound_that_is_relabelled_as_what_it_is_is_accepted(project, index):
    (one,) = listed(index, class_name="high", origin="annotated")
    after = index.decide([found(index)[0].id, one.id], "relabel", "high", "ana")
    assert [(clip.decision, clip.new_class) for clip in after] == [("relabel", "high"), ("accept", "")]
    rows, problems = read_decisions(project.decisions)
    assert problems == [] and list(rows["decision"]) == ["relabel", "accept"]
    assert list(rows["class"]) == ["low", "high"]


def test_decisions_that_name_a_class_by_its_code_count(project, index):
    append_decisions(project.decisions, [Decision("f0", 3.0, 6.0, "LOW", "reject", by="ana")])  # its code
    assert starts(found(index, decided="reject")) == [3.0]
    assert starts(index.undo("ana")) == [3.0]
    assert found(index, decided="decided") == []


def test_similar_sounds_are_neither_counted_nor_drawn_as_others(project, index):
    one, counts = found(index)[0], index.counts()
    recording = EmbeddedRecording(1, "f0", one.path, 288.0)
    origin = index.add_similar(one, [Match(1, recording, 4.5, 7.5, 0.8)])
    assert len(listed(index, origin=origin)) == 1
    assert index.counts().equals(counts)
    assert {clip.origin for clip in index.near(one, 0.0, 10.0)} == {"found"}


def test_clips_of_a_recording_come_in_the_order_of_time(tmp_path):
    rows = [("low", 12.0, 15.0, 0.8), ("high", 3.0, 6.0, 0.9), ("mid", 39.0, 42.0, 0.9)]
    project = write_project(tmp_path, {"t0": rows})
    with ClipIndex(project.settings(), str(project.labels)) as index:
        assert starts(listed(index, recording="t0")) == [3.0, 4.0, 12.0, 12.5, 36.0, 39.0]


def test_a_copy_of_a_recording_is_told_and_left_out(tmp_path):
    project = write_project(tmp_path)
    copy = write(tmp_path / "copies/t0.wav", noise(60.0, RATE, 1), RATE)
    write_results(tmp_path / "two", {"t0": tmp_path / "test/recordings/t0.wav", "copies/t0": copy},
                  {"t0": OVERLAPPING, "copies/t0": OVERLAPPING})  # fmt: skip
    with ClipIndex(project.settings(), str(tmp_path / "two")) as index:
        assert len(listed(index, origin="found")) == len(OVERLAPPING)
        assert any("the same recording" in problem.fault for problem in index.problems)
