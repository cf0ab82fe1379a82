"""suggest as its user runs it: on results of infer, a training database and a store of embeddings, then decide."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from lib.core.errors import EarshotError, SettingsError
from lib.results.results_store import ResultsStore
from stages.decide import decide
from stages.embed import embed
from stages.extract import extract
from stages.infer import infer
from stages.suggest import suggest
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, write_data_set, write_params

INFER = {"overlap": 0.25, "device": "cpu", "precision": "32", "workers": 1, "min_score": 0.0, "merge_labels": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project: training data, a model, and what it found in u06 and u07; it embedded u99, a copy of u07, too."""
    folder = tmp_path_factory.mktemp("suggest")
    write_data_set(folder / "set", 6)
    write_data_set(folder / "others", 8)
    (folder / "field").mkdir()
    for name, copy in (("r06", "u06"), ("r07", "u07")):
        shutil.copy(folder / f"others/recordings/{name}.wav", folder / f"field/{copy}.wav")
    write_params(folder / "params.yaml", Path("set"), infer=INFER, train={"multi_label": True})
    save_random_model(folder / "model.pt", AUDIO, ["high", "low", "mid"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        extract(database="data/training.db")
        infer(recordings="field", model="model.pt", output="found")
        shutil.copy("field/u07.wav", "field/u99.wav")
        embed(recordings="field", model="model.pt", output="data/embeddings.db")
        embed(database="data/training.db", model="model.pt")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")


def suggested(kind: str, **flags) -> pd.DataFrame:
    suggest(kind, output="out.csv", **flags)
    return pd.read_csv("out.csv", keep_default_na=False)


def decided() -> pd.DataFrame:
    return pd.read_csv("data/decisions.csv", keep_default_na=False)


def test_a_wrong_annotation_is_suggested_and_decided_by_the_table(project):
    table = pd.read_csv("set/annotations.csv")
    wrong = table.index[table["class"] == "high"][2]
    table.loc[wrong, "class"] = "low"
    table.to_csv("set/annotations.csv", index=False)
    extract(database="data/wrong.db")  # without embeddings: what spectrograms look like tells
    found = suggested("label_errors", database="data/wrong.db", max=6)
    event = table.loc[wrong]
    there = found[(found["recording"] == event["recording"]) & (found["start_time"] < event["end_time"])]
    there = there[there["end_time"] > event["start_time"]]
    assert {("low", "reject"), ("high", "accept")} & set(zip(there["class"], there["decision"], strict=True))
    n = (found["decision"] == "accept").sum()
    assert n
    decide("accept", suggestions="out.csv", by="me")
    assert len(decided()) == n and set(decided()["decision"]) == {"accept"}
    again = suggested("label_errors", database="data/wrong.db", max=6)
    assert not set(zip(again["recording"], again["start_time"], again["class"], strict=True)) & set(
        zip(decided()["recording"], decided()["start_time"], decided()["class"], strict=True)
    )


def test_the_same_file_twice_and_windows_that_are_alike_are_duplicates(project):
    found = suggested("duplicates", store="data/embeddings.db", similarity=1.0, max=3)
    assert found.loc[0, ["recording", "why", "decision"]].tolist() == ["u99", "the same file as u07", ""]


def test_uncertain_windows_are_those_nearest_to_a_half(project):
    found = suggested("uncertain", labels="found", class_name="LOW", max=3)
    with ResultsStore("found") as store:
        column = store.manifest.class_list.names.index("low")
        distances = sorted(abs(store.scores(name)[:, column] - 0.5).min() for name in store.recordings())
    scores = found["why"].str.removeprefix("scores ").astype(float)
    assert set(found["class"]) == {"low"} and abs(scores[0] - 0.5) == pytest.approx(distances[0], abs=1e-3)
    assert (abs(scores - 0.5).diff().dropna() >= -1e-3).all()
    decide("reject", suggestions="out.csv", by="me")
    again = suggested("uncertain", labels="found", class_name="LOW", max=3)
    places = [set(zip(each["recording"], each["start_time"], strict=True)) for each in (found, again)]
    assert len(again) == 3 and not places[0] & places[1]


def test_new_and_likely_windows_come_from_the_store_and_need_one_model(project):
    assert len(suggested("novel", store="data/embeddings.db", max=3)) == 3
    likely = suggested("likely", store="data/embeddings.db", class_name="mid", max=4)
    assert set(likely["class"]) == {"mid"} and set(likely["recording"]) <= {"u06", "u07", "u99"}
    save_random_model(Path("other.pt"), AUDIO, ["high", "low", "mid"], seed=5)
    embed(recordings="field", model="other.pt", output="data/other.db")
    for kind in ("novel", "likely"):
        with pytest.raises(EarshotError, match="by another model"):
            suggest(kind, store="data/other.db", class_name="mid" if kind == "likely" else None)


def test_a_verification_sample_is_checked_by_pictures_and_tells_the_precision(project, capsys):
    sample = suggested("verification", labels="found", max=12, plot="pictures")
    assert sample.groupby("class").size().tolist() == [12, 12, 12]
    assert suggested("verification", labels="found", max=12).equals(sample)
    pictures = sorted(Path("pictures").iterdir())
    assert len(pictures) == len(sample)
    for picture in pictures[::2]:
        picture.unlink()
    rest = sample.iloc[1::2]
    decide("accept", pictures="pictures", recordings="field", by="me")
    about = ["recording", "start_time", "end_time", "class"]
    assert sorted(decided()[about].itertuples(index=False, name=None)) == sorted(
        rest[about].itertuples(index=False, name=None)
    )
    decide("reject", suggestions="out.csv", class_name="low", by="me")
    capsys.readouterr()
    suggest("precision", class_name="low", labels="found", precision=0.5)
    shown = capsys.readouterr().out
    assert "low: 12 of 22 detections checked" in shown


@pytest.mark.parametrize(
    ("kind", "flags", "fault"),
    [
        ("similar", {}, "must be one of diverse, duplicates"),
        ("novel", {}, "needs --store"),
        ("likely", {"store": "data/embeddings.db"}, "needs --class"),
        ("uncertain", {"labels": "found", "class_name": "bat"}, "bat.* is no class of the model of found"),
        ("label_errors", {"folds": "."}, "model.pt|cross-validation"),
        ("label_errors", {"max": 0}, "must be 1 or more"),
        ("precision", {"labels": "found"}, "nothing was decided"),
    ],
)
def test_what_cannot_be_suggested_is_one_error(project, kind, flags, fault):
    with pytest.raises((SettingsError, EarshotError), match=fault):
        suggest(kind, **flags)
