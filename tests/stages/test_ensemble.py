import csv
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from lib.config import Audio, DataSet, load_settings
from lib.datasets.contents import read_data_set
from lib.errors import EarshotError
from lib.evaluation.model_scores import read_scores, score_models
from lib.models.files import model_files
from stages.ensemble import ensemble
from stages.infer import infer
from tests.database.builders import PITCHES, RATE, tones
from tests.models.builders import save_random_model

AUDIO = {
    "sampling_rate": 16000,
    "spec_duration": 1.0,
    "spec_height": 32,
    "win_length": 512,
    "hop_length": 160,
    "max_freq": 8000.0,
}
NAMES = ["low", "middle", "high"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Four models with random weights, and a test set of three recordings, one of which cannot be read."""
    (tmp_path / "test/recordings").mkdir(parents=True)
    rows = ["recording,class,start_time,end_time"]
    for index in range(3):
        samples, _ = tones(index, 6.0, tuple(PITCHES))
        soundfile.write(tmp_path / f"test/recordings/{index}.wav", samples, RATE)
        rows += [f"{index},{NAMES[index]},{index},{index + 2}", f"{index},{NAMES[index - 1]},3,4.5"]
    (tmp_path / "test/recordings/bad.wav").write_text("no sound")
    (tmp_path / "test/annotations.csv").write_text("\n".join(rows) + "\n")
    for index in range(4):
        save_random_model(tmp_path / f"models/{index}.pt", Audio(**AUDIO), NAMES, seed=index)
    content = {
        "data": {"test": {"path": str(tmp_path / "test")}},
        "audio": AUDIO,
        "extract": {"overlap": 0.5},
        "infer": {"overlap": 0.5, "device": "cpu", "csv_min_score": 0.0, "precision": "32"},
        "evaluate": {"bootstrap": 20},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_best_ensemble_is_found_written_and_copied(project, capsys):
    ensemble(models="models", size=2, smaller=True, output="best", report="ensemble.csv")
    rows = rows_of(project / "ensemble.csv")
    assert [int(row["size"]) for row in rows].count(1) == 4 and len(rows) == 4 + 6
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    best = rows[0]["checkpoints"].split("; ")
    assert sorted(path.name for path in (project / "best").glob("*.pt")) == [name.split("/")[-1] for name in best]
    assert len(list((project / "best").glob("*.json"))) == len(best)
    assert rows[0]["low"] and sum(bool(row["low"]) for row in rows) == 2
    shown = capsys.readouterr()
    assert f"{scores[0]:.4f}" in shown.out and "bad: left out of the evaluation" in shown.err


def test_the_score_is_that_of_infer_with_the_ensemble(project):
    settings = load_settings("params.yaml")
    contents = read_data_set(DataSet(path="test"))
    found, _ = score_models(model_files("models"), contents, settings, project / "kept")
    for index, model in enumerate(model_files("models")):
        infer(model=str(model), output=f"labels/{index}")
    folders = sorted((project / "labels").iterdir())
    again, _ = read_scores(folders, contents, settings, project / "kept")
    assert (again.units.truth == found.units.truth).all() and found.units.truth.any()
    for one, other in zip(found.scores, again.scores, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    infer(model="models", output="together")
    whole, _ = read_scores([project / "together"], contents, settings, project / "kept")
    np.testing.assert_allclose(np.mean(found.scores, axis=0), whole.scores[0], atol=1e-5)


def test_models_that_were_scored_are_not_scored_again(project, capsys):
    ensemble(models="models", size=2, report="ensemble.csv", keep="kept")
    files = {path: path.stat().st_mtime_ns for path in (project / "kept").glob("*.f32")}
    first = (project / "ensemble.csv").read_bytes()
    ensemble(models="models", size=2, report="ensemble.csv", keep="kept")
    assert {path: path.stat().st_mtime_ns for path in (project / "kept").glob("*.f32")} == files and len(files) == 4
    assert (project / "ensemble.csv").read_bytes() == first


def test_a_recording_that_fails_once_is_left_out_and_tried_again(project, capsys):
    """It fails with one model only, so that the models' scores are of different recordings until they are made anew."""
    settings, recording = load_settings("params.yaml"), project / "test/recordings/1.wav"
    contents, files = read_data_set(DataSet(path="test")), model_files("models")
    whole, _ = score_models(files, contents, settings, project / "kept")
    before = [np.array(scores) for scores in whole.scores]
    index = next((project / "kept").glob("*.json"))
    entries = json.loads(index.read_text())
    rows = [k for k, name in enumerate(whole.units.recordings) if name != "1"]
    kept = np.isin(whole.units.recording, rows)
    scores = np.fromfile(index.with_suffix(".f32"), np.float32).reshape(len(kept), -1)
    scores[kept].tofile(index.with_suffix(".f32"))
    entries["1"] = {"seconds": None, "status": "failed", "reason": "the disk was away"}
    index.write_text(json.dumps(entries))

    sound = recording.read_bytes()
    status = recording.stat()
    recording.write_bytes(b"x" * len(sound))
    os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))  # it is taken for the file that it was
    fewer, problems = score_models(files, contents, settings, project / "kept")
    assert fewer.units.recordings == ["0", "2"]
    assert any(problem.subject == "1" and "the disk was away" in problem.reason for problem in problems)
    for one, other in zip(before, fewer.scores, strict=True):
        assert np.array_equal(one[kept], other)

    recording.write_bytes(sound)
    os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))
    again, _ = score_models(files, contents, settings, project / "kept")
    for one, other in zip(before, again.scores, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_scores_that_nobody_used_for_a_month_go(project):
    ensemble(models="models", size=1, report="ensemble.csv", keep="kept")
    old, *others = sorted((project / "kept").glob("*.f32"))
    long_ago = time.time() - 40 * 24 * 3600
    for file in (old, *others):
        os.utime(file, (long_ago if file == old else time.time(), long_ago))
    (project / "kept/notes.f32").write_text("of somebody else")
    os.utime(project / "kept/notes.f32", (long_ago, long_ago))
    save_random_model(project / "models/new.pt", Audio(**AUDIO), NAMES, seed=9)
    ensemble(models="models/new.pt", size=1, report="ensemble.csv", keep="kept")
    left = {path.name for path in (project / "kept").iterdir()}
    assert left > {file.name for file in others} | {file.with_suffix(".json").name for file in others} | {"notes.f32"}
    assert old.name not in left and old.with_suffix(".json").name not in left


@pytest.mark.parametrize(
    ("fault", "said"), [("recordings", "recording 0 is not in both"), ("windows", "recording 2 has")]
)
def test_scores_of_other_recordings_do_not_fit(project, fault, said):
    seconds = {"a": {"1": 6.0, "2": 6.0}, "b": {"0": 6.0, "2": 6.0} if fault == "recordings" else {"1": 6.0, "2": 3.0}}
    for folder, known in seconds.items():
        (project / folder).mkdir()
        (project / folder / "scores.csv").write_text("recording,name,start_time,end_time,score\n2,low,0,1,0.5\n")
        lines = [f"{name},{value},ok," for name, value in known.items()]
        (project / folder / "recordings.csv").write_text("\n".join(["recording,seconds,status,reason", *lines, ""]))
        classes = [{"name": name, "code": ""} for name in NAMES]
        manifest = {"segment_len": 1.0, "overlap": 0.5, "classes": classes}
        (project / folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    contents, settings = read_data_set(DataSet(path="test")), load_settings("params.yaml")
    with pytest.raises(EarshotError, match=f"b: does not fit a: {said}"):
        read_scores([Path("a"), Path("b")], contents, settings, project / "kept")


def test_ensembles_are_chosen_by_other_recordings_where_these_are_given(project, capsys):
    paths = {"recordings": "test/recordings", "annotations": "test/annotations.csv"}
    ensemble(models="models", size=1, report="given.csv", **paths, **{"data.test.path": "nowhere"})
    ensemble(models="models", size=1, report="test.csv")
    assert (project / "given.csv").read_bytes() == (project / "test.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--size=9"], "size = 9: only 4 models are there"),
        (["--size=0"], "size and trials must be at least 1"),
        (["--metric=loss"], "metric = 'loss': must be one of"),
        (["--models=nowhere"], "nowhere: holds no model"),
        (["--output=models"], "models: holds models already"),
        (["--scores=labels", "--output=best"], "output needs models"),
        (["--recordings=there"], "--recordings and --annotations go together"),
    ],
)
def test_what_cannot_work_is_one_line(project, run_stage, arguments, line):
    arguments = [
        f"--{name}={project / value}" if name in ("models", "output") else f"--{name}={value}"
        for name, value in (argument[2:].split("=") for argument in arguments)
    ]
    models = [] if any("--models" in argument for argument in arguments) else [f"--models={project}/models"]
    status, output, errors = run_stage("ensemble", *arguments, *models, f"--params={project}/params.yaml")
    assert (status, output) == (1, "") and len(errors.splitlines()) == 1
    assert line in errors


def test_models_of_other_classes_do_not_fit(project, run_stage):
    save_random_model(project / "models/9.pt", Audio(**AUDIO), "ab")
    command = [f"--models={project}/models", f"--params={project}/params.yaml", f"--keep={project}/kept"]
    status, _, errors = run_stage("ensemble", *command)
    assert status == 1 and "9.pt: has other classes or audio settings than" in errors
