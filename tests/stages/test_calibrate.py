import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from lib.config import Audio
from lib.errors import EarshotError
from lib.inference.output import read_labels
from lib.models.calibration import apply_platt, choose_thresholds
from lib.models.checkpoint import load_checkpoint, save_checkpoint
from lib.models.recognizer import build
from stages.calibrate import calibrate as calibrate_stage
from stages.infer import infer
from tests.database.builders import PITCHES, RATE, tones
from tests.evaluation.example import write_project
from tests.evaluation.folders import write_labels, write_recordings
from tests.models.builders import describe, save_random_model


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A test set, what was found in it, and a model of the same classes."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, n_classes=3, n_recordings=12)
    model = describe(Audio(spec_height=32), [f"class {i}" for i in range(3)])
    save_checkpoint(folder / "model.pt", build(model), model)
    return folder


def calibrate(run_stage, project, output, *arguments):
    paths = ("--labels", project / "labels", "--data.test.path", project / "test", "--output", output)
    return run_stage("calibrate", *paths, "--precision", 0.6, "--cutoff", 0.2, *arguments)


def test_a_calibration_is_shown_written_and_stored_with_the_model(run_stage, project, tmp_path):
    for suffix in (".pt", ".json"):
        shutil.copy(project / f"model{suffix}", tmp_path)
    status, shown, errors = calibrate(run_stage, project, tmp_path / "out", "--model", tmp_path / "model.pt")
    assert status == 0, errors
    content = json.loads((tmp_path / "out/calibration.json").read_text())
    assert content["precision"] == 0.6 and "threshold" in shown and "stored with" in shown
    a, b = content["coefficient"], content["intercept"]
    assert (tmp_path / f"out/calibration-{a:.2f}-{b:.2f}.png").is_file()
    stored = load_checkpoint(tmp_path / "model.pt")[1].calibration
    assert (stored.coefficient, stored.intercept, stored.thresholds) == (a, b, content["thresholds"])
    assert stored.thresholds


def test_scores_that_are_scaled_already_give_the_same_calibration(run_stage, project, tmp_path):
    scaled = tmp_path / "scaled"
    shutil.copytree(project / "labels", scaled / "labels")
    manifest = yaml.safe_load((scaled / "labels/manifest.yaml").read_text())
    (scaled / "labels/manifest.yaml").write_text(yaml.safe_dump(manifest | {"scaling": {"model.pt": [1.5, -0.5]}}))
    table = pd.read_csv(scaled / "labels/scores.csv", dtype={"recording": str})
    table["score"] = apply_platt(table["score"].to_numpy(), 1.5, -0.5)
    table.to_csv(scaled / "labels/scores.csv", index=False)
    contents = []
    for name, labels in (("plain", project / "labels"), ("scaled", scaled / "labels")):
        status, shown, errors = calibrate(run_stage, project, tmp_path / name, "--labels", labels)
        assert status == 0, errors
        assert ("undone" in shown) == (name == "scaled")
        contents.append(json.loads((tmp_path / name / "calibration.json").read_text()))
    plain, undone = contents
    assert undone["thresholds"] == pytest.approx(plain["thresholds"], abs=1e-4)
    assert undone["coefficient"] == pytest.approx(plain["coefficient"], abs=1e-4)


@pytest.fixture
def listening(tmp_path, monkeypatch):
    """Two models, recordings, and what both together and the first alone score in them."""
    audio = Audio(sampling_rate=16000, spec_duration=1.0, spec_height=32, win_length=512, hop_length=160, max_freq=8000)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test/recordings").mkdir(parents=True)
    for index in range(3):
        samples, _ = tones(index, 60.0, tuple(PITCHES))
        soundfile.write(tmp_path / f"test/recordings/{index}.wav", samples, RATE)
    for index in range(2):
        save_random_model(tmp_path / f"models/{index}.pt", audio, "abc", seed=index)
    settings = {"overlap": 0.0, "device": "cpu", "precision": "32", "csv_min_score": 0.0, "merge_labels": False}
    content = {"audio": audio.model_dump(), "infer": settings, "extract": {"overlap": 0.5}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content | {"data": {"test": {"path": "test"}}}))
    for model, output in (("models", "together"), ("models/0.pt", "alone")):
        infer(recordings="test/recordings", model=model, output=output)


def annotate(labels):
    """Annotate what these scores are probabilities of; returns recording, class and start of each annotation."""
    scores = pd.read_csv(f"{labels}/scores.csv", dtype={"recording": str})
    heard = scores[np.random.default_rng(1).random(len(scores)) < scores["score"] ** 2]
    heard.rename(columns={"name": "class"}).drop(columns="score").to_csv("test/annotations.csv", index=False)
    return set(zip(heard["recording"], heard["name"], heard["start_time"], strict=True))


@pytest.mark.parametrize(("model", "labels"), [("models", "together"), ("models/0.pt", "alone")])
def test_infer_with_a_calibrated_model_is_as_precise_as_was_promised(listening, model, labels):
    there = annotate(labels)
    calibrate_stage(labels=labels, model=model, output="out", precision=0.8, cutoff=0.1)
    thresholds = json.loads(Path("out/calibration.json").read_text())["thresholds"]
    infer(recordings="test/recordings", model=model, output="found")
    found = {
        (name, label.name, label.start_time)
        for name in "012"
        for label in read_labels("found", name)
        if label.name in thresholds
    }
    scores = pd.read_csv(f"{labels}/scores.csv", dtype={"recording": str})
    expected = set()
    for name, rows in scores.groupby("name"):
        keys = list(zip(rows["recording"], rows["name"], rows["start_time"], strict=True))
        truth, score = np.array([key in there for key in keys]), rows["score"].to_numpy()
        lowest = choose_thresholds(truth[:, None], score[:, None], 0.8)[0]
        assert np.isnan(lowest) == (name not in thresholds)
        expected |= {key for key, value in zip(keys, score, strict=True) if value >= lowest}
    assert found == expected and len(thresholds) > 1
    for name in thresholds:
        of_class = [key in there for key in found if key[1] == name]
        assert np.mean(of_class) >= 0.8


def test_a_model_that_did_not_make_the_labels_is_refused(listening):
    annotate("together")
    with pytest.raises(EarshotError, match="scores are of 2 models, and --model has 1"):
        calibrate_stage(labels="together", model="models/0.pt", output="out")


def test_annotations_and_label_files_of_any_program_will_do(run_stage, tmp_path):
    rng = np.random.default_rng(1)
    scores = rng.random(100)
    write_labels(tmp_path / "labels", {"r": [(3 * i, "frog", score) for i, score in enumerate(scores)]})
    write_recordings(tmp_path, {"r": 300})
    rows = [f"r,frog,{3 * i},{3 * i + 3}" for i, score in enumerate(scores) if rng.random() < score]
    (tmp_path / "annotations.csv").write_text("\n".join(["recording,class,start_time,end_time", *rows, "r,toad,0,1"]))
    arguments = ("--labels", tmp_path / "labels", "--annotations", tmp_path / "annotations.csv")
    status, shown, errors = run_stage("calibrate", *arguments, "--output", tmp_path / "out", "--precision", 0.999)
    assert status == 0, errors
    assert "frog" in shown and "does not know: toad" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--precision", "2"], "--precision 2.0: must be a number in 0..1"),
        (["--recordings", "x"], "goes with --annotations"),
        (["--cutoff", "1"], "lower --cutoff"),
        (["--model", "nowhere.pt"], "nowhere.pt"),
        (["--labels", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(run_stage, project, tmp_path, arguments, said):
    status, _, errors = calibrate(run_stage, project, tmp_path, *arguments)
    lines = [line for line in errors.splitlines() if line.startswith("error")]
    assert status == 1 and len(lines) == 1 and said in lines[0], errors


def test_help_says_what_the_stage_takes(run_stage):
    status, shown, _ = run_stage("calibrate", "--help")
    assert status == 0 and "--precision" in shown
