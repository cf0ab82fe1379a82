import pytest
import soundfile

from lib.config.schema import InferSettings, Settings
from lib.inference.analyzer import analyze
from lib.results.external_recordings import update_recordings
from lib.results.manifest import ExternalRun, manifest_of_predictions
from lib.results.prediction_writer import PredictionWriter
from lib.results.predictions import Prediction
from lib.results.recording_identity import is_of_file
from lib.results.results_store import ResultsStore
from tests.evaluation.example import write_results
from tests.models.builders import save_random_model
from tests.recordings import noise
from tests.training_data.builders import AUDIO, RATE


@pytest.fixture
def folder(tmp_path):
    """Recordings of the same name in `set/a` and `set/b`, and a copy of the first in `copy/a`."""
    for name, seed in {"set/a": 1, "set/b": 2, "copy/a": 1}.items():
        (tmp_path / name).mkdir(parents=True)
        soundfile.write(tmp_path / name / "dawn.wav", noise(2.0, RATE, seed=seed), RATE)
    return tmp_path


def same(store, folder, name) -> bool:
    """Whether the result of dawn is of the file in that folder."""
    return is_of_file(
        store.manifest, store.recordings()["dawn"], folder / name / "dawn.wav", folder / name.split("/")[0]
    )


def test_results_of_infer_are_of_the_content_that_was_analyzed(folder):
    infer = InferSettings(overlap=0.25, workers=1, device="cpu", precision="32")
    save_random_model(folder / "model.pt", AUDIO)
    analyze({"dawn": folder / "set/a/dawn.wav"}, folder / "model.pt", Settings(infer=infer), folder / "labels")
    with ResultsStore(folder / "labels") as store:
        assert [same(store, folder, name) for name in ("set/a", "copy/a", "set/b")] == [True, True, False]


def test_predictions_of_an_external_run_are_of_the_content_of_the_data_set(folder):
    manifest = manifest_of_predictions([{"name": "a"}], ExternalRun(model_id="m", name="m"))
    with ResultsStore(folder / "run", manifest) as store:
        update_recordings(store, {"dawn": folder / "set/a/dawn.wav"})
        PredictionWriter(store).write([Prediction("a", "dawn", 0.0, 1.0, 0.5)], overwrite=False)
        assert [same(store, folder, name) for name in ("set/a", "copy/a", "set/b")] == [True, True, False]


def test_results_that_depend_on_the_place_are_of_the_file_that_was_analyzed(folder):
    with write_results(folder / "labels", {"dawn": 2}, recordings=folder / "set/a", occurrences="place") as store:
        assert [same(store, folder, name) for name in ("set/a", "copy/a", "set/b")] == [True, True, False]
        (folder / "set/a").rename(folder / "moved")  # then only the path within the data set tells
        assert [same(store, folder, name) for name in ("copy/a", "set/b")] == [True, False]
        assert same(store, folder, "set/a")  # a file that cannot be read
