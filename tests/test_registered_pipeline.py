"""Registered models in the pipeline that DVC runs: whoever makes a copy, dvc.lock records what was used."""

import copy
import subprocess
from pathlib import Path

import pytest
import yaml

from lib.config.inputs import REGISTERED
from tests.models.builders import save_random_model
from tests.pipeline_copy import COMMAND, PipelineCopy
from tests.training_data.builders import AUDIO, PITCHES

CHANGE = ("--set-param", "infer.model=registry:pond frogs@champion")
STATUS = ("dvc", "status", "--with-deps", "evaluate")
UP_TO_DATE = "Data and pipelines are up to date.\n"


class RegisteredPipeline(PipelineCopy):
    """A project that was committed after its first `dvc repro`, and two models, of which the first is the champion."""

    def __init__(self, folder: Path, mlflow_uri: str) -> None:
        super().__init__(folder, mlflow_uri, with_git=True)
        pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
        del pipeline["stages"]["sample"]  # which would have to run, or DVC could not apply an experiment
        (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
        self.repro()
        self.call("git", "add", ".")
        self.call("git", "commit", "-qm", "recognizer")
        for seed in (1, 2):
            model = folder.parent / f"{seed}.pt"
            save_random_model(model, AUDIO, list(PITCHES), seed=seed)
            self.registry("import", str(model), "--name", "pond frogs")

    def registry(self, *arguments: str) -> None:
        self.call("python", "-m", "stages.registry", *arguments)

    def start_over(self) -> None:
        """The commit, without a copy; the first model is the champion."""
        self.call("git", "reset", "-q", "--hard")
        self.call("git", "clean", "-qfdX", str(REGISTERED))
        self.call("dvc", "checkout", "-q", "evaluate", "--with-deps")
        self.registry("alias", "pond frogs/1", "champion")

    def recorded(self) -> dict[str, str]:
        """MD5 of the copies that each stage depends on."""
        deps = {
            (name, dep["path"]): dep["md5"] for name, stage in self.locked().items() for dep in stage.get("deps", ())
        }
        return {name: md5 for (name, path), md5 in deps.items() if path.startswith(str(REGISTERED))}


@pytest.fixture(scope="module")
def registered(tmp_path_factory, mlflow_uri) -> RegisteredPipeline:
    return RegisteredPipeline(tmp_path_factory.mktemp("registered") / "project", mlflow_uri)


@pytest.fixture
def project(registered) -> RegisteredPipeline:
    registered.start_over()
    return registered


def test_an_experiment_that_makes_a_copy_leaves_all_up_to_date_and_a_moved_name_starts_infer_again(project):
    before = project.recorded()
    printed = project.call("dvc", "exp", "run", *CHANGE, "evaluate")
    assert "Running stage 'infer'" in printed and "Running stage 'train'" not in printed
    first = project.recorded()
    assert first["train"] == before["train"] and first["infer"] == first["evaluate"] != before["infer"]
    assert project.call(*STATUS) == UP_TO_DATE

    project.registry("alias", "pond frogs/2", "champion")
    printed, _ = project.repro()
    assert "6 of 6 recordings (6 new)" in printed
    second = project.recorded()
    assert second["infer"] == second["evaluate"] != first["infer"]
    assert project.call(*STATUS) == UP_TO_DATE


def test_an_experiment_in_a_folder_of_its_own_records_the_model_that_it_used(project):
    project.call("dvc", "exp", "run", "--temp", "--name", "apart", *CHANGE, "evaluate")
    assert not list((project.folder / REGISTERED / "infer").glob("pond*"))
    project.call("dvc", "exp", "apply", "apart")
    recorded = project.recorded()
    assert recorded["infer"] == recorded["evaluate"] != recorded["train"]
    project.call("python", "-m", "stages.store")  # as in `make run`
    assert project.call(*STATUS) == UP_TO_DATE


def test_dvc_repro_in_a_fresh_clone_makes_the_copy_and_without_the_store_ends_in_one_line(project, tmp_path):
    project.call("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = copy.copy(project)
    clone.folder = tmp_path / "clone"
    # As `dvc pull` leaves it: what was made is there, but for the copies, which no remote has.
    clone.call("cp", "-r", str(project.folder / ".dvc/cache"), ".dvc/")
    clone.call("dvc", "checkout", "-q", "train", "--with-deps")
    params = clone.folder / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("  model: ''", "  model: registry:pond frogs@champion", 1))
    assert params.read_text() != text

    other = clone.environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/other.db"}
    failed = subprocess.run(COMMAND, cwd=clone.folder, env=other, capture_output=True, text=True)
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("error:")]
    assert line.endswith("does not exist; set tracking.uri or MLFLOW_TRACKING_URI to the store that has the model")
    assert failed.returncode

    clone.repro()
    recorded = clone.recorded()
    assert recorded["infer"] == recorded["evaluate"] != recorded["train"]
    assert clone.call(*STATUS) == UP_TO_DATE
