"""Copies of registered models in the pipeline: when they follow the registry, and what is said where they do not."""

import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dvc.fs import localfs
from dvc.rwlock import rwlock

from lib.config.inputs import REGISTERED
from lib.config.load import load_settings
from lib.config.schema import Settings
from lib.core.errors import EarshotError
from lib.tracking.mlflow_runs import complete_run, training_run
from lib.tracking.mlflow_store import mlflow_client, open_experiment
from lib.tracking.registry.model_changes import archive_model, set_alias
from lib.tracking.registry.model_queries import model_at
from lib.tracking.registry.model_versions import create_version, remove_model
from lib.tracking.registry.model_weights import collected_weights, store_model
from lib.tracking.registry.registered_inputs import inference_model, update_copies
from stages.registry import registry as registry_stage
from stages.store import store as store_stage
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, write_params
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]


class Project:
    """The project in the current folder, whose infer.model is NAME@champion: NAME/1 of NAME/1 and NAME/2."""

    def __init__(self, name: str, tracking: dict) -> None:
        self.name, self.subject = name, f"infer.model = registry:{name}@champion"
        model = {"model": f"registry:{name}@champion", "overlap": 0.25}
        write_params(Path("params.yaml"), Path("set"), tracking=tracking, infer=model)
        Path("dvc.yaml").touch()
        self.client, experiment_id = open_experiment(self.settings.tracking)
        for number in (1, 2):
            save_random_model(Path(f"{number}/model.pt"), AUDIO, seed=number)
            with collected_weights(Path(str(number))) as folder:
                model_id = store_model(self.client, experiment_id, "model", folder)
            create_version(self.client, name, model_id, "registered")
        self.move(1)
        self.place = REGISTERED / f"infer/{name}@champion"

    @property
    def settings(self) -> Settings:
        return load_settings()

    def move(self, version: int) -> None:
        """Move the alias as MLflow's page or another machine does."""
        set_alias(self.client, model_at(self.client, f"{self.name}/{version}").id, "champion")

    def copied(self) -> str:
        """The version that the copy is of, which is whole."""
        origin = json.loads((self.place / ".registry.json").read_text())
        version = origin["model"].rpartition("/")[2]
        assert (self.place / "model.pt").read_bytes() == Path(version, "model.pt").read_bytes()
        return version


@pytest.fixture
def project(tmp_path, monkeypatch, mlflow_uri, request) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    name = re.sub(r"\W", "-", request.node.name)
    return Project(name, {"uri": mlflow_uri, "experiment": name})


def test_a_stage_of_the_registry_that_moves_a_name_brings_the_copy_up_to_date(project, capsys):
    update_copies(project.settings)
    assert project.copied() == "1"
    registry_stage("alias", f"{project.name}/2", "champion", json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["version"] == 2
    told = f"{project.subject}: is now {project.name}/2, used was {project.name}/1; run `make run`"
    assert printed.err == f"warning: {told}\n" and project.copied() == "2"
    registry_stage("tag", f"{project.name}/1", "pond")
    assert capsys.readouterr().err == "" and project.copied() == "2"


def test_a_change_in_the_registry_makes_no_copy_that_is_not_in_use(project):
    registry_stage("alias", f"{project.name}/2", "champion")
    assert not REGISTERED.exists()


def test_a_change_in_another_store_leaves_the_project_s_copies_alone(project, tmp_path, capsys):
    update_copies(project.settings)
    (tmp_path / "other.pt").write_bytes(Path("2/model.pt").read_bytes())
    uri = f"sqlite:///{tmp_path}/other.db"
    registry_stage("import", "other.pt", name=project.name, **{"tracking.uri": uri})
    registry_stage("alias", f"{project.name}/1", "champion", **{"tracking.uri": uri})
    assert "is now" not in capsys.readouterr().err and project.copied() == "1"


def test_evaluate_says_in_the_pipeline_what_became_of_the_models_that_it_used(project, monkeypatch):
    for name in ("metrics/report", "data/labels"):
        Path(name).mkdir(parents=True)
    Path("metrics/report/figures.json").write_text('{"f1": 0.5}')
    Path("metrics/report/classes.csv").write_text("class,pr_auc,best_f1,recall\na,0.25,1,\n")
    Path("dvc.lock").write_text("stages: {}")
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    path, model_id = inference_model(project.settings)

    def told() -> list[str]:
        return [*map(str, complete_run(project.settings, models=path, input_model=model_id))]

    assert told() == []
    project.move(2)
    moved = f"{project.subject}: is now {project.name}/2, used was {project.name}/1; run `make run`"
    assert told() == [moved] and project.copied() == "1"
    archive_model(project.client, model_at(project.client, f"{project.name}/2").id)
    unarchive = f"run `python -m stages.registry unarchive {project.name}/2`"
    assert told() == [moved, f"{project.subject}: is archived; name another model, or {unarchive}"]
    for version in (1, 2):
        model = model_at(project.client, f"{project.name}/{version}")
        remove_model(project.client, model, force=True)
    Path("metrics/report/figures.json").write_text('{"f1": 0.6}')  # which calls for another run
    (line,) = told()
    assert line.startswith(f"{project.subject}: is not a registered model of sqlite:///")
    runs = project.client.search_runs([project.client.get_experiment_by_name(project.name).experiment_id])
    assert {(run.info.status, run.data.metrics["test/f1"]) for run in runs} == {("FINISHED", 0.5), ("FINISHED", 0.6)}


def test_a_training_that_starts_from_a_model_that_was_removed_is_tracked(project, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train")
    with training_run(project.settings, "key", input_model="m-0123") as log:
        log.log_epoch({"epoch": 1, "train_loss": 0.5})
    assert log.problems == []


def test_an_archived_model_is_used_with_a_warning(project, capsys):
    registry_stage("archive", f"{project.name}/1")
    for use in (inference_model, update_copies):
        capsys.readouterr()
        use(project.settings)
        remedy = f"name another model, or run `python -m stages.registry unarchive {project.name}/1`"
        assert capsys.readouterr().err == f"warning: {project.subject}: is archived; {remedy}\n"


@pytest.mark.parametrize("stage", ["", "infer"])
def test_a_model_that_was_removed_ends_in_one_line_where_there_is_no_copy(project, monkeypatch, stage):
    registry_stage("remove", f"{project.name}/1")
    if stage:
        monkeypatch.setenv("DVC_STAGE", stage)
    with pytest.raises(EarshotError) as error:
        inference_model(project.settings)
    line = str(error.value)
    assert line.startswith(f"{project.subject}: is not a registered model of sqlite:///") and "\n" not in line
    assert "`python -m stages.registry list` shows, or set tracking.uri to the store that has it" in line
    with pytest.raises(EarshotError, match="is not a registered model of"):
        store_stage()


def test_removing_a_model_that_is_in_use_says_so_and_leaves_the_copy(project, capsys):
    update_copies(project.settings)
    registry_stage("remove", f"{project.name}/1")
    assert capsys.readouterr().err.startswith(f"warning: {project.subject}: is not a registered model of")
    assert project.copied() == "1"


def test_looking_a_model_up_makes_neither_a_store_nor_an_experiment(project, tmp_path, mlflow_uri):
    other = project.settings.model_copy(deep=True)
    other.tracking.experiment = f"{project.name} other"
    inference_model(other)
    assert mlflow_client(mlflow_uri).get_experiment_by_name(other.tracking.experiment) is None
    other.tracking.uri = f"sqlite:///{tmp_path}/none.db"
    missing = rf"{tmp_path}/none.db: the MLflow store does not exist; set tracking.uri or "
    for use in (inference_model, update_copies):
        with pytest.raises(EarshotError, match=missing):
            use(other)
    assert not (tmp_path / "none.db").exists()


def test_a_project_that_was_moved_with_its_store_finds_its_models(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "before").mkdir()
    monkeypatch.chdir(tmp_path / "before")
    project = Project("frogs", {})
    shutil.rmtree(".earshot")  # what was fetched before
    monkeypatch.chdir(tmp_path)
    shutil.move("before", "after")
    monkeypatch.chdir(tmp_path / "after")
    monkeypatch.setenv("DVC_STAGE", "infer")
    assert inference_model(project.settings).path == project.place and project.copied() == "1"


def test_two_that_copy_at_once_leave_one_whole_copy(project):
    with ThreadPoolExecutor() as pool:
        assert len({tuple(lines) for lines in pool.map(update_copies, [project.settings] * 4)}) == 1
    assert project.copied() == "1"
    shown = [path for path in project.place.parent.iterdir() if not path.name.startswith(".")]
    assert shown == [project.place]


COPYING = """
def copytree(*arguments, copy=shutil.copytree, **options):
    copy(*arguments, **options)
    wait_to_be_killed()
shutil.copytree = copytree
"""
REMOVING = """
def rmtree(path, *arguments, remove=shutil.rmtree, **options):
    if (Path(path) / "model.pt").exists() and "registry" in Path(path).parts:
        (Path(path) / "model.pt").unlink()
        wait_to_be_killed()
    remove(path, *arguments, **options)
shutil.rmtree = rmtree
"""
KILLED = f"""
import shutil, sys, time
from pathlib import Path
sys.path.insert(0, {str(PROJECT)!r})
from stages.store import store
def wait_to_be_killed():
    Path("waiting").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize(("step", "before", "left"), [(COPYING, "", ""), (COPYING, "1", "1"), (REMOVING, "1", "")])
def test_a_process_that_was_killed_leaves_a_whole_copy_or_none(project, step, before, left):
    """before, left: version of the copy before it, and after it was killed; "": there is none."""
    if before:
        update_copies(project.settings)
        project.move(2)
    process = subprocess.Popen([sys.executable, "-c", f"{KILLED}{step}store()"])
    wait_until(lambda: Path("waiting").exists())
    process.kill()
    process.wait()
    assert project.copied() == left if left else not project.place.exists()
    update_copies(project.settings)
    assert project.copied() == ("2" if before else "1")
    assert not list(project.place.parent.glob(".*.part"))


def test_a_copy_that_a_running_pipeline_reads_is_not_replaced(project, capsys):
    update_copies(project.settings)
    Path(".dvc/tmp").mkdir(parents=True)
    reading = [str(REGISTERED.absolute() / "infer")]
    with rwlock(str(Path(".dvc/tmp").absolute()), localfs, "dvc repro", reading, [], False):
        update_copies(project.settings)  # nothing to do
        registry_stage("alias", f"{project.name}/2", "champion")
        told = "stays as it is, since a pipeline that is running uses it; wait for its end, then run `make run`"
        assert f"warning: {project.place}: {told}" in capsys.readouterr().err.replace(f"{Path.cwd()}/", "")
        with pytest.raises(EarshotError, match="since a pipeline that is running uses it"):
            store_stage()
        assert project.copied() == "1"
    store_stage()
    assert project.copied() == "2"
