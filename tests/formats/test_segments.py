import pytest


@pytest.mark.parametrize("format", ["auto", "segments"])
@pytest.mark.parametrize(
    "header",
    [
        "recording,class,start_time,end_time",
        "filename,label,start,end",
        "File,Common name,Start (s),End (s)",
        "file,Species,onset,offset",
    ],
)
def test_columns_may_have_other_usual_names_and_recordings_their_suffix(data_set, read, rows, header, format):
    content = f"\ufeff{header}\n\na.wav,wren,0,1\nb,owl,1,2\n\nC:\\field\\a.wav,owl,2,3\n"
    folder = data_set(("recordings/a.wav", "recordings/b.wav"), {"annotations.csv": content})
    contents = read(folder, format=format)
    assert contents.recordings == {name: folder / f"recordings/{name}.wav" for name in "ab"}
    assert rows(contents) == [("a", "owl", 2.0, 3.0), ("a", "wren", 0.0, 1.0), ("b", "owl", 1.0, 2.0)]
    assert contents.problems == []


def test_a_column_of_the_usual_name_takes_precedence_over_its_synonyms(data_set, read, rows):
    content = "recording,name,class,start_time,end_time\na,Winter Wren,wren,0,1\n"
    assert rows(read(data_set(("recordings/a.wav",), {"annotations.csv": content}))) == [("a", "wren", 0.0, 1.0)]


def test_a_table_of_labels_becomes_annotations_when_it_is_renamed(data_set, read):
    content = "recording,name,start_time,end_time,score\na,wren,0,3,0.75\n"
    contents = read(data_set(("recordings/a.wav",), {"annotations.csv": content}))
    assert contents.annotations[["class", "confidence"]].values.tolist() == [["wren", 0.75]]
