"""A registered model in place of a path, wherever a command line takes a model."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from lib.core.errors import EarshotError, SettingsError
from stages.calibrate import calibrate
from stages.embed import embed
from stages.ensemble import ensemble
from stages.export import export
from stages.find_lr import find_lr
from stages.registry import registry
from stages.search import search
from stages.test import test as measure_clips
from stages.tune import tune
from tests.models.builders import save_random_model
from tests.server.server_process import ServerProcess, server_params
from tests.tracking.tiny import PLAIN, QUICK
from tests.training_data.builders import AUDIO, PITCHES, extract_folder, write_data_set, write_params

MODEL, OTHER = "registry:heard frogs@champion", "registry:heard frogs/2"
NAME = "heard frogs"


@pytest.fixture(scope="module")
def made(tmp_path_factory, mlflow_uri) -> Path:
    """A project in whose store a model is registered twice, with other weights; the first is the champion."""
    folder = tmp_path_factory.mktemp("registered")
    extract_folder(write_data_set(folder / "set", 4), folder / "training.db")
    sections = {"train": QUICK | PLAIN, "infer": PLAIN | {"overlap": 0.25}, "evaluate": {"min_seconds": 0.2}}
    tracking, tune = {"uri": mlflow_uri, "experiment": NAME}, {"storage": f"sqlite:///{folder}/tuning.db"}
    params = write_params(folder / "params.yaml", folder / "set", tracking=tracking, tune=tune, **sections)
    for seed in (1, 2):
        save_random_model(folder / f"frogs{seed}.pt", AUDIO, list(PITCHES), seed=seed)
        registry("import", str(folder / f"frogs{seed}.pt"), name=NAME, params=str(params))
    registry("alias", f"{NAME}/1", "champion", params=str(params))
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return tmp_path


def test_export_writes_it_as_onnx(project):
    export(model=MODEL, output="onnx")
    assert [path.name for path in Path("onnx").iterdir()] == ["frogs1.onnx"]


def test_embed_and_search_use_it(project):
    embed(recordings="set/recordings", model=MODEL, output="embeddings.db")
    sound = {"query": "set/recordings/r00.wav", "store": "embeddings.db", "output": "search"}
    search(**sound, model="registry:heard frogs/1")
    assert len(pd.read_csv("search/results.csv")) > 0
    with pytest.raises(EarshotError, match="its embeddings were made by another model than"):
        search(**sound, model=OTHER)


def test_test_scores_clips_with_it(project):
    measure_clips(model=MODEL, out_dir="test")
    scores = json.loads(Path("test/scores.json").read_text())
    measure_clips(model="frogs1.pt", out_dir="same")
    assert scores == json.loads(Path("same/scores.json").read_text())


def test_ensembles_are_made_of_several(project):
    ensemble(models=f"{MODEL},{OTHER}", size=2, output="best", report="ensemble.csv", keep="scores")
    assert sorted(path.name for path in Path("best").glob("*.pt")) == ["frogs1.pt", "frogs2.pt"]


def test_tune_varies_inference_with_it(project, capsys):
    Path("space.yaml").write_text(yaml.safe_dump([{"name": "infer.merge_labels", "choices": [True, False]}]))
    tune(model=MODEL, space="space.yaml", output="tuning", metric="micro_roc")
    assert "2 trials of study" in capsys.readouterr().out


def test_find_lr_starts_from_it(project, capsys):
    find_lr(database="training.db", output="find_lr", num_batches=15, load_checkpoint=MODEL)
    assert "suggested learning rate" in capsys.readouterr().out


def test_calibrate_changes_no_registered_model(project):
    with pytest.raises(SettingsError) as error:
        calibrate(model=MODEL)
    copying = "python -m stages.registry fetch 'heard frogs@champion' --output data/copy"
    assert str(error.value) == (
        f"--model {MODEL}: cannot be changed, since registered models stay as they are; give a copy of it, as "
        f"`{copying}` makes"
    )


def test_serve_answers_with_it_and_with_no_other(project, mlflow_uri):
    tracking = {"uri": mlflow_uri, "experiment": NAME}
    params = server_params(project / "server.yaml", project)
    content = json.loads(params.read_text()) | {"tracking": tracking}
    params.write_text(json.dumps(content))
    (project / "data").mkdir()
    with ServerProcess(params, "--model_dir", MODEL, environment={"DVC_ROOT": str(project)}) as server:
        assert server.client.get("/models").json() == ["frogs1.pt"]
        assert server.predict(project / "set/recordings/r00.wav", model="frogs1.pt").status_code == 200


@pytest.mark.parametrize("stage", [export, measure_clips, ensemble, tune])
def test_a_model_that_is_not_registered_is_one_line(project, stage):
    flag = "models" if stage is ensemble else "model"
    with pytest.raises(
        EarshotError, match=r"^registry:none@champion: is not a registered model of sqlite:///.*; give one"
    ):
        stage(**{flag: "registry:none@champion"}, **({"tune.space": "[]"} if stage is tune else {}))
