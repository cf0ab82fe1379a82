import os
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.errors import DataSetError, EarshotError, SettingsError
from lib.curation import data_set_split
from lib.curation.data_set_split import class_counts, set_counts, split_data_set, write_split
from lib.formats.data_sets import DataSet
from tests.recordings import noise, write
from tests.training_data.builders import contents_of, write_data_set

HALVES = {"train": 0.5, "test": 0.5}


def make(folder: Path, classes_of: dict[str, str], seed: int = 0) -> DataSet:
    """A data set of short recordings: path of each -> its classes, a letter for each."""
    rows = ["recording,class,start_time,end_time"]
    for number, (place, classes) in enumerate(classes_of.items()):
        write(folder / "recordings" / place, noise(0.1, 8000, seed + number), 8000)
        rows += [f"{place},{name},0,0.1" for name in classes]
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    return contents_of(folder)


def in_memory(classes_of: list[str], groups: list[str]) -> DataSet:
    """A data set of files that are not there; their folders are their groups."""
    files = {f"r{n}": Path(f"{group}/r{n}.wav") for n, group in enumerate(groups)}
    rows = [(f"r{n}", name, 0.0, 1.0) for n, classes in enumerate(classes_of) for name in classes]
    annotations = pd.DataFrame(rows, columns=["recording", "class", "start_time", "end_time"])
    return DataSet(Path(), files, annotations, pd.DataFrame({"name": sorted(set("".join(classes_of)))}), [])


def test_sets_read_back_hold_the_annotations_of_the_collection_unchanged(tmp_path):
    folder = write_data_set(tmp_path / "set", 12)
    text = (folder / "annotations.csv").read_text().replace("end_time", "end_time,low_freq").replace("\n", ",300\n")
    (folder / "annotations.csv").write_text(text.replace("low_freq,300", "low_freq"))
    data_set = contents_of(folder)
    split, problems = split_data_set(data_set, {"train": 0.5, "test": 0.25, "val": 0.25})
    assert problems == write_split(split, data_set, tmp_path / "out") == []
    parts = [contents_of(tmp_path / "out" / name) for name in split.sets]
    assert [len(part.recordings) for part in parts] == [6, 3, 3]
    together = pd.concat([part.annotations for part in parts]).sort_values(
        list(data_set.annotations), ignore_index=True
    )
    expected = data_set.annotations.sort_values(list(data_set.annotations), ignore_index=True)
    pd.testing.assert_frame_equal(together, expected)
    for part in parts:
        assert part.problems == [] and list(part.classes["name"]) == list(data_set.classes["name"])
        for name, path in part.recordings.items():
            assert path.samefile(data_set.recordings[name])  # a hard link
    table = pd.read_csv(tmp_path / "out/split.csv")
    assert list(table["set"]) == [
        next(s for s, p in zip(split.sets, parts, strict=True) if name in p.recordings) for name in table["recording"]
    ]


def test_recordings_are_copied_where_links_are_impossible_and_names_in_several_folders_stay_apart(
    tmp_path, monkeypatch
):
    places = [f"{site}/{day}.wav" for site in ("a", "b") for day in (1, 2, 3)]
    data_set = make(tmp_path / "set", dict.fromkeys(places, "w"))
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
    split, _ = split_data_set(data_set, HALVES)
    assert write_split(split, data_set, tmp_path / "out") == []
    for name in split.sets:
        part = contents_of(tmp_path / "out" / name)
        assert part.problems == [] and len(part.annotations) == len(part.recordings) == 3
        for file in part.recordings.values():
            place = file.relative_to(tmp_path / "out" / name)
            assert file.read_bytes() == (tmp_path / "set" / place).read_bytes()
            assert not file.samefile(tmp_path / "set" / place)


def test_recordings_beside_the_folder_recordings_and_within_it_stay_apart_and_unchanged(tmp_path):
    folder = tmp_path / "set"
    for number, place in enumerate(("x.wav", "recordings/x.wav", "y.wav", "recordings/z.wav")):
        write(folder / place, noise(0.1, 8000, number), 8000)
        (folder / place).with_suffix(".txt").write_text("0\t0.1\tw\n0\t0.05\tv\n")
    data_set = contents_of(folder)
    before = {name: file.read_bytes() for name, file in data_set.recordings.items()}
    for seed in range(5):
        split, _ = split_data_set(data_set, HALVES, seed=seed)
        output = tmp_path / f"out{seed}"
        assert write_split(split, data_set, output) == []
        assert {name: file.read_bytes() for name, file in data_set.recordings.items()} == before
        table = pd.read_csv(output / "split.csv", index_col="recording")
        for name, file in data_set.recordings.items():
            assert (output / table.at[name, "set"] / "recordings" / table.at[name, "file"]).samefile(file)
        assert sum(len(contents_of(output / name).annotations) for name in split.sets) == 8


def test_annotations_of_a_recording_that_cannot_be_copied_do_not_go_to_another_of_its_name(tmp_path):
    data_set = make(tmp_path / "set", {"a/x.wav": "f", "b/x.wav": "o", "c.wav": "w", "d.wav": "w"})
    split, _ = split_data_set(data_set, HALVES)
    split.table["set"] = ["train", "train", "test", "test"]
    data_set.recordings["a/x"].unlink()
    (problem,) = write_split(split, data_set, tmp_path / "out")
    part = contents_of(tmp_path / "out/train")
    assert problem.lost and "a/x.wav" in problem.subject
    assert [row[:2] for row in part.annotations[["recording", "class"]].to_numpy().tolist()] == [["x", "o"]]


def test_a_link_to_a_recording_is_not_written_through(tmp_path):
    first, second = (write(tmp_path / f"{name}.wav", noise(0.1, 8000), 8000) for name in "ab")
    before = first.read_bytes()
    link = tmp_path / "c.wav"
    data_set_split._link(first, link)
    second.write_bytes(b"other")
    with pytest.raises(EarshotError, match=r"b\.wav: has the same place in its set as another recording: c\.wav, but"):
        data_set_split._link(second, link)
    assert first.read_bytes() == before


@pytest.mark.parametrize("listed", [None, "path,format\nfield,\nclips,folders\n", "path,format\nx/../field,\nclips,\n"])
def test_recordings_of_several_data_sets_keep_their_annotations(tmp_path, listed):
    folder = tmp_path / "sets"
    places = [f"{number}.wav" for number in range(6)]
    make(folder / "field", dict.fromkeys(places, "w"))
    if listed:
        (folder / "sets.csv").write_text(listed)
        (folder / "x").mkdir()
        for number, place in enumerate(places):
            write(folder / "clips/w" / place, noise(0.1, 8000, 10 + number), 8000)
    else:
        make(folder / "clips", dict.fromkeys(places, "w"), 10)
    data_set = contents_of(folder)
    assert len(data_set.annotations) == len(data_set.recordings) == 12
    split, _ = split_data_set(data_set, HALVES)
    assert write_split(split, data_set, tmp_path / "out") == []
    parts = [contents_of(tmp_path / "out" / name) for name in split.sets]
    assert [part.problems for part in parts] == [[], []]
    assert [len(part.annotations) for part in parts] == [len(part.recordings) for part in parts] == [6, 6]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.integers(0, 6)), min_size=8, max_size=40),
    st.floats(0.2, 0.6),
    st.integers(0, 99),
)
def test_groups_stay_together_and_classes_of_a_single_group_train(rows, part, seed):
    data_set = in_memory(["".join(sorted(classes)) for classes, _ in rows], [f"g{group}" for _, group in rows])
    try:
        split, problems = split_data_set(data_set, {"train": 1 - part, "test": part}, "folder", seed)
    except DataSetError:
        return
    table = split.table
    assert sorted(table["recording"]) == sorted(data_set.recordings)
    assert (table.groupby("group")["set"].nunique() == 1).all()
    counts = class_counts(split, data_set).set_index("class")
    assert counts.sum(axis=1).to_dict() == Counter(name for classes, _ in rows for name in classes)
    single = [name for name in counts.index if len({group for classes, group in rows if name in classes}) == 1]
    assert (counts.loc[single, "test"] == 0).all()
    lacking = {name for name in split.sets for _ in counts.index[(counts[name] == 0)]}
    assert lacking == {
        problem.subject.removeprefix("set ") for problem in problems if problem.subject.startswith("set ")
    }
    assert set_counts(split, data_set)["recordings"].sum() == len(rows)


@pytest.mark.parametrize("seed", range(5))
def test_each_set_gets_its_part_of_each_class_even_of_rare_ones(seed):
    data_set = in_memory(60 * ["a"] + 20 * ["ab"] + ["c", "c"] + ["d"] + 17 * [""], [str(n) for n in range(100)])
    split, problems = split_data_set(data_set, {"train": 0.8, "test": 0.2}, seed=seed)
    counts = class_counts(split, data_set)
    assert counts["test"].tolist() == [16, 4, 1, 0]
    assert counts["train"].tolist() == [64, 16, 1, 1]
    assert set_counts(split, data_set)["recordings"].tolist() == [80, 20]
    assert [(problem.subject, problem.fault) for problem in problems if "cannot be read" not in problem.fault] == [
        ("set test", "has no recording of d")
    ]


def test_a_class_at_two_sites_trains_at_one_and_is_tested_at_the_other(tmp_path):
    places = {f"SMM{site}_2024051{day}_053000.wav": "w" for site in (1, 2) for day in range(5)}
    data_set = make(tmp_path / "set", places)
    split, _ = split_data_set(data_set, {"train": 0.8, "test": 0.2}, "site")
    assert split.table.groupby("set")["group"].unique().map(list).to_dict() in (
        {"train": ["SMM1"], "test": ["SMM2"]},
        {"train": ["SMM2"], "test": ["SMM1"]},
    )


def test_a_night_lasts_from_noon_to_noon_and_recordings_without_a_date_are_named(tmp_path):
    places = ["A_20240512_213000.wav", "B_20240513_033000.wav", "A_20240513_213000.wav", "20240514_1159.wav", "x.wav"]
    split, problems = split_data_set(make(tmp_path / "set", dict.fromkeys(places, "w")), HALVES, "night")
    groups = split.table.set_index("recording")["group"]
    assert groups.to_dict() == {
        "20240514_1159": "2024-05-13",
        "A_20240512_213000": "2024-05-12",
        "A_20240513_213000": "2024-05-13",
        "B_20240513_033000": "2024-05-12",
        "x": "x (unknown)",
    }
    assert [problem.fault for problem in problems] == ["the night of 1 recording is not known (x)"]


def test_groups_come_from_a_table_of_recordings_by_any_of_their_names(tmp_path):
    data_set = make(tmp_path / "set", dict.fromkeys(["1.wav", "2.wav", "f/3.wav", "4.wav"], "w"))
    table = tmp_path / "owners.csv"
    table.write_text("recording;group\n1.wav;ann\n2;bob\nD:\\f\\3.wav;ann\n")
    split, problems = split_data_set(data_set, HALVES, str(table))
    assert list(split.table["group"]) == ["ann", "bob", "ann", "4 (unknown)"]
    assert [problem.fault for problem in problems] == ["the group of 1 recording is not known (4)"]
    with pytest.raises(SettingsError, match="--by 'owner': must be one of recording, folder, site, night, or a CSV"):
        split_data_set(data_set, HALVES, "owner")


@pytest.mark.parametrize("seed", range(5))
def test_files_of_the_same_content_stay_together_and_are_named(tmp_path, seed):
    data_set = make(tmp_path / "set", {f"{n}.wav": "w" for n in range(6)})
    shutil.copy(tmp_path / "set/recordings/0.wav", tmp_path / "set/recordings/5.wav")
    split, [problem] = split_data_set(data_set, HALVES, seed=seed)
    set_of = split.table.set_index("recording")["set"]
    assert set_of["0"] == set_of["5"] and set(set_of) == {"train", "test"}
    assert problem.fault == "2 recordings with the content of another (0, 5)"


def test_a_set_without_recordings_is_refused(tmp_path):
    data_set = make(tmp_path / "set", {"1.wav": "a", "2.wav": "b"})
    with pytest.raises(DataSetError, match="nothing is left for test: each recording has a class that no other has"):
        split_data_set(data_set, HALVES)
    with pytest.raises(DataSetError, match="has 2 groups by recording, which cannot fill 3 sets"):
        split_data_set(data_set, {"train": 0.4, "test": 0.3, "val": 0.3})


def test_a_folder_with_content_is_left_alone(tmp_path):
    data_set = make(tmp_path / "set", {"1.wav": "a", "2.wav": "a"})
    split, _ = split_data_set(data_set, HALVES)
    write_split(split, data_set, tmp_path / "out")
    corrected = tmp_path / "out/train/annotations.csv"
    corrected.write_text("corrected")
    with pytest.raises(EarshotError, match="exists already; give a new folder"):
        write_split(split, data_set, tmp_path / "out")
    assert corrected.read_text() == "corrected"
    with pytest.raises(EarshotError, match=r"lies in .*set, which is split"):
        write_split(split, data_set, tmp_path / "set/recordings/out")


def test_a_killed_run_leaves_no_folder_and_the_next_one_starts_over(tmp_path, monkeypatch):
    data_set = make(tmp_path / "set", {f"{n}.wav": "a" for n in range(4)})
    split, _ = split_data_set(data_set, HALVES)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(data_set_split, "write_table", killed)
        write_split(split, data_set, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert write_split(split, data_set, tmp_path / "out") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]
