"""Each member of InputModel that the reference documents, against a real MLflow store."""

import ast
import inspect
import json
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from lib.config.schema import TrackingSettings
from lib.core.errors import EarshotError
from lib.tracking.registry.input_model import InputModel
from lib.tracking.registry.logged_models import artifacts_of
from lib.tracking.registry.model_changes import archive_model
from lib.tracking.registry.model_design import DESIGN, ModelDesign
from lib.tracking.registry.model_versions import create_version
from lib.tracking.registry.registered_models import COMMENT, FRAMEWORK, URL, ModelError
from tests.models.builders import save_random_model
from tests.tracking.registry_store import write_tensors
from tests.training_data.builders import AUDIO

METHODS = """
archive()
connect(task, name=None, ignore_remote_overrides=False)
empty(config_text=None, config_dict=None, label_enumeration=None)
get_all_metadata()
get_all_metadata_casted()
get_local_copy(extract_archive=None, raise_on_error=False, force_download=False)
get_metadata(key)
get_metadata_casted(key)
get_weights(raise_on_error=False, force_download=False, extract_archive=False)
get_weights_package(return_path=False, raise_on_error=False, force_download=False, extract_archive=True)
import_model(weights_url, config_text=None, config_dict=None, label_enumeration=None, name=None, project=None, tags=None, comment=None, is_package=False, create_as_published=False, framework=None)
load_model(weights_url, load_archived=False)
publish()
query_models(project_name=None, model_name=None, tags=None, only_published=False, include_archived=False, max_results=None, metadata=None)
remove(model, delete_weights_file=True, force=False, raise_on_errors=False)
report_confusion_matrix(title, series, matrix, iteration=None, xaxis=None, yaxis=None, xlabels=None, ylabels=None, yaxis_reversed=False, comment=None, extra_layout=None)
report_histogram(title, series, values, iteration=None, labels=None, xlabels=None, xaxis=None, yaxis=None, mode=None, data_args=None, extra_layout=None)
report_line_plot(title, series, xaxis, yaxis, mode='lines', iteration=None, reverse_xaxis=False, comment=None, extra_layout=None)
report_matrix(title, series, matrix, iteration=None, xaxis=None, yaxis=None, xlabels=None, ylabels=None, yaxis_reversed=False, extra_layout=None)
report_scalar(title, series, value, iteration)
report_scatter2d(title, series, scatter, iteration=None, xaxis=None, yaxis=None, labels=None, mode='line', comment=None, extra_layout=None)
report_scatter3d(title, series, scatter, iteration=None, xaxis=None, yaxis=None, zaxis=None, labels=None, mode='markers', fill=False, comment=None, extra_layout=None)
report_single_value(name, value)
report_surface(title, series, matrix, iteration=None, xaxis=None, yaxis=None, zaxis=None, xlabels=None, ylabels=None, camera=None, comment=None, extra_layout=None)
report_table(title, series, iteration=None, table_plot=None, csv=None, url=None, extra_layout=None)
report_vector(title, series, values, iteration=None, labels=None, xlabels=None, xaxis=None, yaxis=None, mode=None, extra_layout=None)
set_all_metadata(metadata, replace=True)
set_metadata(key, value, v_type=None)
unarchive()
"""  # noqa: E501
OURS = ("tracking", "sha256")
"""Arguments that the reference does not have."""
PROPERTIES = """comment config_dict config_text framework id labels name original_task project published system_tags
tags task url"""
"""Of the reference."""


def documented_arguments(call: str) -> list[tuple[str, object]]:
    """Names and defaults of the arguments of a call as the reference writes it."""
    arguments = ast.parse(f"def {call}: pass").body[0].args
    defaults = [inspect.Parameter.empty] * (len(arguments.args) - len(arguments.defaults))
    defaults += [ast.literal_eval(default) for default in arguments.defaults]
    return list(zip([each.arg for each in arguments.args], defaults, strict=True))


@pytest.mark.parametrize("call", METHODS.split("\n")[1:-1], ids=lambda call: call.partition("(")[0])
def test_calls_have_the_names_order_and_defaults_of_the_reference(call):
    parameters = inspect.signature(getattr(InputModel, call.partition("(")[0])).parameters.values()
    given = [(each.name, each.default) for each in parameters if each.name not in ("self", *OURS)]
    assert given == documented_arguments(call)


def test_the_constructor_and_the_properties_are_those_of_the_reference():
    parameters = [(each.name, each.default) for each in inspect.signature(InputModel).parameters.values()]
    call = "f(model_id=None, name=None, project=None, tags=None, only_published=False, tracking=None)"
    assert parameters == documented_arguments(call)
    assert all(isinstance(getattr(InputModel, name), property) for name in PROPERTIES.split())


def ids(models) -> list[str]:
    return [model.id for model in models]


def test_a_model_is_found_by_id_whatever_else_is_given(store):
    model = store.add()
    assert InputModel(model.id, name="another").id == model.id
    archive_model(store.client, model.id)
    assert InputModel(model_id=model.id).system_tags == ["archived"]


def test_a_model_is_found_by_name_project_tags_and_status(store):
    draft, published = store.add("frogs", "best"), store.add("frogs", "best", "qa", is_published=True)
    newest = store.add("frogs", "other")
    assert InputModel(name=draft.name).id == newest.id
    assert InputModel(project=store.experiment, tags=["best"]).id == published.id
    assert InputModel(name=draft.name, tags=["best", "-qa"]).id == draft.id
    assert InputModel(name=draft.name, only_published=True).id == published.id
    assert repr(InputModel(draft.id)) == f"InputModel({draft.name}/1)"


def test_a_model_that_does_not_exist_is_a_value_error_that_says_what_was_asked(store):
    with pytest.raises(ValueError, match="m-0: is not a registered model"):
        InputModel("m-0")
    with pytest.raises(ModelError, match="name = 'none', only_published = True: no model of the registry matches"):
        InputModel(name="none", only_published=True)
    with pytest.raises(ModelError, match="give model_id, name, project or tags"):
        InputModel()


def test_models_are_queried_newest_first(store):
    a, b, c = store.add("frogs", "a"), store.add("bats", "b", is_published=True), store.add("frogs", "a", "b")
    every = {"project_name": store.experiment}
    assert ids(InputModel.query_models(**every)) == [c.id, b.id, a.id]
    assert ids(InputModel.query_models(**every, max_results=2)) == [c.id, b.id]
    assert ids(InputModel.query_models(model_name=a.name)) == [c.id, a.id]
    assert ids(InputModel.query_models(**every, tags=["__$all", "a", "__$not", "b"])) == [a.id]
    assert ids(InputModel.query_models(**every, only_published=True)) == [b.id]
    InputModel(a.id).set_metadata("site", "pond")
    assert ids(InputModel.query_models(**every, metadata={"site": "pond"})) == [a.id]
    with pytest.raises(ModelError, match=r"metadata = \['site'\]: must be a dict"):
        InputModel.query_models(metadata=["site"])
    InputModel(a.id).archive()
    assert ids(InputModel.query_models(**every)) == [c.id, b.id]
    assert ids(InputModel.query_models(**every, include_archived=True)) == [a.id, c.id, b.id]


def test_a_model_describes_itself(store):
    run = store.client.create_run(store.experiment_id).info.run_id
    design = ModelDesign.of(config_dict={"hop": 5}, labels={"frog": 1, "noise": 0})
    facts = {COMMENT: "of the pond", FRAMEWORK: "PyTorch", URL: "https://x/y.pt"}
    files = {"weights/model.pt": b"x", DESIGN: json.dumps(design._asdict()).encode()}
    added = store.add("frogs", "b", "a", run_id=run, facts=facts, files=files, system_tags=["package"])
    model = InputModel(added.id)
    assert (model.id, model.name, model.project) == (added.id, added.name, store.experiment_id)
    assert (model.tags, model.system_tags, model.comment) == (["a", "b"], ["package"], "of the pond")
    assert (model.labels, model.config_dict) == ({"frog": 1, "noise": 0}, {"hop": 5})
    assert model.config_text == design.config_text and model.framework == "PyTorch" and not model.published


def test_labels_may_be_of_numpy_and_a_configuration_that_cannot_be_stored_or_read_is_named():
    assert InputModel.empty(label_enumeration={"frog": np.int64(1)}).labels == {"frog": 1}
    with pytest.raises(ModelError, match="config_dict: cannot be stored"):
        InputModel.empty(config_dict={"path": Path("frogs")})
    with pytest.raises(ModelError, match="config_text: is not a mapping in YAML or JSON"):
        assert InputModel.empty("recorded: 2024-13-01").config_dict


def test_a_model_without_configuration_has_an_empty_one(store):
    model = InputModel(store.add().id)
    assert (model.config_text, model.config_dict, model.labels, model.framework, model.comment) == ("", {}, {}, "", "")


def test_an_empty_model_has_a_configuration_and_nothing_else(store):
    model = InputModel.empty(config_dict={"hop": 5}, label_enumeration={"frog": 1})
    assert model.config_dict == {"hop": 5} and model.labels == {"frog": 1} and InputModel.empty("a: 1").config_text
    assert (model.id, model.name, model.project, model.tags, model.published) == ("", "", "", [], False)
    assert model.history == [] and repr(model) == "InputModel(empty)"
    with pytest.raises(ModelError, match="is not registered"):
        model.publish()
    with pytest.raises(ModelError, match="are both given"):
        InputModel.empty("a: 1", {"a": 1})


def test_metadata_have_values_and_types(store, capsys):
    model = InputModel(store.add().id)
    values = {"s": "text", "i": 3, "f": 0.5, "b": False, "l": [1, "x"], "d": {"a": None}}
    assert all(model.set_metadata(key, value) for key, value in values.items())
    assert {key: model.get_metadata_casted(key) for key in values} == values
    assert model.get_metadata("f") == "0.5" and model.get_metadata("none") is model.get_metadata_casted("none") is None
    assert model.set_metadata("f", "often", "float") and model.get_metadata_casted("f") == "often"
    assert model.set_metadata("i", "7", v_type="int") and model.get_all_metadata()["i"] == {"value": "7", "type": "int"}
    assert model.get_all_metadata_casted()["i"] == {"value": 7, "type": "int"}
    assert not model.set_metadata("what?", 1)
    assert "warning: metadata 'what?': cannot be stored" in capsys.readouterr().err


def test_metadata_may_be_of_numpy_and_what_json_does_not_hold_is_refused(store, capsys):
    model = InputModel(store.add().id)
    values = {"i": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True), "l": np.arange(2), "d": {"n": np.int8(1)}}
    assert all(model.set_metadata(key, value) for key, value in values.items())
    assert [model.get_metadata_casted(key) for key in values] == [3, 0.5, True, [0, 1], {"n": 1}]
    assert not model.set_metadata("s", [{1, 2}]) and not model.set_all_metadata({"s": {"value": {"a": b"b"}}})
    assert capsys.readouterr().err.count("cannot be stored (") == 2
    assert not model.set_all_metadata({"site": "pond"})
    assert "metadata 'site' = 'pond': must be a dict with value and type" in capsys.readouterr().err
    assert set(model.get_all_metadata()) == set(values)
    every = {"project_name": store.experiment}
    for key, value in ({**values, "l": [0, 1]} | {"i": 3.0}).items():
        assert InputModel.query_models(**every, metadata={key: value})[0].id == model.id
    assert InputModel.query_models(**every, metadata={"l": [0, 2]}) == []


def test_all_metadata_are_replaced_or_updated(store):
    model = InputModel(store.add().id)
    model.set_metadata("old", 1)
    assert model.set_all_metadata({"new": {"value": "2", "type": "int", "key": "new"}}, replace=False)
    assert model.get_all_metadata_casted() == {"new": {"value": 2, "type": "int"}, "old": {"value": 1, "type": "int"}}
    assert model.set_all_metadata({"new": {"value": "3", "type": "int"}})
    assert model.get_all_metadata() == {"new": {"value": "3", "type": "int"}}


def test_a_model_is_published_archived_and_unarchived(store):
    model = InputModel(store.add().id)
    for _ in range(2):
        model.publish()
    assert model.published
    for _ in range(2):
        model.archive()
    with pytest.raises(ModelError, match="no model of the registry matches"):
        InputModel(project=store.experiment)
    for _ in range(2):
        model.unarchive()
    assert InputModel(project=store.experiment).id == model.id and model.system_tags == []
    assert [entry.action for entry in model.history] == ["registered", "published", "archived", "unarchived"]


def test_a_removed_model_is_gone_but_for_its_history(store):
    model, other = InputModel(store.add().id), store.add()
    assert InputModel.remove(model) and InputModel.remove(other.id, delete_weights_file=False)
    assert InputModel.query_models(project_name=store.experiment) == []
    assert model.history[-1].action == "removed"
    with pytest.raises(ModelError, match="is not a registered model"):
        model.name  # noqa: B018


def test_what_cannot_be_removed_is_a_warning_or_an_error(store, capsys, monkeypatch):
    assert not InputModel.remove("m-0")
    assert "warning: m-0: is not a registered model" in capsys.readouterr().err
    with pytest.raises(ValueError, match="m-0"):
        InputModel.remove("m-0", raise_on_errors=True)


def test_a_model_whose_files_cannot_be_deleted_is_partly_removed(store, capsys):
    first, second = store.add(), store.add()
    store.client.delete_logged_model(first.id)
    assert not InputModel.remove(first.id)
    assert "is removed, but its files could not be deleted" in capsys.readouterr().err
    assert ids(InputModel.query_models(model_name=first.name)) == [second.id]


def test_a_model_that_shares_its_files_is_removed_without_them(store, capsys):
    model = store.add("frogs")
    create_version(store.client, store.name("toads"), model.id, "registered again")
    toads = f"{store.name('toads')}/1"
    assert not InputModel.remove(model.id)
    assert f"{model.id}: is registered as {model} and {toads}; name one of these" in capsys.readouterr().err
    assert not InputModel.remove(toads)
    assert f"{toads}: is removed, but its files are kept because {model} uses them" in capsys.readouterr().err
    assert InputModel.remove(model.id)


def test_a_model_of_two_names_is_changed_under_the_one_that_it_was_found_by(store):
    frogs = InputModel(name=store.add("frogs").name)
    toads = create_version(store.client, store.name("toads"), frogs.id, "registered again")  # changed last
    frogs.publish()
    frogs.set_metadata("site", "pond")
    assert (frogs.name, frogs.published) == (store.name("frogs"), True)
    found = InputModel(name=toads.name)
    assert not found.published and found.get_metadata("site") is None
    assert [entry.action for entry in found.history] == ["registered again"]
    with pytest.raises(ModelError, match=f"{frogs.id}: is registered as .*/1 and .*/1; name one of these"):
        InputModel(frogs.id)
    assert InputModel(f"{toads.name}/1").name == toads.name and InputModel.remove(frogs) is False
    assert InputModel(toads.id).name == toads.name and frogs.history[-1].action == "removed, its files kept"


@pytest.mark.parametrize("error", [MlflowException("no answer"), OSError("the disk is full")])
def test_a_store_that_fails_is_a_warning_or_an_error(store, capsys, monkeypatch, error):
    def fail(*_, **__):
        raise error

    model = InputModel(store.add().id)
    monkeypatch.setattr(type(store.client), "search_model_versions", fail)
    monkeypatch.setattr("lib.tracking.registry.input_model.fetch_model", fail)
    assert model.get_local_copy() is None and not InputModel.remove(model.id)
    assert capsys.readouterr().err.count(f"warning: MLflow store: {error}") == 2
    with pytest.raises(ModelError, match=str(error)):
        model.get_local_copy(raise_on_error=True)
    with pytest.raises(ModelError, match=str(error)):
        InputModel.remove(model.id, raise_on_errors=True)


def test_removing_from_a_server_that_is_away_is_a_warning(capsys):
    assert not InputModel.remove("m-0", tracking=TrackingSettings(uri="http://127.0.0.1:9"))
    assert "warning: MLflow store: " in capsys.readouterr().err


def test_weights_are_imported_with_all_that_is_said_about_them(store):
    path = write_tensors(store.folder / "frogs.safetensors")
    said = {"config_dict": {"hop": 5}, "label_enumeration": {"background": 0, "frog": 1}, "name": store.name("frogs")}
    said |= {"project": f"{store.experiment} 2", "tags": ["pond", "2026"], "comment": "of the pond"}
    model = InputModel.import_model(str(path), **said, create_as_published=True, framework=Framework.jax)
    assert (model.name, store.client.get_experiment(model.project).name) == (said["name"], said["project"])
    assert (model.tags, model.comment) == (["2026", "pond"], "of the pond")
    assert (model.config_dict, model.labels, model.published) == ({"hop": 5}, {"background": 0, "frog": 1}, True)
    assert (model.framework, model.url, model.system_tags) == ("JAX", path.as_uri(), [])
    assert model.history[0].action == f"imported from {path.as_uri()} and published"
    assert Path(model.get_weights()).read_bytes() == path.read_bytes()


def test_the_weights_of_a_checkpoint_are_its_file_with_the_description_beside_it(store):
    path = store.folder / "frogs.pt"
    save_random_model(path, AUDIO, ["a", "b"])
    model = InputModel.import_model(str(path), name=store.name("frogs"))
    weights = Path(model.get_weights())
    assert weights == Path(model.get_local_copy()) and weights.read_bytes() == path.read_bytes()
    assert [file.name for file in model.get_weights_package()] == ["frogs.json", "frogs.pt"]
    assert model.get_weights_package(return_path=True) == str(weights.parent)


class Framework(Enum):
    jax = "JAX"


def test_a_draft_is_imported_by_default_into_the_project_of_the_settings(store):
    model = InputModel.import_model(write_tensors(store.folder / "newts.safetensors").as_uri())
    assert (model.name, model.project, model.published) == ("newts", store.experiment_id, False)
    with pytest.raises(ModelError, match="are both given"):
        InputModel.import_model("x", config_text="a: 1", config_dict={"a": 1})


def test_the_same_url_twice_is_the_same_model_with_a_warning(store, capsys):
    path = write_tensors(store.folder / "frogs.safetensors")
    model = InputModel.import_model(str(path), name=store.name("frogs"))
    assert capsys.readouterr().err == ""
    again = InputModel.import_model(path.as_uri(), name="another", tags=["new"])
    assert again.id == model.id and again.tags == []
    assert f"{path.as_uri()}: is in the registry as model {model.name}/1, which is used" in capsys.readouterr().err


def test_a_model_is_loaded_by_its_url(store):
    path = write_tensors(store.folder / "frogs.safetensors")
    assert InputModel.load_model(str(path)) is None
    model = InputModel.import_model(str(path))
    assert InputModel.load_model(path.as_uri()).id == model.id
    model.archive()
    assert InputModel.load_model(str(path)) is None
    assert InputModel.load_model(str(path), load_archived=True).id == model.id


def test_the_url_of_a_trained_model_is_that_of_its_files(store):
    model = store.add()
    url = InputModel(model.id).url
    assert url == store.client.get_logged_model(model.id).artifact_location
    assert InputModel.load_model(url).id == InputModel.import_model(url).id == model.id
    assert InputModel.load_model(url.replace("/artifacts", "/other")) is None
    archive_model(store.client, model)
    assert InputModel.load_model(url) is None and InputModel.load_model(url, load_archived=True).id == model.id


def test_an_archive_is_given_as_it_is_or_unpacked(store):
    path = write_tensors(store.folder / "pond.tar.gz")
    model = InputModel.import_model(str(path))
    assert model.get_weights() == model.get_local_copy() and model.get_weights().endswith("/pond.tar.gz")
    unpacked = model.get_weights(extract_archive=True)
    assert unpacked == model.get_local_copy(extract_archive=True) == model.get_weights_package(return_path=True)
    assert sorted(path.name for path in Path(unpacked).iterdir()) == ["notes", "weights.safetensors"]
    files = model.get_weights_package()
    assert [file.relative_to(unpacked).as_posix() for file in files] == ["notes/read me.txt", "weights.safetensors"]
    assert [file.name for file in model.get_weights_package(extract_archive=False)] == ["pond.tar.gz"]


def test_a_package_is_unpacked_unless_told_otherwise(store):
    archive = write_tensors(store.folder / "pond.tar.gz")
    folder = store.folder / "a folder"
    folder.mkdir()
    for name in ("a.safetensors", "b.safetensors"):
        write_tensors(folder / name)
    packed = InputModel.import_model(str(archive), is_package=True)
    loose = InputModel.import_model(str(folder), is_package=True)
    assert packed.system_tags == loose.system_tags == ["package"] and packed.tags == []
    assert sorted(path.name for path in Path(packed.get_local_copy()).iterdir()) == ["notes", "weights.safetensors"]
    assert [path.name for path in loose.get_weights_package()] == ["a.safetensors", "b.safetensors"]
    assert loose.get_weights_package(return_path=True) == loose.get_local_copy()


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "killed"])
def test_unpacked_files_that_are_no_longer_those_of_the_archive_are_unpacked_again(store, damage):
    model = InputModel.import_model(str(write_tensors(store.folder / "pond.tar.gz")))
    folder = Path(model.get_weights(extract_archive=True))
    file = folder / "weights.safetensors"
    whole, inode = file.read_bytes(), file.stat().st_ino
    assert model.get_weights(extract_archive=True) == str(folder) and file.stat().st_ino == inode
    if damage == "changed":
        file.write_bytes(whole[:-1] + b"x")
    elif damage == "missing":
        file.unlink()
    elif damage == "more":
        (folder / "more").touch()
    else:
        folder.with_name(f".{folder.name}.json").unlink()  # which is written last
    files = model.get_weights_package()
    assert [path.relative_to(folder).as_posix() for path in files] == ["notes/read me.txt", "weights.safetensors"]
    assert file.read_bytes() == whole


def test_a_copy_is_kept_until_it_is_asked_for_again(store):
    model = InputModel.import_model(str(write_tensors(store.folder / "frogs.safetensors")))
    copy = Path(model.get_weights())
    before = copy.stat().st_ino
    assert Path(model.get_weights()).stat().st_ino == before
    assert Path(model.get_weights(force_download=True)).read_bytes() == copy.read_bytes()


def test_weights_that_cannot_be_fetched_are_a_warning_or_an_error(store, capsys):
    model = InputModel.import_model(str(write_tensors(store.folder / "frogs.safetensors")))
    artifacts_of(store.client, model.id).delete_artifacts()
    assert model.get_weights() is model.get_local_copy() is model.get_weights_package() is None
    assert "warning: " in capsys.readouterr().err
    for fetch in (model.get_weights, model.get_local_copy, model.get_weights_package):
        with pytest.raises(ValueError, match="cannot be read"):
            fetch(raise_on_error=True)


def test_what_does_not_exist_is_not_imported(store):
    with pytest.raises(EarshotError, match="no such"):
        InputModel.import_model("no such.safetensors")
    assert InputModel.query_models(project_name=store.experiment) == []


@pytest.fixture
def run(store):
    return store.client.create_run(store.experiment_id)


def test_a_connected_model_is_an_input_of_the_run(store, run):
    model = InputModel(store.add("frogs", run_id=store.client.create_run(store.experiment_id).info.run_id).id)
    assert model.task == model.original_task != ""
    for _ in range(2):
        model.connect(run)
    connected = store.client.get_run(run.info.run_id)
    assert [each.model_id for each in connected.inputs.model_inputs] == [model.id]
    assert connected.data.tags["earshot.input_model.Input Model"] == model.id
    assert model.task == InputModel(model.id).task == run.info.run_id != model.original_task
    assert model.history[-1].action == f"connected to run {run.info.run_id} as Input Model"
    assert not InputModel.remove(model) and InputModel.remove(model, force=True)


def test_the_input_is_called_like_the_weights_or_as_asked(store, run):
    model = InputModel.import_model(str(write_tensors(store.folder / "tree frogs!.safetensors")), name=store.name("x"))
    model.connect(run.info.run_id)
    model.connect(run.info.run_id, name="start")
    tags = store.client.get_run(run.info.run_id).data.tags
    assert tags["earshot.input_model.tree frogs_"] == tags["earshot.input_model.start"] == model.id
    with pytest.raises(ModelError, match="name = 'what"):
        model.connect(run, name="what?")


def test_versions_of_a_file_are_inputs_of_their_own(store, run):
    for version in (1, 2):
        file = write_tensors(store.folder / f"frogs.v{version}.safetensors")
        model = InputModel.import_model(str(file), name=store.name("frogs"))
        model.connect(run)
        tags = store.client.get_run(run.info.run_id).data.tags
        assert tags[f"earshot.input_model.frogs.v{version}"] == model.id


def test_the_model_that_was_chosen_for_the_run_is_used_unless_ignored(store, run, capsys):
    chosen, other = store.add("chosen"), store.add("other")
    store.client.set_tag(run.info.run_id, "earshot.input_model.start", chosen.id)
    model = InputModel(other.id)
    model.connect(run, name="start")
    assert model.id == chosen.id and model.name == chosen.name
    replaced = (
        f"warning: {other}: is replaced by {chosen}, which run {run.info.run_id} names as this input; give another"
    )
    assert replaced in capsys.readouterr().err
    model = InputModel(other.id)
    model.connect(run, name="start", ignore_remote_overrides=True)
    assert model.id == other.id
    assert store.client.get_run(run.info.run_id).data.tags["earshot.input_model.start"] == other.id


def test_a_run_that_does_not_exist_and_an_empty_model_cannot_be_connected(store, run):
    with pytest.raises(ModelError, match="no such run: is not a run of the store"):
        InputModel(store.add().id).connect("no such run")
    with pytest.raises(ModelError, match="is not registered"):
        InputModel.empty().connect(run)
    store.client.set_tag(run.info.run_id, "earshot.input_model.start", "m-0")
    with pytest.raises(ModelError, match="m-0: is not a registered model"):
        InputModel(store.add().id).connect(run, name="start")
