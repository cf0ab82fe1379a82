from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from lib.core.errors import EarshotError
from lib.curation.sound_pictures import ERROR_COLUMNS
from lib.results.results_store import ResultsStore
from lib.sound.labels import Label
from lib.training_data.extractor import Extractor
from lib.training_data.training_database import TrainingDatabase
from stages.plot import plot
from tests.results.builders import make_manifest, random_scores, write_recording
from tests.training_data.builders import AUDIO, extract_folder, write_data_set


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A data set of two recordings of 3 s, and settings for it."""
    write_data_set(tmp_path / "test", 2)
    content = {
        "data": {"test": {"path": "test"}},
        "audio": AUDIO.model_dump(),
        "extract": {"overlap": 0.25},
        "infer": {"overlap": 0.25},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_store(folder, labelled, manifest):
    """Results of recordings with these labels: name and labels of each."""
    with ResultsStore(folder, manifest) as store:
        for name, labels in labelled:
            write_recording(store, name, random_scores(1, n=5), labels)
        store.finish(pack=False)


def names_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def not_blank(path):
    return np.asarray(Image.open(path)).std() > 5


def test_each_window_of_each_recording_becomes_a_picture(project, capsys):
    plot(recordings="test/recordings", output="plots", annotations="test")
    assert names_of(project / "plots") == [f"r0{k}-{start:.2f}.png" for k in range(2) for start in np.arange(0, 3, 0.5)]
    assert all(not_blank(path) for path in (project / "plots").iterdir())
    assert capsys.readouterr().out == "12 pictures -> plots\n"


def test_extraction_by_image_takes_exactly_the_windows_of_the_pictures(project):
    plot(recordings="test/recordings", output="plots", overlap=0.375, max=7)
    (project / "plots/r00-0.125.png").unlink()
    with TrainingDatabase(project / "new.db") as db:
        extractor = Extractor(db, "Other", "low", "low")
        assert extractor.extract_by_image("test/recordings", "plots") == 6
        offsets = [segment.offset for segment in db.get_segment()]
    assert offsets == [0, 0.25, 0.375, 0.5, 0.625, 0.75]


def test_a_whole_recording_is_one_picture(project):
    plot(**{"recording": "test/recordings/r01.wav"}, output="plots", whole=True)
    assert names_of(project / "plots") == ["r01.png"]
    assert not_blank(project / "plots/r01.png")


def drawn(folder="plots", **changes):
    """Pictures, by name, as arrays."""
    plot(recordings="test/recordings", output=folder, whole=True, **changes)
    return {path.stem: np.asarray(Image.open(path)) for path in Path(folder).glob("*.png")}


def test_labels_are_drawn_on_recordings_that_have_results(project):
    write_store(project / "labels", [("r00", [Label("a", 1.0, 2.0, 0.5)])], make_manifest())
    plain, labelled = drawn("plain"), drawn(labels="labels")
    assert (labelled["r00"] != plain["r00"]).any() and (labelled["r01"] == plain["r01"]).all()


def test_after_an_interrupted_run_labels_of_other_settings_are_not_drawn(project):
    labels = [Label("a", 1.0, 2.0, 0.5)]
    write_store(project / "labels", [("r00", labels), ("r01", labels)], make_manifest())
    with ResultsStore(project / "labels", make_manifest(["x", "a"])) as store:
        write_recording(store, "r01", random_scores(1, 5, 2), labels)
        store.commit()
    write_store(project / "alone", [("r01", labels)], make_manifest())
    plain, labelled, alone = drawn("plain"), drawn(labels="labels"), drawn("only", labels="alone")
    assert (labelled["r00"] == plain["r00"]).all()
    assert (labelled["r01"] == alone["r01"]).all() and (labelled["r01"] != plain["r01"]).any()


def test_a_class_is_drawn_from_the_training_database(project):
    extract_folder(project / "test", project / "training.db")
    with TrainingDatabase(project / "training.db") as db:
        n = len(db.get_segment_by_class("low"))
    plot(**{"class": "low"}, database="training.db", output="plots", bare=True)
    assert len(names_of(project / "plots")) == n > 2
    picture = np.asarray(Image.open(project / "plots" / names_of(project / "plots")[0]))
    assert picture.shape == (AUDIO.spec_height, AUDIO.spec_width, 3)
    plot(class_name="low", database="training.db", output="few", max=2)
    all_names, few = (names_of(project / folder) for folder in ("plots", "few"))
    assert few == [all_names[0], all_names[-(-n // 2)]]  # of all recordings, not of the first ones


def test_errors_are_drawn_with_their_context(project, capsys):
    rows = [
        ("false positive", "r00", "low", 0.0, 0.5, 0.91, "high; mid"),
        ("false positive", "r01", "low", 1.0, 1.5, 0.81, ""),
        ("false negative", "r01", "high", 2.5, 3.0, 0.1, "high"),
        ("false negative", "gone", "high", 2.5, 3.0, 0.2, "high"),
    ]
    pd.DataFrame(rows, columns=ERROR_COLUMNS).to_csv("errors.csv", index=False)
    plot(errors="errors.csv", output="plots", context=0.5)
    assert names_of(project / "plots") == [
        "false-negative/001~r01-2.50~0.100.png",
        "false-positive/001~r00-0.00~0.910.png",
        "false-positive/002~r01-1.00~0.810.png",
    ]
    assert "gone: is in the table of errors but not in the test set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({}, "give one of --recordings PATH, --class NAME and --errors"),
        ({"errors": "True", "class": "low"}, "give one of --recordings PATH, --class NAME and --errors"),
        ({"recordings": "nowhere"}, "nowhere: no such file or folder"),
        ({"recordings": "test", "overlap": 9.0}, "overlap must be below audio.spec_duration"),
        ({"errors": "nowhere.csv"}, "nowhere.csv: no such file; run the evaluate stage first"),
        ({"class": "low", "database": "nowhere.db"}, "nowhere.db: no such file"),
    ],
)
def test_what_cannot_work_is_an_error(project, flags, line):
    with pytest.raises(EarshotError) as caught:
        plot(**flags)
    assert line in str(caught.value) and not (project / "data").exists()


def test_errors_are_one_line_on_the_command_line(project, run_stage):
    extract_folder(project / "test", project / "training.db")
    for flags, line in (
        (["--recordings=test", "--power=much"], "--power = 'much': must be a number\n"),
        (["--class=zebra", f"--database={project}/training.db"], "has no class zebra; it has high, low, mid\n"),
    ):
        status, output, errors = run_stage("plot", *flags)
        assert (status, output) == (1, "") and errors.startswith("error: ") and errors.endswith(line)
