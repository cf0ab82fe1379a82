import json

import pytest
import yaml

from lib.errors import SettingsError
from stages.tune import tune
from tests.database.builders import AUDIO
from tests.models.builders import save_random_model
from tests.tracking.tiny import write_project


@pytest.fixture
def project(tmp_path):
    write_project(tmp_path)
    save_random_model(tmp_path / "model.pt", AUDIO, ["high", "low", "mid"])
    return tmp_path


def test_tune_shows_trials_best_first_and_how_to_train_with_the_best(project, capsys):
    space = project / "space.yaml"
    space.write_text(yaml.safe_dump([{"name": "infer.merge_labels", "choices": [True, False]}]))
    arguments = {"params": str(project / "params.yaml"), "model": str(project / "model.pt"), "space": str(space)}
    tune(**arguments, output=str(project / "tuning"), metric="micro_roc")
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].startswith("trial 1: micro_roc 0.")
    assert lines[2].split() == ["trial", "micro_roc", "time", "infer.merge_labels"]
    assert [line.split()[0] for line in lines[3:5]] == ["1", "2"]  # equal scores: in the order of the plan
    assert "use it with: dvc exp run -S infer.merge_labels=true" in printed
    names = {"metrics-summary.csv", "metrics-details.csv", "tuning.png", "work"}
    assert {path.name for path in (project / "tuning").iterdir()} == names

    tune(**arguments, output=str(project / "tuning"), metric="micro_roc")
    again = capsys.readouterr().out.splitlines()
    assert again[0].split() == ["trial", "micro_roc", "time", "infer.merge_labels"]  # nothing was tried anew
    assert again == lines[2:]


def test_faults_of_the_command_line_are_one_line(project, run_stage):
    params = f"--params={project}/params.yaml"
    for arguments, message in (
        (["--metric=f1"], "tune.metric = 'f1': must be one of macro_pr"),
        ([f"--recordings={project}"], "--recordings and --annotations go together"),
        (["--space=none.yaml"], "none.yaml: cannot be read (No such file or directory)"),
        (["--tune.space=[{name: epoch, choices: [1]}]"], "epoch is no setting that can be tuned"),
    ):
        status, _, errors = run_stage("tune", params, *arguments)
        assert status == 1
        assert len(errors.splitlines()) == 1 and message in errors


def test_space_of_the_settings_file_is_checked_with_it(project):
    content = json.loads((project / "params.yaml").read_text())
    content["tune"]["space"] = [{"name": "dropout", "type": "float", "bounds": [0.1, 0.2]}]
    (project / "params.yaml").write_text(json.dumps(content))
    with pytest.raises(SettingsError, match="dropout: give bounds"):
        tune(params=str(project / "params.yaml"))
