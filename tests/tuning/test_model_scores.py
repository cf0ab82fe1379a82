import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lib.config.load import load_settings, with_changes
from lib.config.schema import DataSetSettings
from lib.core.errors import EarshotError
from lib.formats.data_sets import read_data_set
from lib.models.model_files import model_files
from lib.results.results_store import ResultsStore
from lib.tuning.model_scores import read_scores, score_models
from stages.infer import infer
from tests.evaluation.example import write_results
from tests.tuning.ensemble_project import NAMES
from tests.tuning.ensemble_project import files as files
from tests.tuning.ensemble_project import project as project


@pytest.fixture
def inputs(project):
    """The settings, and the test set."""
    return load_settings("params.yaml"), read_data_set(DataSetSettings(path="test"))


@contextmanager
def unreadable(recording: Path):
    """A recording that cannot be read, though its size and time say that it has not changed."""
    content, status = recording.read_bytes(), recording.stat()
    for replaced in (b"x" * len(content), content):
        recording.write_bytes(replaced)
        os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))
        if replaced != content:
            yield


def test_the_score_is_that_of_infer_with_the_ensemble(project, inputs):
    settings, data_set = inputs
    scored, _ = score_models(model_files("models"), data_set, settings, "kept")
    for index, model in enumerate(model_files("models")):
        infer(model=str(model), output=f"labels/{index}")
    again, _ = read_scores(sorted((project / "labels").glob("[0-9]")), data_set, settings, "scratch")
    assert (again.units.truth == scored.units.truth).all() and scored.units.truth.any()
    for one, other in zip(scored.scores, again.scores, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    infer(model="models", output="together")
    whole, _ = read_scores([Path("together")], data_set, settings, "scratch")
    np.testing.assert_allclose(np.mean(scored.scores, axis=0), whole.scores[0], atol=1e-5)


def test_models_that_were_scored_are_not_scored_again_whatever_the_settings_of_labels(project, inputs):
    settings, data_set = inputs
    models = model_files("models")
    first, _ = score_models(models, data_set, settings, "kept")
    with unreadable(project / "test/recordings/1.wav"):
        again, _ = score_models(models, data_set, with_changes(settings, {"infer.min_score": 0.2}), "kept")
    assert all(np.array_equal(one, other) for one, other in zip(first.scores, again.scores, strict=True))


def test_models_that_were_scored_are_not_scored_again_however_the_recordings_are_named(project, inputs):
    for path in ("test", project / "test", project / "models/../test"):
        score_models([Path("models/0.pt")], read_data_set(DataSetSettings(path=str(path))), inputs[0], "kept")
    assert len(list((project / "kept").glob("*/results"))) == 1


def test_scores_need_no_room_in_the_folder_for_temporary_files(project, inputs, monkeypatch):
    """It is memory on many machines."""
    score_models(model_files("models"), inputs[1], inputs[0], "kept")
    monkeypatch.setattr(tempfile, "tempdir", str(project / "missing"))
    scored, _ = score_models(model_files("models"), inputs[1], inputs[0], "kept")
    assert len(scored.scores) == 4


def test_a_recording_that_fails_once_is_left_out_and_tried_again(project, inputs):
    """It fails with one model only, so that the models' scores are of different recordings until it is read again."""
    settings, data_set = inputs
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


def test_scores_that_nobody_used_for_a_month_are_removed(project, inputs):
    def score(model: int) -> set[Path]:
        """The stores after a run with that model."""
        score_models([Path(f"models/{model}.pt")], data_set, settings, "kept")
        return {file.parent for file in (project / "kept").glob("*/results/results.db")}

    def let_pass(days: int) -> None:
        for file in (project / "kept").glob("*/results/results.db"):
            moment = file.stat().st_mtime - days * 24 * 3600
            os.utime(file, (moment, moment))

    settings, data_set = inputs
    data_set.recordings.pop("bad")  # it is tried again in each run, which writes to the store
    (project / "kept/notes").mkdir(parents=True)
    (project / "kept/notes/mine.txt").write_text("of somebody else")
    used = score(0)
    unused = score(1) - used
    let_pass(days=20)
    assert score(0) == used | unused
    let_pass(days=20)
    stores = score(2)
    assert stores >= used and not stores & unused and len(stores) == 2
    assert (project / "kept/notes/mine.txt").exists()


@pytest.mark.parametrize(
    ("seconds", "message"),
    [({"0": 6.0, "2": 6.0}, "recording 0 is not in both"), ({"1": 6.0, "2": 3.0}, "recording 2 has other windows")],
)
def test_scores_of_other_recordings_or_windows_do_not_fit(project, inputs, seconds, message):
    for folder, known in {"a": {"1": 6.0, "2": 6.0}, "b": seconds}.items():
        write_results(project / folder, known, classes=tuple(NAMES)).close()
    settings, data_set = inputs
    with pytest.raises(EarshotError, match=f"b: does not fit a: {message}"):
        read_scores([Path("a"), Path("b")], data_set, settings, "scratch")
