import os
from pathlib import Path

import pytest

from lib.core.errors import DataSetError
from lib.formats import READERS

INSTRUMENTS = Path(__file__).parents[3] / "shared/data/instruments"


@pytest.mark.parametrize("format", ["auto", "irmastrain"])
def test_the_first_bracket_of_a_clip_s_name_is_its_class(data_set, read, rows, format):
    clips = ("cel/[cel][dru][cla]0004__2.wav", "pia/008__[pia][nod][jaz_blu]1.wav", "voi/[voi][pop_roc]x.wav")
    contents = read(data_set(clips), format=format)
    assert [(name, start, end) for _, name, start, end in rows(contents)] == [
        (name, 0.0, float("inf")) for name in ("pia", "cel", "voi")
    ]
    assert list(contents.classes["name"]) == ["cel", "pia", "voi"] and contents.problems == []


def test_drums_and_genres_are_classes_if_they_are_listed(data_set, read, rows):
    clips = ("[cel][dru][cla]1.wav", "[pia][nod][cla]2.wav")
    contents = read(data_set(clips, {"classes.csv": "name,code\ncello,cel\npiano,pia\ndrums,dru\n"}))
    assert [(clip, name) for clip, name, _, _ in rows(contents)] == [
        ("[cel][dru][cla]1", "cello"),
        ("[cel][dru][cla]1", "drums"),
        ("[pia][nod][cla]2", "piano"),
    ]


def test_a_clip_without_brackets_is_named(data_set, read, faults):
    contents = read(data_set(("[cel][dru]1.wav", "plain.wav")), format="irmastrain")
    assert list(contents.recordings) == ["[cel][dru]1"]
    assert [fault for subject, fault in faults(contents).items() if "plain.wav" in subject] == [
        "has no class in brackets in its name"
    ]


@pytest.mark.parametrize("format", ["auto", "irmastest"])
def test_the_text_beside_a_clip_lists_its_classes(data_set, read, rows, format):
    files = {"(01) piece-1.txt": "cel\t\r\n\r\ngel\n", "part/b-2.txt": "voi\n"}
    contents = read(data_set(("(01) piece-1.wav", "part/b-2.wav"), files), format=format)
    assert rows(contents) == [
        ("(01) piece-1", "cel", 0.0, float("inf")),
        ("(01) piece-1", "gel", 0.0, float("inf")),
        ("b-2", "voi", 0.0, float("inf")),
    ]


@pytest.mark.parametrize("text", ["Recorded at dawn\n", "", "cel\n0\t1\tgel\n", "cel\nOld cello\n", None])
def test_texts_that_do_not_all_list_classes_are_not_taken_for_them(data_set, read, rows, text):
    files = {"owl/a.txt": "cel\n"} | ({} if text is None else {"wren/b.txt": text})
    folder = data_set(("owl/a.wav", "wren/b.wav"), files)
    assert [row[:2] for row in rows(read(folder))] == [("a", "owl"), ("b", "wren")]
    assert not READERS["irmastest"].recognizes(folder)


def test_labels_of_audacity_beside_clips_without_any_are_not_taken_for_classes(data_set, read, rows):
    folder = data_set(files={"a.txt": "\\\t-1\t-1\n0\t1\twren\n", "b.txt": "\n"})
    with pytest.raises(DataSetError, match="the format is not recognized"):
        read(folder)
    assert rows(read(folder, format="audacity")) == [("a", "wren", 0.0, 1.0)]


@pytest.mark.parametrize("name", ["irmastrain", "irmastest"])
def test_a_folder_of_other_clips_is_refused_by_its_first(data_set, monkeypatch, name):
    folder = data_set(tuple(f"{number:03}/x.wav" for number in range(20)))
    scan, scanned = os.scandir, []
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scan(path))
    assert not READERS[name].recognizes(folder)
    assert len(scanned) == 2  # the folder and the first of those in it


def test_a_clip_without_a_text_and_one_whose_text_cannot_be_read_are_named_and_left_out(data_set, read, rows, faults):
    folder = data_set(("a.wav", "b.wav", "c.wav"), {"a.txt": "cel\n"})
    (folder / "c.txt").write_bytes(b"\xff\xfe\xff")
    contents = read(folder, format="irmastest")
    assert [recording for recording, *_ in rows(contents)] == list(contents.recordings) == ["a"]
    assert {Path(subject).name: fault for subject, fault in faults(contents).items()} == {
        "b.txt": "cannot be read (No such file or directory)",
        "c.txt": "is not UTF-8",
    }


@pytest.mark.skipif(not INSTRUMENTS.is_dir(), reason="shared/data/instruments is not there")
def test_clips_laid_out_like_irmas_are_recognized(read):
    train, test = (read(INSTRUMENTS / part) for part in ("train", "test"))
    assert (len(train.recordings), len(test.recordings)) == (770, 200)
    assert train.annotations["class"].value_counts().eq(70).all() and len(train.classes) == 11
    assert set(test.classes["name"]) == set(train.classes["name"]) and not [*train.problems, *test.problems]
