import pytest

from lib.core.errors import DataSetError


@pytest.mark.parametrize("format", ["auto", "csv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_clip_has_the_classes_whose_columns_hold_one(data_set, read, rows, format, delimiter):
    lines = ["file,cel,cla", "clips/a.wav,1,0", "other/place/b.wav,1,1", "c.wav,,0"]
    files = {"labels.csv": "\n".join(lines).replace(",", delimiter)}
    contents = read(data_set(("clips/a.wav", "clips/b.wav", "c.wav"), files), format=format)
    assert rows(contents) == [
        (clip, name, 0.0, float("inf")) for clip, name in (("a", "cel"), ("b", "cel"), ("b", "cla"))
    ]
    assert list(contents.recordings) == ["a", "b", "c"] and contents.problems == []


def test_tables_of_other_columns_are_not_taken_for_classes(data_set, read):
    with pytest.raises(DataSetError, match="the format is not recognized"):
        read(data_set(("a.wav",), {"a.csv": "file,seconds,cel\na.wav,2.5,1\n"}))


@pytest.mark.parametrize("format", ["auto", "csv"])
def test_a_table_of_other_columns_beside_one_of_classes_is_named_and_left_out(data_set, read, rows, faults, format):
    files = {"labels.csv": "file,cel,cla\na.wav,1,0\n", "takes.csv": "file,gain\na.wav,1\nb.wav,0.7\n"}
    folder = data_set(("a.wav", "b.wav"), files)
    contents = read(folder, format=format)
    assert [(clip, name) for clip, name, *_ in rows(contents)] == [("a", "cel")]
    assert faults(contents) == {
        f"{folder}/takes.csv": "is not a table of clips and classes in 0 and 1",
        f"{folder}": "lists no classes of 1 clip (b)",
    }


def test_values_that_are_none_are_named_and_shares_count_from_one_half_on(data_set, read, rows):
    table = "file,cel,cla,voi\na.wav,yes,0.5,2\n"
    contents = read(data_set(("a.wav",), {"labels.csv": table}), format="csv")
    assert [name for _, name, *_ in rows(contents)] == ["cla"]
    assert [problem.fault for problem in contents.problems] == [
        f"{name} = {value!r} is not a number in 0..1" for name, value in (("cel", "yes"), ("voi", "2"))
    ]


@pytest.mark.parametrize("format", ["auto", "openmic"])
def test_instruments_of_openmic_sound_where_most_annotators_heard_them(data_set, read, rows, format):
    table = "sample_key,instrument,relevance,num_responses\n0_1,cello,0.2,3\n0_1,piano,0.5,3\n0_2,cello,1.0,4\n"
    folder = data_set(("audio/000/0_1.ogg", "audio/000/0_2.ogg"), {"openmic-2018-aggregated-labels.csv": table})
    contents = read(folder, format=format)
    assert [(clip, name) for clip, name, *_ in rows(contents)] == [("0_1", "piano"), ("0_2", "cello")]
    assert contents.problems == []


@pytest.mark.parametrize(
    ("format", "table"),
    [("csv", "file,cel\na.wav,0\n"), ("openmic", "sample_key,instrument,relevance\na,cel,0.1\n")],
)
def test_clips_that_no_table_lists_are_named_and_left_out(data_set, read, format, table):
    contents = read(data_set(("a.wav", *(f"b{n}.wav" for n in range(9))), {"labels.csv": table}), format=format)
    assert list(contents.recordings) == ["a"] and contents.annotations.empty
    assert [problem.fault for problem in contents.problems] == [
        "lists no classes of 9 clips (b0, b1, b2, b3, b4, b5, b6, b7 and 1 more)"
    ]


def test_a_folder_without_a_table_is_one_clear_error(data_set, read):
    with pytest.raises(DataSetError, match="holds no table of clips and classes in 0 and 1"):
        read(data_set(("a.wav",)), format="csv")


@pytest.mark.parametrize(
    ("format", "table"),
    [
        ("csv", "file,cel,cla\nclips/a.wav,1,0\nclips/b.wav,0,0\n"),
        ("openmic", "sample_key,instrument,relevance\na,cel,0.9\nb,cla,0.1\n"),
    ],
)
def test_a_table_alone_is_the_data_set_of_the_clips_that_it_lists(data_set, read, rows, format, table):
    folder = data_set(("clips/a.wav", "clips/b.wav", "clips/c.wav"), {"one.csv": table, "other.csv": table})
    contents = read(folder / "one.csv", format=format)
    assert list(contents.recordings) == ["a", "b"] and contents.problems == []
    assert rows(contents) == [("a", "cel", 0.0, float("inf"))]


def test_a_table_of_clips_that_are_not_there_is_one_clear_error(data_set, read):
    folder = data_set(("a.wav",), {"one.csv": "file,cel\nb.wav,1\n"})
    with pytest.raises(DataSetError, match=r"one\.csv: lists no recordings of .*set; add some"):
        read(folder / "one.csv", format="csv")


@pytest.mark.parametrize(
    ("format", "fault"), [("auto", "is a file"), ("irmastest", "is a file, and format irmastest needs a folder")]
)
def test_a_table_is_no_data_set_of_formats_that_are_folders(data_set, read, format, fault):
    with pytest.raises(DataSetError, match=f"one.csv: {fault}; .*, or format csv or openmic if it"):
        read(data_set(("a.wav",), {"one.csv": "file,cel\na.wav,1\n"}) / "one.csv", format=format)
