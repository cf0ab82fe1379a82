from pathlib import Path

import pytest
import soundevent.io
from soundevent import data, terms

from lib.core.errors import DataSetError
from lib.formats.annotation_files import HEAD_BYTES

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
    file = save(folder, annotated, kind=data.AnnotationProject, title="mine")
    soundevent.io.save(data.Dataset(name="all", recordings=[a]), folder / "dataset.json", audio_dir="/elsewhere")
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 1.0, 2.0)] and contents.problems == []
    file.write_text(file.read_text().replace("annotation_project", "prediction_set"))
    with pytest.raises(DataSetError, match="not recognized"):
        read(folder)


@pytest.mark.parametrize(
    ("geometry", "bounds"),
    [
        (data.Polygon(coordinates=[[[1, 300], [2, 200], [1.5, 500]]]), (1, 2, 200, 500)),
        (data.LineString(coordinates=[[1, 300], [3, 200]]), (1, 3, 200, 300)),
        (data.MultiPolygon(coordinates=[[[[1, 3], [2, 2], [1.5, 5]]], [[[4, 9], [5, 8], [6, 7]]]]), (1, 6, 2, 9)),
    ],
)
def test_other_shapes_have_their_bounds(data_set, read, geometry, bounds):
    folder, a = data_set(), recording("a.wav")
    save(folder, clip(a, event(a, geometry, wren())))
    columns = ["start_time", "end_time", "low_freq", "high_freq"]
    assert read(folder).annotations[columns].values.tolist() == [list(bounds)]


def test_without_a_term_that_says_class_the_first_tag_is_used(data_set, read, rows, faults):
    folder, a = data_set(), recording("a.wav")
    quality, country = data.Tag(term=ANY, value="good"), data.Tag(term=terms.country, value="CA")
    tags = [(quality, country), (country, quality, wren()), ()]
    spans = [data.TimeInterval(coordinates=[i, i + 1]) for i in range(3)]
    save(folder, clip(a, *(event(a, span, *each) for span, each in zip(spans, tags, strict=True))))
    contents = read(folder)
    assert rows(contents) == [("a", "good", 0.0, 1.0), ("a", "wren", 1.0, 2.0)]
    assert list(faults(contents).values()) == ["unknown class (a, no class)"]


def test_a_clip_without_sound_events_is_annotated_by_its_tags(data_set, read, rows):
    folder, a, b = data_set(), recording("a.wav"), recording("b.wav")
    quality = data.Tag(term=ANY, value="good")
    save(folder, clip(a, tags=(quality, wren()), span=(3, 6)), clip(b, tags=(quality,)))
    assert rows(read(folder)) == [("a", "wren", 3.0, 6.0)]


def test_faults_name_file_and_sound_event_and_the_rest_is_used(data_set, read, rows, faults):
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
    found = faults(contents)
    for cut in (broken, folder / "cut.json"):
        assert found.pop(str(cut)).startswith("is not AOEF (")
    assert found == {
        f"{file}: sound event {point.uuid}": "has no duration (a, wren)",
        f"{file}: sound event {lost.uuid}": "no such recording (c, wren)",
    }


def test_only_the_head_of_a_file_tells_its_kind(data_set, read, faults):
    folder = data_set()
    file = save(folder, clip(recording("a.wav")))
    file.write_bytes(file.read_bytes()[:HEAD_BYTES] + b" " * HEAD_BYTES + b"not JSON")
    assert faults(read(folder))[str(file)].startswith("is not AOEF (")
