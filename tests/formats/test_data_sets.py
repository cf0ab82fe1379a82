import os
from pathlib import Path

import pytest

from lib.config.schema import DataSetSettings
from lib.core.errors import EarshotError, SettingsError
from lib.formats import data_sets
from tests.recordings import noise, write

SHARED = Path(__file__).parents[3] / "shared/data/soundscapes/train"
HEADER = "recording,class,start_time,end_time\n"
ANNOTATIONS = f"{HEADER}a,wren,0,1\nb,owl,1,2\n"


@pytest.fixture
def segments(data_set):
    """A function that makes a data set of format segments: recordings a and b, annotations and perhaps classes."""

    def make(annotations: str = ANNOTATIONS, classes: str | None = None) -> Path:
        files = {"annotations.csv": annotations} | ({} if classes is None else {"classes.csv": classes})
        return data_set(("recordings/a.wav", "recordings/b.wav"), files)

    return make


@pytest.mark.parametrize("label", ["wren", "WR", "Troglodytes", "tt"])
def test_a_class_may_be_called_by_any_of_its_labels(segments, read, label):
    folder = segments(f"{HEADER}a,{label},0,1\n", "name,code,alt_name,alt_code\nwren,WR,Troglodytes,tt\nowl,OW,,\n")
    contents = read(folder)
    assert contents.annotations["class"].tolist() == ["wren"] and contents.problems == []
    assert contents.classes["name"].tolist() == ["wren", "owl"]


def test_each_problem_names_file_and_line_and_the_other_rows_are_used(segments, read):
    folder = segments(f"{HEADER}\na,wren,0,1\na,lark,0,1\nnone,owl,0,1\n", "name\nwren\nowl\nowl\n")
    strange = folder.rename(os.fsdecode(os.fsencode(folder) + b"\xe9"))
    contents = read(strange)
    assert contents.annotations["recording"].tolist() == ["a"]
    assert [(problem.subject, problem.lost) for problem in contents.problems] == [
        (rf"{folder}\xe9/classes.csv:4", True),
        (rf"{folder}\xe9/annotations.csv:4", True),
        (rf"{folder}\xe9/annotations.csv:5", True),
    ]


def test_a_table_of_classes_names_them_in_any_format_and_a_csv_table_takes_precedence(data_set, read, rows):
    files = {"a.txt": "0.5\t1.25\twren\n", "classes.csv": "name,code\nWinter Wren,wren\n"}
    assert rows(read(data_set(files=files))) == [("a", "Winter Wren", 0.5, 1.25)]
    files = {"annotations.csv": f"{HEADER}a,wren,3,4\n"}
    assert rows(read(data_set(("recordings/a.wav",), files))) == [("a", "Winter Wren", 3.0, 4.0)]


def test_the_digest_changes_with_recordings_annotations_and_classes(segments, read):
    folder = segments()
    digests = [read(folder).digest, read(segments()).digest]
    for name, content in {"annotations.csv": HEADER + "a,wren,0,1\n", "classes.csv": "name\nwren\nlark\n"}.items():
        (folder / name).write_text(content)
        digests.append(read(folder).digest)
    write(folder / "recordings/b.wav", noise(0.1, 8000, seed=2), 8000)
    digests.append(read(folder).digest)
    assert digests[0] == digests[1] and len(set(digests)) == 4


def fault_of(read, path: Path, **options) -> str:
    with pytest.raises(EarshotError) as error:
        read(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_data_set_that_cannot_be_used_is_an_error_of_one_line(segments, read, tmp_path):
    folder = segments()
    assert fault_of(read, tmp_path / "nowhere").startswith(f"{tmp_path}/nowhere: no such folder")
    assert "holds no recordings that match 'x*'" in fault_of(read, folder, include="x*")
    (tmp_path / "bare").mkdir()
    assert "the format is not recognized" in fault_of(read, tmp_path / "bare")
    assert "holds no recordings" in fault_of(read, tmp_path / "bare", format="folders")
    assert "no such file or folder" in fault_of(read, tmp_path / "bare", format="segments")


def test_recordings_without_their_annotations_are_not_a_class(segments, read):
    folder = segments()
    (folder / "annotations.csv").unlink()
    assert fault_of(read, folder).startswith(
        f"{folder}: the format is not recognized; it needs sets.csv (sets), recordings/ and annotations.csv (segments)"
    )
    assert fault_of(read, folder, format="segments").startswith(f"{folder}/annotations.csv: no such file")


def test_annotations_without_their_recordings_are_an_error(segments, read):
    folder = segments()
    (folder / "recordings").rename(folder / "audio")
    assert fault_of(read, folder).startswith(f"{folder}/recordings: no such file or folder")


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/soundscapes is missing")
def test_real_soundscapes_with_annotations(read):
    contents = read(SHARED)
    assert len(contents.recordings) > 1 and len(contents.annotations) > 10 and contents.problems == []
    assert set(contents.annotations["recording"]) <= set(contents.recordings)


def test_recordings_and_an_annotation_file_may_be_in_different_folders(data_set, tmp_path, rows, faults):
    table = tmp_path / "set/notes/truth.csv"
    folder = data_set(files={"notes/truth.csv": f"{HEADER}a,gull,0.5,1\nb,,,\nc,gull,0,1\n"})
    settings = DataSetSettings(path=str(tmp_path / "unused"))
    contents = data_sets.evaluation_data_set(settings, 0.3, str(folder), str(table))
    assert list(contents.recordings) == ["a", "b"]
    assert rows(contents) == [("a", "gull", 0.5, 1.0)] and list(contents.classes["name"]) == ["gull"]
    # A row without a class says that nothing sounds in its recording.
    assert faults(contents) == {f"{table}:4": "no such recording (c, gull)"}
    with pytest.raises(EarshotError, match="holds no recordings"):
        data_sets.read_annotated(table.parent, table)
    with pytest.raises(SettingsError, match="go together"):
        data_sets.evaluation_data_set(settings, 0.3, str(folder), None)
