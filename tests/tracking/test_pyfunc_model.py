import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.config.schema import Settings
from lib.core.errors import AudioError
from lib.inference.analyzer import analyze
from lib.results.results_store import ResultsStore
from lib.sound.recordings import recordings_of
from lib.tracking.pyfunc_model import INFER, write_pyfunc
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, write_data_set

COLUMNS = ["recording", "name", "start_time", "end_time", "score"]
PLAIN = {"device": "cpu", "precision": "32", "overlap": 0.25}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[str]:
    folder = write_data_set(tmp_path_factory.mktemp("data") / "set", 2)
    return sorted(str(path) for path in Path(folder, "recordings").iterdir())


def folder_of(path: Path, excluded=(), infer=None, **changes) -> tuple[Path, Settings]:
    """A folder that MLflow can load, and its settings."""
    settings = Settings(infer=PLAIN | (infer or {}))
    save_random_model(path / "weights/model.pt", AUDIO, **changes)
    write_pyfunc(path, "weights", settings, excluded)
    return path, settings


def loaded(path: Path):
    import mlflow

    return mlflow.pyfunc.load_model(str(path))


@pytest.mark.parametrize(
    ("infer", "changes"),
    [({}, {}), ({"merge_labels": False, "min_score": 0.8}, {}), ({}, {"head": "sed", "sed_fps": 8.0})],
)
def test_mlflow_gives_the_labels_of_the_infer_stage(tmp_path, recordings, infer, changes):
    folder, settings = folder_of(tmp_path / "model", infer=infer, **changes)
    table = loaded(folder).predict(recordings)
    assert list(table.columns) == COLUMNS and len(table) > 3
    assert set(table["recording"]) <= {Path(path).stem for path in recordings}
    named, _ = recordings_of(str(Path(recordings[0]).parent))
    analyze(named, folder / "weights", settings, tmp_path / "labels")
    with ResultsStore(tmp_path / "labels") as store:
        expected = [(name, *label) for name in sorted(named) for label in store.labels(name)]
    actual = list(table.itertuples(index=False, name=None))
    assert [row[:4] for row in actual] == [row[:4] for row in expected]
    np.testing.assert_allclose([row[4] for row in actual], [row[4] for row in expected], atol=1e-5)


def test_paths_may_come_as_a_list_a_text_or_a_table(tmp_path, recordings):
    model = loaded(folder_of(tmp_path)[0])
    table = model.predict(recordings)
    pd.testing.assert_frame_equal(model.predict(pd.DataFrame({"path": recordings})), table)
    alone = model.predict(recordings[0])
    pd.testing.assert_frame_equal(alone, table[table["recording"] == Path(recordings[0]).stem])


def test_a_signature_and_an_example_say_what_goes_in_and_out(tmp_path):
    model = loaded(folder_of(tmp_path)[0])
    assert [column.name for column in model.metadata.signature.outputs] == COLUMNS
    assert [str(column.type) for column in model.metadata.signature.inputs] == ["DataType.string"]
    assert model.input_example == ["recording.wav"]
    assert json.loads(model.metadata.get_serving_input(str(tmp_path))) == {"inputs": ["recording.wav"]}


def test_nothing_is_pickled_and_nothing_refers_to_the_project_that_made_it(tmp_path):
    infer = {"model": "data/models/pond.pt", "exclude": "data/inputs/rare.txt", "region": "CA-ON", "week": 20}
    folder, _ = folder_of(tmp_path, infer=infer)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in files if name.endswith((".pkl", ".py"))]
    text = (folder / INFER).read_text() + (folder / "MLmodel").read_text()
    assert "pond.pt" not in text and "rare.txt" not in text and "CA-ON" not in text and str(tmp_path) not in text
    assert "loader_module: lib.tracking.pyfunc_model" in text


def test_classes_that_are_left_out_and_silence_get_no_labels(tmp_path, recordings):
    names = set(loaded(folder_of(tmp_path / "all")[0]).predict(recordings)["name"])
    table = loaded(folder_of(tmp_path / "some", excluded=["a"])[0]).predict(recordings)
    assert "a" in names and set(table["name"]) == names - {"a"}
    nothing = loaded(folder_of(tmp_path / "none", excluded=["a", "b", "c"])[0]).predict(recordings)
    assert list(nothing.columns) == COLUMNS and len(nothing) == 0 and nothing["score"].dtype == float


def test_a_recording_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    model = loaded(folder_of(tmp_path)[0])
    with pytest.raises(AudioError, match=r"none\.wav"):
        model.predict(["none.wav"])
