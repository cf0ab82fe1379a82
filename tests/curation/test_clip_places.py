"""Which clips of an index are at a place."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.curation.clip_index import ClipFilter, ClipIndex
from lib.curation.clip_places import POINTED, SoundPlace, clips_at, data_sets_of
from tests.server.review.builders import HOSTILE, Project, write_project


@pytest.fixture
def project(tmp_path) -> Project:
    return write_project(tmp_path, {"t0": [("low", 3.0, 6.0, 0.9), ("mid", 3.0, 6.0, 0.8), ("low", 4.5, 7.5, 0.7)]})


@pytest.fixture
def index(project):
    with ClipIndex(project.settings(), str(project.labels)) as index:
        yield index


def look(index: ClipIndex, *places: SoundPlace) -> list[list[tuple]]:
    return [[(clip.origin, clip.class_name, clip.start_time) for clip in clips] for clips in clips_at(index, places)]


def test_each_class_that_is_meant_at_a_place_has_a_clip(index):
    found = look(
        index,
        SoundPlace("t0", 3.0, 6.0, ("mid", "low")),
        SoundPlace("t0", 4.0000001, 4.6, ("low",)),
        SoundPlace("t0", 3.0, 6.0, ("low",)),
    )
    low, mid = ("found", "low", 3.0), ("found", "mid", 3.0)
    assert found == [[mid, low], [("annotated", "low", 4.0)], [low]]


def test_a_place_without_classes_has_what_is_in_it_for_the_most_part(index):
    assert look(index, SoundPlace("t0", 2.0, 5.0)) == [
        [("found", "low", 3.0), ("found", "mid", 3.0), ("annotated", "low", 4.0)]
    ]
    assert [len(clips) for clips in look(index, SoundPlace("t0", 0.0, 60.0), SoundPlace("t0", 50.0, 60.0))] == [6, 0]


def test_a_sound_that_nobody_found_or_annotated_becomes_a_clip_once(index):
    places = [SoundPlace("t0", 40.0, 41.5, ("low", HOSTILE)), SoundPlace("t0", 3.0, 6.0, ("high",))]
    first = clips_at(index, places)
    assert look(index, *places) == [[(POINTED, "low", 40.0), (POINTED, HOSTILE, 40.0)], [(POINTED, "high", 3.0)]]
    assert clips_at(index, places) == first
    assert index.counts()["n"].sum() == 7  # they count nowhere
    (clip,) = first[1]
    index.decide([clip.id], "accept", "", "ana")
    assert clips_at(index, places)[1][0].decision == "accept"
    assert index.page(ClipFilter(origin=POINTED), "time", 0, 10).total == 3


def test_other_recordings_and_classes_have_no_clips(index):
    assert look(index, SoundPlace("gone", 1.0, 2.0, ("low",)), SoundPlace("t0", 1.0, 2.0, ("unicorn",))) == [[], []]
    assert look(index, SoundPlace("t0", 2.0, 1.0, ("low",))) == [[]]
    assert clips_at(index, []) == []


def test_threads_that_look_for_the_same_sound_get_a_clip(index):
    place = SoundPlace("t0", 40.0, 41.5, ("low",))
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: clips_at(index, [place])[0], range(16))]
    assert {len(clips) for clips in found} == {1}
    assert clips_at(index, [place])[0] == clips_at(index, [place])[0]


def test_clips_are_of_data_sets(index):
    clips = index.page(ClipFilter(), "time", 0, 100).clips
    assert data_sets_of(index, [clip.id for clip in clips if clip.recording == "t0"]) == {"test"}
    assert data_sets_of(index, [clip.id for clip in clips]) == {"test", "train"}
