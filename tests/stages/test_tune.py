import pytest
import yaml

from lib.core.errors import SettingsError
from stages.tune import tune
from tests.models.builders import save_random_model
from tests.tracking.tiny import write_project
from tests.training_data.builders import AUDIO


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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
    assert [line.split()[0] for line in lines[4:6]] == ["1", "2"]  # equal scores: in the order of the plan
    assert "use it with: dvc exp run -S infer.merge_labels=true" in printed
    names = {"metrics-summary.csv", "metrics-details.csv", "tuning.png", "work"}
    assert {path.name for path in (project / "tuning").iterdir()} == names

    tune(**arguments, output=str(project / "tuning"), metric="micro_roc")
    assert capsys.readouterr().out.splitlines() == lines[2:]  # nothing was tried again


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--metric=f1", "--metric = 'f1': must be 'macro_pr', "),
        ("--recordings=there", "--recordings, --annotations: go together"),
        ("--space=none.yaml", "none.yaml: cannot be read (No such file or directory)"),
        ("--tune.space=[{name: epoch, choices: [1]}]", "epoch is not a setting that can be tuned"),
        ("--tune.space=[{name: dropout, type: float, bounds: [0.1, 0.2]}]", "dropout: give bounds"),
    ],
)
def test_invalid_arguments_are_one_line(project, argument, message):
    name, _, value = argument.removeprefix("--").partition("=")
    with pytest.raises(SettingsError) as caught:
        tune(params=str(project / "params.yaml"), **{name: value})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_storage_that_cannot_be_used_is_one_line_without_its_password(project):
    with pytest.raises(SettingsError) as caught:
        tune(
            params=str(project / "params.yaml"),
            model=str(project / "model.pt"),
            storage="postgresql://me:secret@nowhere/studies",
        )
    message = str(caught.value)
    assert "postgresql://me:***@nowhere/studies" in message and "secret" not in message and "\n" not in message
