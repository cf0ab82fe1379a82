import pandas as pd
import pytest

from lib.core.errors import EarshotError
from lib.models.description import read_description
from stages.ensemble import ensemble
from stages.infer import infer
from tests.models.builders import save_random_model
from tests.tuning.ensemble_project import AUDIO
from tests.tuning.ensemble_project import files as files
from tests.tuning.ensemble_project import project as project


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
    assert f"best macro_pr: {table.at[0, 'score']:.4f} (" in shown.out
    assert len([line for line in shown.err.splitlines() if "bad.wav" in line]) == 1


def test_ensembles_are_chosen_by_other_recordings_if_these_are_given(project):
    paths = {"recordings": "test/recordings", "annotations": "test/annotations.csv"}
    ensemble(models="models", size=1, report="given.csv", **paths, **{"data.test.path": "nowhere"})
    ensemble(models="models", size=1, report="test.csv")
    assert (project / "given.csv").read_bytes() == (project / "test.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 9}, "size = 9: there are only 4 models"),
        ({"size": 0}, "size and trials must be at least 1"),
        ({"metric": "loss"}, "metric = 'loss': must be one of"),
        ({"models": "nowhere"}, "nowhere: holds no model"),
        ({"output": "models"}, "models: holds models already"),
        ({"scores": "labels", "output": "best"}, "--output: needs models"),
        ({"recordings": "there"}, "--recordings, --annotations: go together"),
        ({"models": "models,others"}, "others/9.pt: has other classes or audio settings than"),
        ({"models": "models,of_sound"}, "of_sound/9.pt: takes other input (waveforms, for frontend mfcc) than"),
    ],
)
def test_what_cannot_work_is_one_line(project, arguments, message):
    if "others" in arguments.get("models", ""):
        save_random_model(project / "others/9.pt", AUDIO, "ab")
    if "of_sound" in arguments.get("models", ""):
        names = read_description(project / "models/0.pt").class_names
        save_random_model(project / "of_sound/9.pt", AUDIO, names, frontend="mfcc")
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
    assert "1 ensemble of 2 models" in output and len(pd.read_csv(project / "ensemble.csv")) == 1
