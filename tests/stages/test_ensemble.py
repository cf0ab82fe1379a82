import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from lib.config.load import load_settings
from lib.config.schema import AudioSettings, DataSetSettings
from lib.core.errors import EarshotError
from lib.formats.data_sets import read_data_set
from lib.models.model_files import model_files
from lib.results.results_store import ResultsStore
from lib.tuning.model_scores import read_scores, score_models
from stages.ensemble import ensemble
from stages.infer import infer
from tests.evaluation.example import write_results
from tests.models.builders import save_random_model
from tests.training_data.builders import PITCHES, RATE, tones

AUDIO = AudioSettings(
    sampling_rate=16000, spec_duration=1.0, spec_height=32, win_length=512, hop_length=160, max_freq=8000.0
)
NAMES = ["low", "middle", "high"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four models with random weights, and a test set of three recordings and one that cannot be read."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "test/recordings").mkdir(parents=True)
    rows = ["recording,class,start_time,end_time"]
    for index in range(3):
        samples, _ = tones(index, 6.0, tuple(PITCHES))
        soundfile.write(folder / f"test/recordings/{index}.wav", samples, RATE)
        rows += [f"{index},{NAMES[index]},{index},{index + 2}", f"{index},{NAMES[index - 1]},3,4.5"]
    (folder / "test/recordings/bad.wav").write_text("no sound")
    (folder / "test/annotations.csv").write_text("\n".join(rows) + "\n")
    for index in range(4):
        save_random_model(folder / f"models/{index}.pt", AUDIO, NAMES, seed=index)
    content = {
        "data": {"test": {"path": "test"}},
        "audio": AUDIO.model_dump(),
        "extract": {"overlap": 0.5},
        "infer": {"overlap": 0.5, "device": "cpu", "csv_min_score": 0.0, "precision": "32"},
        "evaluate": {"bootstrap": 20},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def project(files, tmp_path, monkeypatch):
    """A copy of the files, which is the working folder."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def unreadable(recording: Path):
    """A recording that cannot be read, though its size and time say that it has not changed."""
    content, status = recording.read_bytes(), recording.stat()
    for replaced in (b"x" * len(content), content):
        recording.write_bytes(replaced)
        os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))
        if replaced != content:
            yield


def test_the_best_ensemble_is_written_and_copied(project, capsys):
    ensemble(models="models", size=2, smaller=True, output="best", report="ensemble.csv")
    table = pd.read_csv(project / "ensemble.csv")
    assert table["size"].value_counts().to_dict() == {2: 6, 1: 4}
    assert table["score"].is_monotonic_decreasing
    best = [name.split("/")[-1] for name in table.at[0, "checkpoints"].split("; ")]
    assert sorted(path.name for path in (project / "best").glob("*.pt")) == best
    assert len(list((project / "best").glob("*.json"))) == len(best)
    assert table["low"].notna()[0] and table["low"].notna().sum() == 2
    shown = capsys.readouterr()
    assert f"best macro_pr_auc: {table.at[0, 'score']:.4f} (" in shown.out
    assert "bad.wav" in shown.err and len(shown.err.strip().splitlines()) == 1


def test_the_score_is_that_of_infer_with_the_ensemble(project):
    settings, data_set = load_settings("params.yaml"), read_data_set(DataSetSettings(path="test"))
    scored, _ = score_models(model_files("models"), data_set, settings, "kept")
    for index, model in enumerate(model_files("models")):
        infer(model=str(model), output=f"labels/{index}")
    again, _ = read_scores(sorted((project / "labels").glob("[0-9]")), data_set, settings)
    assert (again.units.truth == scored.units.truth).all() and scored.units.truth.any()
    for one, other in zip(scored.scores, again.scores, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    infer(model="models", output="together")
    whole, _ = read_scores([Path("together")], data_set, settings)
    np.testing.assert_allclose(np.mean(scored.scores, axis=0), whole.scores[0], atol=1e-5)


def test_models_that_were_scored_are_not_scored_again_whatever_the_settings_of_labels(project):
    ensemble(models="models", size=2, report="ensemble.csv", keep="kept")
    first = (project / "ensemble.csv").read_bytes()
    with unreadable(project / "test/recordings/1.wav"):
        ensemble(models="models", size=2, report="ensemble.csv", keep="kept", **{"infer.min_score": 0.2})
    assert (project / "ensemble.csv").read_bytes() == first


def test_a_recording_that_fails_once_is_left_out_and_tried_again(project):
    """It fails with one model only, so that the models' scores are of different recordings until it is read again."""
    settings, data_set = load_settings("params.yaml"), read_data_set(DataSetSettings(path="test"))
    models = model_files("models")
    whole, _ = score_models(models, data_set, settings, "kept")
    kept = np.array([name != "1" for name in whole.units.recordings])[whole.units.recording]
    folder = next((project / "kept").glob("*/results"))
    with ResultsStore(folder) as store:
        store.remove("1")
        store.commit()
    with unreadable(project / "test/recordings/1.wav"):
        fewer, problems = score_models(models, data_set, settings, "kept")
    assert fewer.units.recordings == ["0", "2"]
    assert any("1.wav" in problem.subject for problem in problems)
    for one, other in zip(whole.scores, fewer.scores, strict=True):
        assert np.array_equal(one[kept], other)

    again, _ = score_models(models, data_set, settings, "kept")
    for one, other in zip(whole.scores, again.scores, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_scores_that_nobody_used_for_a_month_are_removed(project):
    (project / "kept/notes").mkdir(parents=True)
    (project / "kept/notes/mine.txt").write_text("of somebody else")
    ensemble(models="models/0.pt", size=1, report="ensemble.csv", keep="kept")
    (old,) = (project / "kept").glob("*/results")
    long_ago = time.time() - 40 * 24 * 3600
    os.utime(old / "results.db", (long_ago, long_ago))
    ensemble(models="models/1.pt", size=1, report="ensemble.csv", keep="kept")
    (new,) = (project / "kept").glob("*/results")
    assert new != old and not old.parent.exists()
    assert (project / "kept/notes/mine.txt").exists()


@pytest.mark.parametrize(
    ("seconds", "message"),
    [({"0": 6.0, "2": 6.0}, "recording 0 is not in both"), ({"1": 6.0, "2": 3.0}, "recording 2 has other windows")],
)
def test_scores_of_other_recordings_or_windows_do_not_fit(project, seconds, message):
    for folder, known in {"a": {"1": 6.0, "2": 6.0}, "b": seconds}.items():
        write_results(project / folder, known, classes=tuple(NAMES)).close()
    settings, data_set = load_settings("params.yaml"), read_data_set(DataSetSettings(path="test"))
    with pytest.raises(EarshotError, match=f"b: does not fit a: {message}"):
        read_scores([Path("a"), Path("b")], data_set, settings)


def test_ensembles_are_chosen_by_other_recordings_if_these_are_given(project):
    paths = {"recordings": "test/recordings", "annotations": "test/annotations.csv"}
    ensemble(models="models", size=1, report="given.csv", **paths, **{"data.test.path": "nowhere"})
    ensemble(models="models", size=1, report="test.csv")
    assert (project / "given.csv").read_bytes() == (project / "test.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 9}, "size = 9: only 4 models are there"),
        ({"size": 0}, "size and trials must be at least 1"),
        ({"metric": "loss"}, "metric = 'loss': must be one of"),
        ({"models": "nowhere"}, "nowhere: holds no model"),
        ({"output": "models"}, "models: holds models already"),
        ({"scores": "labels", "output": "best"}, "--output: needs models"),
        ({"recordings": "there"}, "--recordings and --annotations go together"),
        ({"models": "models,others"}, "others/9.pt: has other classes or audio settings than"),
    ],
)
def test_what_cannot_work_is_one_line(project, arguments, message):
    if "others" in arguments.get("models", ""):
        save_random_model(project / "others/9.pt", AUDIO, "ab")
    with pytest.raises(EarshotError) as caught:
        ensemble(**{"models": "models"} | arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_ensemble_of_scores_that_infer_wrote_runs_from_the_command_line(project, run_stage):
    for model in "01":
        infer(model=f"models/{model}.pt", output=f"labels/{model}")
    scores = ",".join(str(project / "labels" / model) for model in "01")
    paths = (f"--scores={scores}", f"--data.test.path={project}/test", f"--report={project}/ensemble.csv")
    status, output, errors = run_stage("ensemble", *paths, "--size=2", f"--params={project}/params.yaml")
    assert status == 0, errors
    assert "1 ensembles of 2 models" in output and len(pd.read_csv(project / "ensemble.csv")) == 1
