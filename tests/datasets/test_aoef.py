from pathlib import Path

import pytest
import soundevent.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soundevent import data, terms

from lib.datasets.aoef import HEAD, recognizes, rows_of
from lib.datasets.label_files import Finder

SPECIES = terms.scientific_name
ANY = data.Term(label="quality", name="my:quality", definition="how good it is")


def recording(name: str) -> data.Recording:
    return data.Recording(path=Path("/elsewhere") / name, duration=10, channels=1, samplerate=8000)


def event(of: data.Recording, geometry, *tags: data.Tag, by: str | None = None) -> data.SoundEventAnnotation:
    sound = data.SoundEvent(recording=of, geometry=geometry)
    return data.SoundEventAnnotation(sound_event=sound, tags=list(tags), created_by=data.User(name=by) if by else None)


def clip(of: data.Recording, *events: data.SoundEventAnnotation, tags: tuple = (), span=(0, 10)) -> data.ClipAnnotation:
    whole = data.Clip(recording=of, start_time=span[0], end_time=span[1])
    return data.ClipAnnotation(clip=whole, sound_events=list(events), tags=list(tags))


def save(folder: Path, *clips: data.ClipAnnotation, kind=data.AnnotationSet, title: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "annotations.json"
    fields = {"tasks": [data.AnnotationTask(clip=one.clip) for one in clips], "name": title} if title else {}
    soundevent.io.save(kind(clip_annotations=list(clips), **fields), file, audio_dir="/elsewhere")
    return file


def wren(value: str = "wren") -> data.Tag:
    return data.Tag(term=SPECIES, value=value)


@pytest.mark.parametrize("format", ["auto", "aoef"])
@pytest.mark.parametrize("place", [".", "annotations"])
def test_sound_events_become_annotations(data_set, read, rows, place, format):
    folder, a = data_set(("sub/a.wav", "b.wav")), recording("a.wav")
    box = data.BoundingBox(coordinates=[0.5, 2000, 1.25, 4000])
    save(folder / place, clip(a, event(a, box, data.Tag(term=ANY, value="good"), wren(), by="me")))
    contents = read(folder, format=format)
    assert rows(contents) == [("a", "wren", 0.5, 1.25)] and contents.problems == []
    assert contents.annotations[["low_freq", "high_freq", "annotator"]].values.tolist() == [[2000.0, 4000.0, "me"]]
    assert set(contents.recordings) == {"a", "b"}


def test_annotation_projects_are_read_and_datasets_and_predictions_are_not(data_set, read, rows):
    folder, a = data_set(), recording("a.wav")
    annotated = clip(a, event(a, data.TimeInterval(coordinates=[1, 2]), wren()))
    save(folder, annotated, kind=data.AnnotationProject, title="mine")
    soundevent.io.save(data.Dataset(name="all", recordings=[a]), folder / "dataset.json", audio_dir="/elsewhere")
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 1.0, 2.0)] and contents.problems == []


@pytest.mark.parametrize(
    ("geometry", "bounds"),
    [
        (data.Polygon(coordinates=[[[1, 300], [2, 200], [1.5, 500]]]), (1, 2, 200, 500)),
        (data.LineString(coordinates=[[1, 300], [3, 200]]), (1, 3, 200, 300)),
        (data.MultiPolygon(coordinates=[[[[1, 3], [2, 2], [1.5, 5]]], [[[4, 9], [5, 8], [6, 7]]]]), (1, 6, 2, 9)),
    ],
)
def test_other_shapes_have_their_bounds(tmp_path, geometry, bounds):
    a = recording("a.wav")
    (row,) = rows_of(save(tmp_path, clip(a, event(a, geometry, wren()))), Finder({}))
    assert tuple(row[name] for name in ("start_time", "end_time", "low_freq", "high_freq")) == bounds


def test_without_a_term_that_says_class_the_first_tag_is_taken(tmp_path):
    a, span = recording("a.wav"), data.TimeInterval(coordinates=[1, 2])
    tags = (data.Tag(term=ANY, value="good"), data.Tag(term=terms.country, value="CA"))
    file = save(tmp_path, clip(a, event(a, span, *tags), event(a, span, *tags[::-1], wren()), event(a, span)))
    assert sorted(row["class"] for row in rows_of(file, Finder({}))) == ["", "good", "wren"]


def test_a_clip_without_sound_events_is_annotated_by_its_tags(data_set, read, rows):
    folder, a, b = data_set(), recording("a.wav"), recording("b.wav")
    quality = data.Tag(term=ANY, value="good")
    save(folder, clip(a, tags=(quality, wren()), span=(3, 6)), clip(b, tags=(quality,)))
    assert rows(read(folder)) == [("a", "wren", 3.0, 6.0)]


def test_faults_are_named_with_file_and_sound_event_and_the_rest_is_used(data_set, read, rows):
    folder, a, c = data_set(), recording("a.wav"), recording("c.wav")
    good = event(a, data.TimeInterval(coordinates=[1, 2]), wren())
    point = event(a, data.TimeStamp(coordinates=1), wren())
    lost = event(c, data.TimeInterval(coordinates=[1, 2]), wren())
    file = save(folder, clip(a, good, point), clip(c, lost))
    broken = folder / "broken.json"
    broken.write_text(file.read_text().replace('"coordinates":[1.0,2.0]', '"coordinates":[1.0]'))
    (folder / "cut.json").write_text(file.read_text()[:-20])
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 1.0, 2.0)]
    found = {problem.subject: problem.reason for problem in contents.problems}
    for cut in (broken, folder / "cut.json"):
        assert found.pop(str(cut)).startswith("is not AOEF (")
    assert found == {
        f"{file}: sound event {point.uuid}": "has no duration (a, wren)",
        f"{file}: sound event {lost.uuid}": "no such recording (c, wren)",
    }


SPANS = st.tuples(st.floats(0, 9), st.floats(0.001, 1)).map(lambda pair: (pair[0], pair[0] + pair[1]))
NAMES = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=30)
@given(st.lists(st.tuples(SPANS, st.integers(0, 1000), NAMES), max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory, entries):
    a = recording("a.wav")
    boxes = [data.BoundingBox(coordinates=[span[0], low, span[1], low + 9]) for span, low, _ in entries]
    events = [event(a, box, wren(name)) for box, (_, _, name) in zip(boxes, entries, strict=True)]
    file = save(tmp_path_factory.mktemp("aoef"), clip(a, *events))
    found = rows_of(file, Finder({"a": Path("a.wav")}))
    assert [((row["start_time"], row["end_time"]), row["low_freq"], row["class"]) for row in found] == entries
    assert {row["recording"] for row in found} <= {"a"}


def test_a_folder_is_recognized_by_the_head_of_a_file(tmp_path):
    file = save(tmp_path, clip(recording("a.wav")))
    assert recognizes(tmp_path)
    file.write_bytes(file.read_bytes()[:HEAD] + b" " * HEAD + b"no JSON any more")
    assert recognizes(tmp_path)
    file.write_text(file.read_text().replace("annotation_set", "prediction_set"))
    assert not recognizes(tmp_path)
