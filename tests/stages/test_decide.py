"""decide as its user runs it: on results of infer, on annotations, on pictures."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from lib.core.errors import AudioError, DataSetError, EarshotError, SettingsError
from lib.results.results_store import ResultsStore
from stages.decide import decide
from stages.infer import infer
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, write_data_set, write_params

INFER = {"overlap": 0.25, "device": "cpu", "precision": "32", "workers": 1, "min_score": 0.0, "merge_labels": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of r00 and r01, params.yaml, a model, and what it found in field/: u02 and a copy of r00."""
    folder = tmp_path_factory.mktemp("decide")
    write_data_set(folder / "set", 2)
    write_data_set(folder / "others", 3)
    (folder / "field/pond").mkdir(parents=True)
    shutil.copy(folder / "others/recordings/r02.wav", folder / "field/pond/u02.wav")
    shutil.copy(folder / "set/recordings/r00.wav", folder / "field")
    write_params(folder / "params.yaml", Path("set"), infer=INFER)
    save_random_model(folder / "model.pt", AUDIO, ["high", "low", "mid"])
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch, capsys):
    """A function that decides in a project, and returns the decisions and what was printed."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    infer(recordings="field", model="model.pt", output="found")
    capsys.readouterr()

    def run(decision, class_name=None, **flags):
        decide(decision, class_name, by=flags.pop("by", "me"), **flags)
        file = Path("data/decisions.csv")
        return pd.read_csv(file) if file.exists() else pd.DataFrame(), capsys.readouterr().out

    return run


def labels_of(class_name):
    """Recording, start and score of what was found, best first."""
    with ResultsStore("found") as store:
        rows = [(name, *label) for name in store.recordings() for label in store.labels(name)]
    table = pd.DataFrame(rows, columns=["recording", "name", "start", "end", "score"])
    return table[table["name"] == class_name].sort_values(["score", "recording"], ascending=[False, True])


def test_the_best_found_sounds_are_accepted_and_the_next_time_those_after_them(run):
    decisions, shown = run("accept", "low", labels="found", max=2, reason="clear")
    best = labels_of("low")
    assert len(best) >= 4
    again, _ = run("accept", "low", labels="found", max=2)
    assert again["start_time"].tolist() == pytest.approx(best["start"][:4].tolist())
    assert again["recording"].tolist() == best["recording"][:4].tolist()
    assert decisions.loc[0, ["class", "decision", "by", "reason"]].tolist() == ["low", "accept", "me", "clear"]
    assert "2 sounds: accepted -> data/decisions.csv" in shown


def test_recordings_of_no_data_set_are_kept_where_training_finds_them(run):
    run("accept", "low", labels="found", recording="u02")
    assert [path.name for path in Path("data/reviewed/recordings").iterdir()] == ["u02.wav"]
    run("reject", "low", labels="found", recording="r00")  # which the training set has, as the same file elsewhere
    assert [path.name for path in Path("data/reviewed/recordings").iterdir()] == ["u02.wav"]


def test_a_recording_is_known_by_its_content_whatever_it_is_called(run):
    shutil.move("field/r00.wav", "field/dawn.wav")
    infer(recordings="field", model="model.pt", output="found")
    decisions, _ = run("accept", "low", labels="found", recording="dawn")
    assert set(decisions["recording"]) == {"r00"} and not Path("data/reviewed").exists()


def test_a_recording_that_is_gone_is_no_other_one(run):
    Path("field/r00.wav").unlink()
    with pytest.raises(AudioError, match=r"field/r00\.wav: cannot be read"):
        run("accept", "low", labels="found")


def test_a_decision_is_changed_by_a_later_one_about_the_same_stretch(run):
    run("accept", "low", recording="r00", start="1", end="2")
    decisions, _ = run("reject", "low", recording="r00", start="1", end="2")
    assert decisions["decision"].tolist() == ["accept", "reject"]


def test_a_class_is_accepted_where_another_was_annotated(run):
    decisions, shown = run("accept", "high", to="mid", annotated=True, recording="r00")
    assert set(decisions["class"]) == {"mid"} and "accepted as mid" in shown


def test_another_recording_of_the_same_name_is_no_recording_of_the_data_set(run):
    shutil.copy("others/recordings/r02.wav", "field/r00.wav")
    with pytest.raises(EarshotError, match=r"field/r00\.wav: another recording is called r00, too"):
        run("accept", "low", labels="found")
    assert not Path("data/decisions.csv").exists()


def test_scores_limit_what_is_decided(run):
    scores = labels_of("mid")["score"]
    decisions, _ = run("reject", "mid", labels="found", max_score=str(scores.median()), min_score=str(scores.min()))
    assert len(decisions) == (scores <= scores.median()).sum()


def test_annotations_are_relabelled(run):
    decisions, shown = run("relabel", "high", to="low", annotated=True, recording="r01")
    events = pd.read_csv("set/annotations.csv").query("`class` == 'high' and recording == 'r01'")
    assert decisions["start_time"].tolist() == events["start_time"].tolist()
    assert set(decisions["new_class"]) == {"low"} and "relabelled as low" in shown


def test_what_the_pictures_show_is_decided(run):
    for name in ("r00-0.50.png", "001~r01-1.25~0.912.png", "u02-0.00.png"):
        path = Path("pictures", name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with pytest.raises(EarshotError, match=r"u02-0.00.png: no such recording \(.*u02\)"):
        run("reject", "low", pictures="pictures")
    decisions, _ = run("reject", "low", pictures="pictures", recordings="field")
    rows = decisions[["recording", "start_time", "end_time"]].sort_values("recording")
    assert rows.to_numpy().tolist() == [["r00", 0.5, 1.0], ["r01", 1.25, 1.75], ["u02", 0.0, 0.5]]
    assert Path("data/reviewed/recordings/u02.wav").is_file()


def test_a_stretch_is_decided(run):
    decisions, _ = run("accept", "low", recording="r00", start="0:01", end="2.5")
    assert decisions[["recording", "start_time", "end_time"]].to_numpy().tolist() == [["r00", 1.0, 2.5]]


def test_the_last_decisions_of_a_person_are_taken_back(run):
    run("accept", "low", labels="found", max=3)
    run("accept", "mid", labels="found", max=2, by="you")
    assert "3 decisions: nothing taken back" in run("undo", dry_run=True)[1]
    decisions, shown = run("undo")
    assert len(decisions) == 8 and "3 decisions: taken back" in shown
    assert "2 decisions in" in run("list")[1]
    with pytest.raises(EarshotError, match="holds no decisions of me"):
        run("undo")


def test_decisions_are_listed_and_a_dry_run_decides_nothing(run):
    _, shown = run("accept", "low", labels="found", max=2, dry_run=True)
    assert "2 sounds: nothing decided" in shown and not Path("data/decisions.csv").exists()
    run("accept", "low", labels="found", max=2)
    _, shown = run("list")
    assert "2 decisions in data/decisions.csv" in shown and shown.count("accept") == 2


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ({"class_name": "bat", "labels": "found"}, "bat is no class of the model"),
        ({"class_name": "bat", "annotated": True}, "bat: is no class of the data sets|bat is no class"),
        ({}, "needs --class"),
        ({"class_name": "low", "to": "low"}, "must be another class"),
        ({"class_name": "low", "annotated": True, "pictures": "p"}, "exclude each other"),
        ({"class_name": "low", "recording": "0O1", "start": 0, "end": 2}, "is in neither data set"),
        ({"class_name": "low", "max": -1}, "must be 0 or more"),
        ({"class_name": "low", "start": "1", "end": "2"}, "go with --recording"),
        ({"class_name": "low", "recording": "r00", "start": "2", "end": "1"}, "with the end after the start"),
        ({"class_name": "low", "labels": "nowhere"}, "nowhere"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(run, flags, fault):
    with pytest.raises((SettingsError, DataSetError, EarshotError), match=fault.replace(" is no", ".*is no")):
        run("accept", **flags)
