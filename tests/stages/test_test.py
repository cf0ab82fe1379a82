"""The stage that tests a model on clips."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from lib.core.errors import DataSetError, EarshotError, SettingsError
from lib.evaluation.clip_metrics import FIGURES, clip_figures
from lib.inference.predictor import Predictor
from stages import test as stage
from tests.models.builders import save_random_model
from tests.recordings import write
from tests.training_data.builders import AUDIO, PITCHES, RATE, tones

CLASSES = list(PITCHES)
PICTURES = {"roc.png", "metric_hist.png", "confusion.png", "instrument_metrics.png"}
ALL = {"save_roc": True, "save_metric_hist": True, "save_confusion": True, "save_instrument_metrics": True}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Clips as in IRMAS's testing part and in a table, with a model of their classes, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    Path("params.yaml").write_text(json.dumps({"infer": {"overlap": 0.25, "device": "cpu", "precision": "32"}}))
    save_random_model(tmp_path / "models/model.pt", AUDIO, CLASSES)
    for folder, first in (("irmas", 0), ("table", 4)):
        for number in range(first, first + 4):
            samples, events = tones(number, 2.0 + number % 3, tuple(CLASSES))
            write(tmp_path / folder / f"clip {number}.wav", samples, RATE)
            names = sorted({name for name, *_ in events})
            if folder == "irmas":
                Path(folder, f"clip {number}.txt").write_text("\n".join(names))
    Path("table/hello.csv").write_text("file,high,low\n" + "".join(f"clip {n}.wav,1,{n % 2}\n" for n in range(4, 8)))
    return tmp_path


@pytest.fixture
def run(project, capsys):
    """A function that runs the stage, and returns what it prints to stdout and stderr."""

    def run(paths: str, **flags) -> tuple[str, str]:
        stage.test(dataset_paths=paths, model="models", out_dir="out", **flags)
        return capsys.readouterr()

    return run


def read(name: str):
    return json.loads(Path("out", name).read_text())


def test_a_clip_scores_the_mean_of_its_windows_and_is_found_from_the_threshold_on(run):
    run("irmastest:irmas", threshold=0.4)
    predictor = Predictor("models/model.pt", "cpu")
    predictor.cfg.infer.overlap = 0.25
    scores, found = read("scores.json"), read("predictions.json")
    assert list(scores) == list(found) == [f"clip {number}" for number in range(4)]
    for name, of_clip in scores.items():
        windows, _, _ = predictor.get_recording_scores(f"irmas/{name}.wav")
        assert list(of_clip) == CLASSES
        np.testing.assert_allclose(list(of_clip.values()), windows.mean(axis=0), atol=2e-6)
        assert found[name] == {label: int(score >= 0.4) for label, score in of_clip.items()}


def test_figures_are_of_all_data_sets_together_and_of_each(run):
    out, _ = run("irmastest:irmas,csv:table/hello.csv")
    scores = np.array([list(row.values()) for row in read("scores.json").values()], np.float32)
    truth = np.zeros((8, 3), bool)
    for row in range(4):
        listed = Path(f"irmas/clip {row}.txt").read_text().splitlines()
        truth[row] = [name in listed for name in CLASSES]
    truth[4:, CLASSES.index("high")], truth[[5, 7], CLASSES.index("low")] = True, True
    content = yaml.safe_load(Path("out/metrics.yaml").read_text())
    of_sets = content.pop("data_sets")
    assert content == pytest.approx(
        {"n_clips": 8, "threshold": 0.5} | clip_figures(truth, scores, 0.5, CLASSES), abs=1e-6
    )
    assert set(of_sets) == {"irmastest:irmas", "csv:table/hello.csv"}
    assert of_sets["csv:table/hello.csv"] == pytest.approx(
        {"n_clips": 4} | clip_figures(truth[4:], scores[4:]), abs=1e-6
    )
    assert all(name in out for name in (*FIGURES, "irmastest:irmas", "all")) and "8 of 8 clips (8 new)" in out


def test_a_class_is_known_by_its_code_where_the_model_calls_it_so(run):
    run("irmastest:irmas")
    before = Path("out/metrics.yaml").read_text()
    Path("irmas/classes.csv").write_text("name,code,alt_name\nTreble,high,\nBass,B,low\nmid,,\n")
    _, err = run("irmastest:irmas")
    assert Path("out/metrics.yaml").read_text() == before and "does not know" not in err


def test_nothing_is_computed_twice_and_another_clip_costs_only_itself(run):
    run("irmastest:irmas")
    before = Path("out/scores.json").read_bytes()
    assert "(0 new)" in run("irmastest:irmas")[0] and Path("out/scores.json").read_bytes() == before
    assert "(0 new)" in run("irmastest:irmas,inference:irmas", threshold=0.3, **{"infer.min_score": 0.2})[0]
    shutil.copy("table/clip 4.wav", "irmas")
    Path("irmas/clip 4.txt").write_text("low\n")
    assert "5 of 5 clips (1 new)" in run("irmastest:irmas")[0]


def test_recordings_without_labels_get_predictions_and_no_figures(run):
    run("irmastest:irmas", **ALL)
    out, _ = run("table")
    assert not [*Path("out").rglob("*.png")]
    assert list(read("predictions.json")) == [f"clip {number}" for number in range(4, 8)]
    assert not Path("out/metrics.yaml").exists() and "accuracy" not in out
    run("inference:table,irmastest:irmas")
    assert len(read("predictions.json")) == 8
    assert yaml.safe_load(Path("out/metrics.yaml").read_text())["n_clips"] == 4


def test_pictures_are_drawn_as_they_are_wanted(run):
    run("irmastest:irmas", **ALL)
    assert {path.name for path in Path("out").glob("*.png")} == PICTURES
    assert sorted(path.stem for path in Path("out/confusion").iterdir()) == sorted(CLASSES)
    run("irmastest:irmas", save_roc=True)
    assert [path.name for path in Path("out").rglob("*.png")] == ["roc.png"]
    with pytest.raises(SettingsError, match="--save_roc: needs labels"):
        run("inference:irmas", save_roc=True)


def test_the_flags_of_the_document_are_taken_as_they_are(project, run_stage):
    flags = ["--dataset-paths", f"irmastest:{project}/irmas", "--ckpt", project / "models/model.pt"]
    flags += ["--batch-size", "1", "--num-workers", "1", "--device", "cpu", "--out-dir", project / "out"]
    status, out, err = run_stage("test", *flags, "--params", project / "params.yaml", "--save-instrument-metrics")
    assert status == 0, err
    assert "4 of 4 clips" in out and (project / "out/instrument_metrics.png").is_file()


def test_data_test_is_what_is_tested_by_default(project, capsys):
    Path("params.yaml").write_text(json.dumps({"data": {"test": {"path": "irmas", "include": "clip [12]"}}}))
    stage.test(model="models", out_dir="out", **{"infer.overlap": 0.25})
    assert "2 of 2 clips" in capsys.readouterr().out
    assert yaml.safe_load(Path("out/metrics.yaml").read_text())["n_clips"] == 2


def test_a_clip_that_cannot_be_read_is_named_and_the_others_are_tested(run):
    Path("irmas/clip 1.wav").write_bytes(b"RIFF")
    Path("irmas/clip 2.txt").write_text("high\nbanjo\n")
    out, err = run("irmastest:irmas")
    assert "3 of 4 clips" in out and "clip 1" not in read("scores.json")
    assert len([line for line in err.splitlines() if "clip 1" in line]) == 1 and "does not know: banjo" in err
    with pytest.raises(EarshotError, match=r"out: 1 of 4 clips could not be analyzed; recordings\.csv"):
        run("irmastest:irmas", **{"infer.strict": True})


def test_figures_that_no_clip_has_are_told_and_those_of_an_earlier_call_are_removed(run):
    run("irmastest:irmas", save_roc=True)
    for path in Path("irmas").glob("*.wav"):
        path.write_bytes(b"RIFF")
    out, err = run("irmastest:irmas,inference:table", save_roc=True)
    assert "4 of 8 clips" in out and "out: no clip with labels could be analyzed" in err
    assert not Path("out/roc.png").exists() and not Path("out/metrics.yaml").exists()


def test_where_nothing_can_be_tested_the_error_says_why(run):
    for path in Path("irmas").glob("*.wav"):
        path.write_bytes(b"RIFF")
    with pytest.raises(EarshotError, match="out: 4 of 4 clips could not be analyzed"):
        run("irmastest:irmas")
    with pytest.raises(DataSetError, match="nowhere: no such folder"):
        run("irmastest:nowhere")
