import subprocess
import sys
from pathlib import Path

import mlflow
import onnx
import pytest
import torch

from lib.config.schema import Settings
from lib.core.errors import EarshotError
from lib.models.description import Calibration
from lib.models.onnx_export import comparison_windows, export_onnx
from lib.tracking.registry.imported_models import import_weights, url_of
from lib.tracking.registry.input_model import InputModel
from lib.tracking.registry.model_card import LONGEST, CardInputs, card_metadata
from lib.tracking.registry.model_changes import set_alias
from lib.tracking.registry.model_design import ModelDesign, read_design
from lib.tracking.registry.model_provenance import card_for_export
from lib.tracking.registry.model_queries import find_models, model_at
from lib.tracking.registry.model_tables import card_of
from lib.tracking.registry.registered_models import ModelError
from lib.tracking.registry.registration import stored_card
from tests.internet import serving, serving_here
from tests.models.builders import save_random_model
from tests.models.onnx_models import spectrogram_model
from tests.tracking.registry_store import write_tensors
from tests.training_data.builders import AUDIO, write_data_set

PROJECT = Path(__file__).parents[2]
IMPORT = """
import sys
from lib.tracking.registry.input_model import InputModel
print(InputModel.import_model(sys.argv[1]).id)
"""


def bring_in(store, path, **options):
    return import_weights(store.client, store.experiment_id, str(path), ModelDesign.of(), **options)


def test_a_path_and_its_url_identify_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert url_of("a folder/frogs.pt") == url_of((tmp_path / "a folder/frogs.pt").as_uri())
    assert url_of("a folder/") == url_of(str(tmp_path / "a folder"))
    assert url_of("s3://bucket/file.bin") == "s3://bucket/file.bin"
    with pytest.raises(EarshotError, match="https://host:port/x: is not a URL"):
        url_of("https://host:port/x?token=a")


def test_tokens_do_not_change_what_a_url_identifies_and_are_never_stored(store, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    write_tensors(tmp_path / "site/frogs.safetensors")
    with serving(tmp_path / "site", monkeypatch) as site:
        url, options = f"{site}/frogs.safetensors", {"name": store.name("frogs")}
        first = bring_in(store, f"{url}?token=hushhush1", **options)
        again = bring_in(store, f"{url}?X-Amz-Signature=hushhush2&Expires=17#hushhush3", **options)
        assert first.is_new and not again.is_new and first.model.id == again.model.id and first.model.url == url
        by_number = [bring_in(store, f"{url}?id={number}&sig=hushhush4", **options).model for number in (7, 8, 7)]
        assert by_number[0].id == by_number[2].id != by_number[1].id
        assert bring_in(store, by_number[0].url).model.id == by_number[0].id  # the URL that was kept
        with pytest.raises(EarshotError, match="SHA-256") as raised:
            bring_in(store, f"{url}?token=hushhush5&id=9", sha256="0" * 64)
    assert "hushhush" not in str(raised.value)
    files = [*Path(store.uri.removeprefix("sqlite:///")).parent.glob("mlflow.db*"), *tmp_path.rglob("*")]
    assert not any(b"hushhush" in file.read_bytes() for file in files if file.is_file())


def test_a_model_is_imported_from_a_private_address_if_the_settings_allow_it(store, tmp_path):
    (tmp_path / "site").mkdir()
    write_tensors(tmp_path / "site/frogs.safetensors")
    with serving_here(tmp_path / "site") as site:
        url, options = f"{site}/frogs.safetensors", {"name": store.name("frogs")}
        with pytest.raises(EarshotError, match=r"not public.*tracking\.allow_private_addresses"):
            InputModel.import_model(url, tracking=store.tracking, **options)
        assert store.client.search_logged_models([store.experiment_id]) == []
        tracking = store.tracking.model_copy(update={"allow_private_addresses": True})
        assert InputModel.import_model(url, tracking=tracking, **options).url == url
        with pytest.raises(EarshotError, match="not public"):
            InputModel.import_model("http://169.254.169.254/frogs.pt", tracking=tracking, **options)


def test_a_model_is_named_after_its_file_by_default(store, tmp_path):
    names = {"tree frogs.safetensors": "tree frogs", "pond.tar.gz": "pond", "a:b.onnx.tflite": "a-b.onnx"}
    for file, name in names.items():
        write_tensors(tmp_path / file)
        assert bring_in(store, tmp_path / file).model.name == name
    write_tensors(tmp_path / "toads.safetensors")
    assert bring_in(store, tmp_path / "toads.safetensors", name=store.name("toads")).model.name == store.name("toads")


def test_the_framework_follows_from_the_suffix_by_default(store, tmp_path):
    options = {"name": store.name("model")}
    for file, framework in (("a.tflite", "TensorFlow Lite"), ("b.safetensors", "")):
        write_tensors(tmp_path / file)
        assert bring_in(store, tmp_path / file, **options).model.framework == framework
    write_tensors(tmp_path / "c.tflite")
    assert bring_in(store, tmp_path / "c.tflite", framework="JAX", **options).model.framework == "JAX"


@pytest.mark.parametrize("wrong", [{"name": "a/b"}, {"tags": ["earshot.x"]}, {"tags": ["-x"]}])
def test_a_wrong_argument_leaves_nothing_behind(store, tmp_path, wrong):
    write_tensors(tmp_path / "frogs.safetensors")
    with pytest.raises(ModelError):
        bring_in(store, tmp_path / "frogs.safetensors", **wrong)
    assert store.client.search_logged_models([store.experiment_id]) == []
    assert find_models(store.client, project=store.experiment) == []


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
def test_an_import_that_fails_after_its_version_was_made_leaves_nothing_behind(store, tmp_path, monkeypatch, error):
    write_tensors(tmp_path / "frogs.safetensors")
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(type(store.client), "set_logged_model_tags", _raising(error))
        bring_in(store, tmp_path / "frogs.safetensors", name=store.name("frogs"))
    assert store.client.search_model_versions(f"name = '{store.name('frogs')}'") == []
    assert store.client.search_logged_models([store.experiment_id]) == []
    assert bring_in(store, tmp_path / "frogs.safetensors", name=store.name("frogs")).is_new


def test_the_files_of_a_version_that_cannot_be_deleted_stay(store, tmp_path, monkeypatch):
    write_tensors(tmp_path / "frogs.safetensors")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        for name in ("set_logged_model_tags", "delete_model_version"):
            patch.setattr(type(store.client), name, _raising(OSError("the disk is full")))
        bring_in(store, tmp_path / "frogs.safetensors", name=store.name("frogs"))
    model = model_at(store.client, f"{store.name('frogs')}/1")
    assert store.client.list_logged_model_artifacts(model.id)


def _raising(error: BaseException):
    def fail(*_, **__):
        raise error

    return fail


def test_two_processes_that_import_a_file_at_once_get_one_model(store, tmp_path):
    write_tensors(tmp_path / "frogs.safetensors")
    command = [sys.executable, "-c", IMPORT, str(tmp_path / "frogs.safetensors")]
    environment = {"PYTHONPATH": str(PROJECT), "PATH": ""}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(2)]
    first, second = (process.communicate()[0] for process in processes)
    assert first == second and first.startswith(b"m-")


def test_an_imported_checkpoint_gets_a_card_and_mlflow_loads_it(store, tmp_path, monkeypatch):
    changes = {"calibration": Calibration(coefficient=1.5, intercept=-0.2, thresholds={"b": 0.3})}
    save_random_model(tmp_path / "frogs.pt", AUDIO, **changes)
    model, _ = bring_in(store, tmp_path / "frogs.pt", name=store.name("frogs"), comment="of the pond")
    card = stored_card(store.client, model.id)
    assert [each.threshold for each in card.classes] == [0.5, 0.3, 0.5] and card.scores.coefficient == 1.5
    assert (card.name, card.details, card.commit, card.test) == (model.name, CardInputs(), "", {})
    assert model.comment == "of the pond" and model.description == card.markdown(LONGEST)
    tags = store.client.get_model_version(model.name, "1").tags
    assert tags["earshot.card.sampling_rate"] == str(AUDIO.sampling_rate)
    assert read_design(store.client, model.id).labels == {"a": 0, "b": 1, "c": 2}
    (recording,) = Path(write_data_set(tmp_path / "set", 1), "recordings").iterdir()
    set_alias(store.client, model, "champion")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    table = mlflow.pyfunc.load_model(f"models:/{model.name}@champion").predict([str(recording)])
    assert set(table["recording"]) == {recording.stem} and set(table["name"]) <= {*"abc"}


def test_an_imported_export_of_this_project_keeps_its_card(store, tmp_path):
    checkpoint = tmp_path / "pond.pt"
    save_random_model(checkpoint, AUDIO)
    card = card_for_export(checkpoint, Settings(infer={"overlap": 0.25}))
    windows = comparison_windows([], checkpoint, must_be_readable=False)
    export_onnx(checkpoint, tmp_path / "pond.onnx", windows, card_metadata(card))
    model, _ = bring_in(store, tmp_path / "pond.onnx", name=store.name("frogs"))
    stored = stored_card(store.client, model.id)
    assert stored.name == model.name and stored.weights.keys() == {"pond.pt", "pond.onnx"}
    assert stored.classes == card.classes and stored.outputs == card.outputs
    assert model.description == stored.markdown(LONGEST)


@pytest.mark.parametrize("text", ["", "no card", '{"name": "frogs"}', '{"name": "' + 2**20 * "x" + '"}'])
def test_weights_from_elsewhere_get_no_card(store, tmp_path, text):
    network = spectrogram_model(tmp_path / "frogs.onnx", AUDIO)
    content = onnx.load(network)
    content.metadata_props.add(key="model_card", value=text)
    onnx.save(content, network)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "toads.pt")
    (tmp_path / "toads.json").write_text("{}")
    for file in ("frogs.onnx", "toads.pt"):
        model, _ = bring_in(store, tmp_path / file, name=store.name("model"), comment="theirs")
        assert model.description == "theirs" and card_of(store.client, model.id) is None
        files = {each.path for each in store.client.list_logged_model_artifacts(model.id)}
        assert files == {"weights", "earshot"}
