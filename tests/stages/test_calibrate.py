import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from lib.config.schema import AudioSettings
from lib.core.errors import EarshotError
from lib.models.checkpoints import load_checkpoint, save_checkpoint
from lib.models.class_thresholds import choose_thresholds
from lib.models.platt_scaling import apply_platt
from lib.models.recognizer import build
from lib.models.score_scaling import SAME_SCORE
from lib.results.results_store import PartialResult, ResultsStore
from stages.calibrate import calibrate
from stages.infer import infer
from tests.evaluation.example import write_project
from tests.evaluation.folders import write_labels, write_recordings
from tests.models.builders import describe, save_random_model
from tests.training_data.builders import PITCHES, RATE, tones


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A test set, what was found in it, and a model of the same classes."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, n_classes=3, n_recordings=12)
    model = describe(AudioSettings(spec_height=32), [f"class {i}" for i in range(3)])
    save_checkpoint(folder / "model.pt", build(model), model)
    return folder


def run(project, output, **arguments):
    content = {"data.test.path": str(project / "test"), "output": str(output), "precision": 0.6, "cutoff": 0.2}
    calibrate(**{"labels": str(project / "labels")} | content | arguments)


def test_a_calibration_is_shown_written_and_stored_with_the_model(run_stage, project, tmp_path):
    for suffix in (".pt", ".json"):
        shutil.copy(project / f"model{suffix}", tmp_path)
    paths = ("--labels", project / "labels", "--data.test.path", project / "test", "--model", tmp_path / "model.pt")
    options = ("--output", tmp_path / "out", "--precision", 0.6, "--cutoff", 0.2)
    status, shown, errors = run_stage("calibrate", *paths, *options)
    assert status == 0, errors
    content = json.loads((tmp_path / "out/calibration.json").read_text())
    assert content["precision"] == 0.6 and "threshold" in shown and "stored with" in shown
    stored = load_checkpoint(tmp_path / "model.pt")[1].calibration
    assert stored.model_dump() == {key: content[key] for key in ("coefficient", "intercept", "thresholds")}
    assert stored.thresholds


def test_scores_that_are_scaled_already_give_the_same_calibration(project, tmp_path, capsys):
    with ResultsStore(project / "labels") as store:
        manifest = store.manifest.model_copy(update={"scaling": {"model.pt": (1.5, -0.5)}})
        with ResultsStore(tmp_path / "labels", manifest) as scaled:
            for result in store.recordings().values():
                scores = store.scores(result.name)
                scores = np.where(scores > 0, apply_platt(scores, 1.5, -0.5), 0)
                parts = [PartialResult(scores, [], result.seconds)]
                scaled.write(result.name, result.path, result.name, parts, [], [])
            scaled.commit()
    run(project, tmp_path / "plain")
    assert "undone" not in capsys.readouterr().out
    run(project, tmp_path / "scaled", labels=str(tmp_path / "labels"))
    assert "scores are scaled by 1.5, -0.5 already, which was undone first" in capsys.readouterr().out
    plain, undone = (json.loads((tmp_path / name / "calibration.json").read_text()) for name in ("plain", "scaled"))
    assert undone["thresholds"] == pytest.approx(plain["thresholds"], abs=1e-4)
    assert undone["coefficient"] == pytest.approx(plain["coefficient"], abs=1e-4)


def test_the_seconds_of_an_event_that_count_can_be_chosen(project, tmp_path):
    fitted = []
    for seconds in (0.1, 3.0):
        run(project, tmp_path / str(seconds), min_seconds=seconds)
        fitted.append(json.loads((tmp_path / f"{seconds}/calibration.json").read_text())["coefficient"])
    assert fitted[0] != fitted[1]


@pytest.fixture
def listening(tmp_path, monkeypatch):
    """Two models, recordings, and what both together and the first alone score in them."""
    audio = AudioSettings(
        sampling_rate=16000, spec_duration=1.0, spec_height=32, win_length=512, hop_length=160, max_freq=8000
    )
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


def scores_in(labels) -> pd.DataFrame:
    """recording, name, start_time, end_time, score of each class in each window of a second."""
    with ResultsStore(labels) as store:
        rows = [
            (recording, name, float(start), start + 1.0, score)
            for recording in store.recordings()
            for start, scores in enumerate(store.scores(recording))
            for name, score in zip("abc", scores, strict=True)
        ]
    return pd.DataFrame(rows, columns=["recording", "name", "start_time", "end_time", "score"])


def annotate(labels) -> pd.DataFrame:
    """Annotate what these scores are probabilities of; returns them with a column truth."""
    table = scores_in(labels)
    table["truth"] = np.random.default_rng(1).random(len(table)) < table["score"] ** 2
    events = table[table["truth"]].rename(columns={"name": "class"})
    events[["recording", "class", "start_time", "end_time"]].to_csv("test/annotations.csv", index=False)
    return table


@pytest.mark.parametrize(("model", "labels"), [("models", "together"), ("models/0.pt", "alone")])
def test_infer_with_a_calibrated_model_is_as_precise_as_was_promised(listening, model, labels):
    table = annotate(labels)
    calibrate(labels=labels, model=model, output="out", precision=0.8, cutoff=0.1)
    thresholds = json.loads(Path("out/calibration.json").read_text())["thresholds"]
    infer(recordings="test/recordings", model=model, output="labelled")
    with ResultsStore("labelled") as store:
        labelled = {(name, label.name, label.start_time) for name in "012" for label in store.labels(name)}
    assert len(thresholds) > 1
    for name, rows in table.groupby("name"):
        lowest = choose_thresholds(rows[["truth"]].to_numpy(), rows[["score"]].to_numpy(), 0.8)[0]
        assert np.isnan(lowest) == (name not in thresholds)
        if name in thresholds:
            chosen, allowed = (
                set(zip(part["recording"], part["name"], part["start_time"], strict=True))
                for part in (rows[rows["score"] >= lowest], rows[rows["score"] >= lowest - 2 * SAME_SCORE])
            )
            assert chosen <= {key for key in labelled if key[1] == name} <= allowed
            assert rows[rows["score"] >= lowest]["truth"].mean() >= 0.8


def test_a_model_that_did_not_make_the_labels_is_refused(listening):
    annotate("together")
    with pytest.raises(EarshotError, match="scores are of 2 models, and --model has 1"):
        calibrate(labels="together", model="models/0.pt", output="out")


def test_annotations_and_label_files_of_any_program_will_do(tmp_path, capsys):
    rng = np.random.default_rng(1)
    scores = rng.random(100)
    write_labels(tmp_path / "labels", {"r": [(3 * i, "frog", score) for i, score in enumerate(scores)]})
    write_recordings(tmp_path, {"r": 300})
    rows = [f"r,frog,{3 * i},{3 * i + 3}" for i, score in enumerate(scores) if rng.random() < score]
    (tmp_path / "annotations.csv").write_text("\n".join(["recording,class,start_time,end_time", *rows, "r,toad,0,1"]))
    paths = {"labels": "labels", "annotations": "annotations.csv", "output": "out"}
    calibrate(**{name: str(tmp_path / path) for name, path in paths.items()}, precision=0.999)
    shown = capsys.readouterr()
    assert "frog" in shown.out and "does not know: toad" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": 2.0}, "--precision 2.0: must be a number in 0..1"),
        ({"recordings": "x"}, "goes with --annotations"),
        ({"cutoff": 1.0}, "lower --cutoff"),
        ({"model": "nowhere.pt"}, "nowhere.pt"),
        ({"labels": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(project, tmp_path, arguments, message):
    with pytest.raises(EarshotError) as caught:
        run(project, tmp_path, **arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
