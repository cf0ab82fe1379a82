import pandas as pd
import pytest

from tests.training_data.builders import extract_folder, write_data_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_data_set(tmp_path_factory.mktemp("report") / "set", 3)
    extract_folder(folder, folder.parent / "training.db")
    return folder


def test_database_and_annotations_are_shown_and_written(folder, tmp_path, run_stage):
    database = folder.parent / "training.db"
    before = database.read_bytes()
    code, output, errors = run_stage("report", "--database", database, "--annotations", folder, "--output", tmp_path)
    assert (code, errors) == (0, "")
    assert database.read_bytes() == before
    tables = {path.stem: pd.read_csv(path) for path in tmp_path.glob("*.csv")}
    assert set(tables) == {
        *("class_summary", "class_details", "spec_groups"),
        *("annotation_summary", "annotation_recordings", "annotation_details", "annotation_together"),
    }
    assert tables["class_summary"]["name"].tolist() == ["high", "low", "mid"]
    assert tables["class_summary"]["segments"].sum() == tables["class_details"]["segments"].sum() > 0
    assert tables["spec_groups"].values.tolist()[0][0] == "default"
    assert tables["annotation_summary"]["events"].sum() == 9
    assert tables["annotation_recordings"]["duration"].tolist() == [3.0, 3.0, 3.0]
    for text in ("3 recordings", "9 events", "spectrograms", "high", str(tmp_path)):
        assert text in output


def test_annotation_file_stands_for_its_folder(folder, tmp_path, run_stage):
    code, output, _ = run_stage("report", "--annotations", folder / "annotations.csv", "--output", tmp_path)
    assert code == 0 and "9 events" in output
    assert not (tmp_path / "class_summary.csv").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--database", "none.db"), ("--annotations", "none"), ("--annotations", "tests", "--format", "scroll")],
)
def test_bad_input_is_one_line(arguments, tmp_path, run_stage):
    code, output, errors = run_stage("report", *arguments, "--output", tmp_path)
    assert (code, output) == (1, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert arguments[-1] in errors


def test_short_times_are_shown_and_written_with_their_digits(tmp_path, run_stage):
    write_data_set(tmp_path / "set", 1, seconds=1.0)
    (tmp_path / "set/annotations.csv").write_text("recording,class,start_time,end_time\nr00,low,0.1,0.103471\n")
    code, output, errors = run_stage("report", "--annotations", tmp_path / "set", "--output", tmp_path / "out")
    assert (code, errors) == (0, "") and "0.0035" in output
    (row,) = pd.read_csv(tmp_path / "out/annotation_summary.csv").to_dict("records")
    assert row["shortest"] == pytest.approx(0.003471, abs=1e-9)
