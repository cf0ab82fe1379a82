import csv
import os

import pytest

from lib.core.errors import EarshotError, Problem
from lib.formats import LabelScheme
from lib.results.exports import LabelFiles, write_tables
from lib.results.results_store import ResultsStore, earlier_results
from lib.sound.labels import RESULTS_FILE, Label
from tests.results.builders import make_manifest, random_scores, write_recording

CLASSES = make_manifest().class_list


@pytest.fixture
def store(tmp_path):
    with ResultsStore(tmp_path, make_manifest()) as store:
        for name in ("r", "s"):
            write_recording(store, name, random_scores(1, n=5), [Label("a", 0.0, 3.0, 0.5)])
        store.write_failure("t", "field/t.wav", Problem("field/t.wav", "is empty", ""))
        store.commit()
        yield store


def label_files(store, *formats, before=("audacity", "raven", "csv"), field="names"):
    scheme = LabelScheme(CLASSES, field, 100.0, 9000.0, 3.0)
    return LabelFiles(store.path.parent, list(formats), before, scheme)


def update(store, *formats, **others):
    """Returns the names of the label files that are there, and which of them were written now."""
    folder = store.path.parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.t*t")}
    for path in before:
        os.utime(path, ns=(1, 1))
    label_files(store, *formats, **others).update(store, store.recordings().values())
    there = {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns > 1 for path in folder.rglob("*.t*t")}
    return sorted(there), sorted(name for name, is_new in there.items() if is_new)


def test_only_label_files_that_would_be_different_are_written(store):
    both = ["r.txt", "s.txt"]
    assert update(store, "audacity") == (both, both)
    assert update(store, "audacity") == (both, [])
    (store.path.parent / "s.txt").unlink()
    assert update(store, "audacity") == (both, ["s.txt"])
    assert update(store, "audacity", field="codes") == (both, both)
    assert (store.path.parent / "r.txt").read_text() == "0.000\t3.000\tA;0.500\n"
    raven = ["raven/r.selections.txt", "raven/s.selections.txt"]
    assert update(store, "raven") == (raven, raven)
    assert update(store) == ([], [])


def test_files_with_absolute_paths_are_written_again_where_a_recording_was_moved(store):
    update(store, "raven", "audacity")
    store.move("r", "elsewhere/r.wav")
    assert update(store, "audacity", "raven", before=())[1] != []
    store.move("s", "elsewhere/s.wav")
    assert update(store, "audacity", "raven")[1] == ["raven/s.selections.txt", "s.txt"]
    update(store, "audacity")
    store.move("s", "field/s.wav")
    assert update(store, "audacity")[1] == []


def test_files_that_are_being_replaced_do_not_count_as_current(store):
    """Or a run that is stopped there would leave files of other settings that nothing notices."""
    update(store, "audacity")
    folder = store.path.parent
    (folder / "s.txt").unlink()
    (folder / "s.txt").mkdir()  # where no file can be written
    with pytest.raises(OSError):
        update(store, "audacity", field="codes")
    (folder / "s.txt").rmdir()
    store.close()
    with ResultsStore(folder) as store:
        assert update(store, "audacity") == (["r.txt", "s.txt"], ["r.txt", "s.txt"])
    assert (folder / "r.txt").read_text() == "0.000\t3.000\ta;0.500\n"


def test_files_that_earlier_runs_did_not_write_are_not_overwritten(store):
    folder, earlier = store.path.parent, earlier_results(store.path.parent)
    (folder / "r.txt").write_text("ours")
    (folder / "u.txt").write_text("mine")
    (folder / "labels.json").write_text("mine")
    wanted = label_files(store, "audacity", "csv")
    wanted.check_free(["r", "v"], earlier)
    with pytest.raises(EarshotError, match=r"u\.txt: was not made here and would be overwritten; .*another --output"):
        wanted.check_free(["u", "v"], earlier)
    with pytest.raises(EarshotError, match=r"labels\.json: was not made here"):
        label_files(store, "json").check_free([], earlier)
    label_files(store, "json", before=["json"]).check_free([], earlier)


def test_label_files_of_a_store_that_was_removed_are_written_again(store):
    folder = store.path.parent
    update(store, "audacity")
    write_tables(store, store.recordings().values(), label_files(store, "audacity"))
    (folder / RESULTS_FILE).unlink()
    label_files(store, "audacity", "csv", before=()).check_free(["r", "s"], earlier_results(folder))


def test_tables_of_all_recordings_follow_the_formats(store):
    folder, results = store.path.parent, store.recordings().values()
    write_tables(store, results, label_files(store, "csv", "scores"))
    with (folder / "labels.csv").open(newline="") as file:
        assert [(row["recording"], row["name"]) for row in csv.DictReader(file)] == [("r", "a"), ("s", "a")]
    assert len((folder / "scores.csv").read_text().splitlines()) == 1 + 2 * 5 * 3
    write_tables(store, results, label_files(store, "json", before=["csv", "scores"]))
    assert {path.name for path in folder.iterdir()} == {RESULTS_FILE, "labels.json", "manifest.yaml", "recordings.csv"}


def test_recordings_csv_tells_what_became_of_each(store):
    write_tables(store, store.recordings().values(), label_files(store))
    lines = (store.path.parent / "recordings.csv").read_text().splitlines()
    assert lines[1:] == ["r,field/r.wav,9,ok,,1", "s,field/s.wav,9,ok,,1", "t,field/t.wav,,failed,is empty,0"]


def test_tables_are_written_only_if_they_are_missing_or_would_be_different(store):
    folder = store.path.parent
    paths = [folder / name for name in ("labels.csv", "recordings.csv", "manifest.yaml")]

    def are_written():
        for path in paths:
            if path.exists():
                os.utime(path, ns=(1, 1))
        write_tables(store, store.recordings().values(), label_files(store, "csv"))
        return [path.stat().st_mtime_ns > 1 for path in paths]

    assert are_written() == [True] * 3
    assert are_written() == [False] * 3
    paths[0].unlink()
    assert are_written()[0] and are_written() == [False] * 3
    store.move("r", "elsewhere/r.wav")
    assert are_written() == [True] * 3 and "elsewhere/r.wav" in paths[1].read_text()


def test_tables_that_were_being_replaced_are_written_again(store):
    """Even where the results are what they were before."""
    folder = store.path.parent

    def write():
        write_tables(store, store.recordings().values(), label_files(store, "csv", "json"))

    write()
    before = (folder / "labels.csv").read_bytes()
    (folder / "labels.json").unlink()
    (folder / "labels.json").mkdir()  # where no file can be written
    removed = store.recordings()["r"]
    store.remove("r")
    with pytest.raises(OSError):
        write()
    assert (folder / "labels.csv").read_bytes() != before
    (folder / "labels.json").rmdir()
    (folder / "labels.json").touch()
    write_recording(store, "r", random_scores(1, n=5), [Label("a", 0.0, 3.0, 0.5)])
    assert store.recordings()["r"] == removed
    write()
    assert (folder / "labels.csv").read_bytes() == before and (folder / "labels.json").read_text() != ""
