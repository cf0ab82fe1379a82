"""An MLflow server over HTTP, with PostgreSQL behind it, is used as the embedded SQLite store is."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from lib.config.schema import TrackingSettings
from lib.core.errors import EarshotError
from lib.core.files import project_root
from lib.results.predictions import Prediction
from lib.tracking.mlflow_runs import complete_run
from lib.tracking.mlflow_store import ensure_store, mlflow_client
from lib.tracking.model_runs.model_run import ModelRun
from lib.tracking.registry.input_model import InputModel
from lib.tracking.registry.logged_models import artifacts_of
from lib.tracking.registry.model_changes import set_alias
from lib.tracking.registry.model_history import LONGEST_ACTION, history_at, model_history
from lib.tracking.registry.model_queries import aliases_of, model_at
from lib.tracking.registry.model_versions import create_version, remove_model
from lib.tracking.registry.model_weights import local_weights
from lib.tracking.registry.registered_inputs import chosen_model
from lib.tracking.registry.registered_models import LONGEST_TEXT, ModelError
from tests.models.builders import save_random_model
from tests.tracking.conftest import Pipeline
from tests.tracking.mlflow_server import MlflowServer, postgresql, postgresql_programs
from tests.tracking.registry_store import RegistryStore, write_tensors
from tests.training_data.builders import AUDIO, write_data_set

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[MlflowServer]:
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with (
        postgresql(programs) as database,
        MlflowServer(database, tmp_path_factory.mktemp("server") / "mlflow") as server,
    ):
        yield server


@pytest.fixture
def store(server, request, tmp_path, monkeypatch) -> RegistryStore:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return RegistryStore(server.url, request.node.name, tmp_path)


def test_a_model_lives_as_in_the_embedded_store(server, mlflow_uri, tmp_path, monkeypatch, capsys):
    data_set = write_data_set(tmp_path / "set", 1)
    lives = {}
    for uri in (mlflow_uri, server.url):
        pipeline = Pipeline(tmp_path / f"project {len(lives)}", uri, "both stores", monkeypatch)
        lives[uri] = dict(_life(pipeline, data_set, monkeypatch))
        lives[uri]["printed"] = _without_ids_and_places(capsys.readouterr().err)
    assert lives[server.url] == lives[mlflow_uri]
    seen = lives[server.url]
    assert (seen["problems"], seen["again"], seen["removed"], seen["files left"]) == ([], True, [True, True], [[], []])
    assert seen["tags"] == [["dawn chorus"], ["trained"], ["dawn chorus"], ["trained"]]
    assert seen["without the archived"] == (["dawn chorus"], ["trained", "dawn chorus"])
    assert seen["labels"].count("\n") > 1 and seen["model run"] == "frogs of both stores"


def _life(pipeline: Pipeline, data_set: Path, monkeypatch) -> Iterator[tuple[str, object]]:
    """What is seen of two models, from their registration to their removal, without ids and places."""
    name = "frogs of both stores"
    tracking = TrackingSettings(uri=pipeline.uri, experiment=pipeline.experiment, register_as=name)
    client = mlflow_client(pipeline.uri)

    save_random_model(pipeline.folder / "data/models/model.pt", AUDIO)
    infer = {"device": "cpu", "overlap": 0.25}
    yield "problems", complete_run(pipeline.settings(tracking=tracking.model_dump(), infer=infer))
    trained = InputModel(name=name, tracking=tracking)
    version = client.get_model_version(name, "1")
    yield "card", {key: value for key, value in version.tags.items() if key.startswith("earshot.card.test.")}
    yield "description", version.description.partition("Weights")[0]
    yield "trained", (trained.tags, trained.framework, trained.published, trained.labels)
    run_id = trained.original_task
    yield "params", client.get_logged_model(trained.id).params

    weights, comment = write_tensors(pipeline.folder / "tree frogs é&+.safetensors"), "of the pond\n" + 4900 * "ö"
    said = {"name": name, "tags": ["pond", "dawn chorus"], "config_dict": {"hop": 5}, "label_enumeration": {"frog": 0}}
    imported = InputModel.import_model(str(weights), **said, comment=comment, tracking=tracking)
    yield "imported", (imported.tags, imported.comment == comment, imported.config_dict, imported.labels)
    yield "again", InputModel.import_model(str(weights), tracking=tracking).id == imported.id

    values = {"site": "pond é", "n": 3, "rate": 0.5, "used": False, "years": [2025, 2026], "long": 90_000 * "x"}
    yield "set", [imported.set_metadata(key, value) for key, value in values.items()]
    yield "set wrongly", imported.set_metadata("what?", 1)
    yield "metadata", imported.get_all_metadata_casted()
    imported.publish()

    def found(**wanted) -> list[str]:
        models = InputModel.query_models(pipeline.experiment, name, **wanted, tracking=tracking)
        return [model.tags[0] if model.tags else "trained" for model in models]

    yield "all", found()
    filters = (["pond"], ["-pond"], ["__$all", "pond", "dawn chorus"], ["__$any", "qa", "__$not", "pond"])
    yield "tags", [found(tags=tags) for tags in filters]
    yield "published", found(only_published=True)
    yield "by metadata", (found(metadata={"n": "3", "used": "False"}), found(metadata={"n": "4"}), found(max_results=1))

    set_alias(client, trained.id, "champion")
    yield "alias", (model_at(client, f"{name}@champion").version, aliases_of(client, name))
    for alias in ("what?", "v1"):
        with pytest.raises(ModelError) as error:
            set_alias(client, trained.id, alias)
        yield f"alias {alias}", str(error.value).replace("INVALID_PARAMETER_VALUE: ", "")
    yield "weights", Path(imported.get_weights(raise_on_error=True)).read_bytes() == weights.read_bytes()
    yield "chosen", chosen_model(f"registry:{name}@champion", tracking).model_id == trained.id
    copy = Path(trained.get_local_copy(force_download=True))
    assert {path.name for path in copy.parent.iterdir()} == {"model.pt", "model.json"}
    yield "files", copy.name

    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", pipeline.uri)
        loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
        yield "labels", loaded.predict([str(next((data_set / "recordings").iterdir()))]).to_csv()

    with ModelRun.create(pipeline.folder / "run", data_set, name=name, model_id=trained.id) as model_run:
        model_run.predict([Prediction("high", "r00", 0.0, 1.0, 0.9)])
        yield "model run", InputModel(model_run.info()["model_id"], tracking=tracking).name

    trained.report_scalar("loss", "val", 0.5, 1)
    trained.report_scatter2d("curve", "frog", [(0, 1), (1, 0)])
    trained.report_confusion_matrix("classes: all?", "frog", [[1, 2], [3, 4]], comment="é")
    yield "metrics", {each.key: each.value for each in client.get_logged_model(trained.id).metrics}
    reports = client.list_logged_model_artifacts(trained.id, "reports")
    pages = (page for place in reports for page in client.list_logged_model_artifacts(trained.id, place.path))
    yield "reports", [page.path for page in pages]

    using = client.create_run(client.get_experiment_by_name(pipeline.experiment).experiment_id)
    trained.connect(using, name="start")
    yield "input", client.get_run(using.info.run_id).data.tags["earshot.input_model.start"] == trained.id
    yield "tasks", (trained.task == using.info.run_id, trained.original_task == run_id)
    yield "removed in use", InputModel.remove(trained, tracking=tracking)
    client.set_terminated(using.info.run_id)

    trained.archive()
    yield "without the archived", (found(), found(include_archived=True))
    places = [artifacts_of(client, model.id) for model in (trained, imported)]
    yield "removed", [InputModel.remove(model, tracking=tracking) for model in (trained, imported)]
    yield "nothing left", found(include_archived=True)
    deeds = [[entry.action for entry in model.history] for model in (trained, imported)]
    yield "history", _without_ids_and_places(str(deeds))
    with pytest.raises(ModelError, match="is not a registered model"):
        trained.publish()
    yield "files left", [place.list_artifacts() for place in places]


def _without_ids_and_places(text: str) -> str:
    return re.sub(r"[0-9a-f]{32}|file://\S*/", "*", text)


def test_files_that_were_changed_on_the_server_are_noticed(store, server):
    path = write_tensors(store.folder / "frogs.safetensors")
    model = InputModel.import_model(str(path), name=store.name("frogs"))
    folder = local_weights(store.client, model.id)
    (stored,) = (file for file in server.artifacts.rglob("frogs.safetensors") if model.id in str(file))
    stored.write_bytes(b"changed")
    assert local_weights(store.client, model.id) == folder  # which is whole
    with pytest.raises(ModelError, match="are not those that were stored"):
        model.get_weights(raise_on_error=True, force_download=True)
    assert Path(model.get_weights()).read_bytes() == path.read_bytes()
    assert [each.name for each in (project_root() / ".earshot/models").iterdir() if each.is_dir()] == [folder.name]


def test_a_removed_model_leaves_no_files_on_the_server(store, server):
    model = store.add()
    assert [file.name for file in server.artifacts.rglob(f"{model.id}/**/*") if file.is_file()] == ["model.bin"]
    assert remove_model(store.client, model.id) == []
    assert [file for file in server.artifacts.rglob(f"{model.id}/**/*") if file.is_file()] == []


def test_histories_that_are_too_long_for_its_tables_are_cut_and_names_and_comments_refused(store):
    name, did = store.name("frogs"), 6000 * '"'
    model = create_version(store.client, name, store.logged_model(), did, description=LONGEST_TEXT * "é")
    assert model.description == LONGEST_TEXT * "é"
    remove_model(store.client, model.id)
    lengths = [len(entry.action) for entry in model_history(store.client, model.id)]
    assert lengths == [LONGEST_ACTION + len(" ..."), len("removed")]
    with pytest.raises(ModelError, match="5,001 characters"):
        create_version(store.client, name, store.logged_model(), "registered", description=5001 * "é")
    with pytest.raises(ModelError, match=r"has 257 characters; give one of up to 256"):
        create_version(store.client, 257 * "n", store.logged_model(), "registered")


@pytest.mark.parametrize("sign", ["#", "?", "%25"])
def test_a_file_whose_name_the_server_misreads_is_refused_with_its_name(store, sign):
    path = write_tensors(store.folder / f"frogs{sign}.safetensors")
    with pytest.raises(
        EarshotError, match=rf"does not give back frogs{re.escape(sign)}.*; rename it without {sign[0]}"
    ):
        InputModel.import_model(str(path), name=store.name("frogs"))
    assert store.client.search_logged_models([store.experiment_id]) == []


REGISTRATIONS = """
import sys
from lib.tracking.mlflow_store import mlflow_client
from lib.tracking.registry.model_versions import create_version

for uri, experiment_id in zip(sys.argv[1::2], sys.argv[2::2]):
    client = mlflow_client(uri)
    ids = [client.create_logged_model(experiment_id, name="model").model_id for _ in range(3)]
    print("ready", flush=True)
    sys.stdin.readline()
    print(*(create_version(client, "at once", model_id, "registered").version for model_id in ids), flush=True)
"""


def test_processes_that_register_versions_of_a_new_name_at_once_get_one_number_each(server, mlflow_uri):
    stores = [(uri, ensure_store(uri, "at once")) for uri in (mlflow_uri, server.url)]
    command = [sys.executable, "-c", REGISTRATIONS, *(argument for store in stores for argument in store)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen(command, cwd=PROJECT, **pipes) for _ in range(2)]
    for _ in stores:
        assert [writer.stdout.readline() for writer in writers] == ["ready\n", "ready\n"]
        for writer in writers:
            print("go", file=writer.stdin, flush=True)
        numbers = [int(number) for writer in writers for number in writer.stdout.readline().split()]
        assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    for writer in writers:
        writer.communicate()


def test_a_server_that_hangs_is_given_up_with_a_line_that_tells_how_to_wait_longer(store, server, monkeypatch):
    model = InputModel(store.add().id)
    with server.suspended(), monkeypatch.context() as patch, pytest.raises(EarshotError) as error:
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        model.publish()
    assert re.search(r"failed \(Read timed out\); .* MLFLOW_HTTP_REQUEST_TIMEOUT$", str(error.value))
    assert not model.published


def test_a_server_that_goes_away_in_the_middle_is_one_line_whatever_is_asked(store, server, pipeline, monkeypatch):
    """The last test of this module, since it ends the server."""
    model, name = InputModel(store.add().id), store.name("frogs")
    spare, run = store.logged_model(), store.client.create_run(store.experiment_id)
    monkeypatch.chdir(store.folder)
    path = write_tensors(store.folder / "frogs.safetensors")
    server.kill()
    asked = [
        lambda: model.name,
        lambda: model.project,
        lambda: model.labels,
        lambda: model.url,
        lambda: model.history,
        lambda: model.publish(),
        lambda: model.set_metadata("site", "pond"),
        lambda: model.connect(run),
        lambda: model.report_single_value("mAP", 0.5),
        lambda: model.report_table("table", "frogs", table_plot=[["a"], [1]]),
        lambda: model.get_weights(raise_on_error=True),
        lambda: InputModel(name=name),
        lambda: InputModel.query_models(tags=["pond"]),
        lambda: InputModel.import_model(str(path)),
        lambda: InputModel.load_model(str(path)),
        lambda: InputModel.remove(model, raise_on_errors=True),
        lambda: create_version(store.client, name, spare, "registered"),
        lambda: model_at(store.client, f"{name}@champion"),
        lambda: history_at(store.client, f"{name}/1"),
    ]
    lines = []
    for ask in asked:
        with pytest.raises(EarshotError) as error:
            ask()
        lines.append(str(error.value))
    cause = rf"a request to {re.escape(server.url)} failed \(\[Errno 111\] Connection refused\)"
    assert [line for line in lines if not re.search(cause, line) or "\n" in line] == []
    problems = complete_run(pipeline.settings(tracking=store.tracking.model_dump()))
    assert [re.search(cause, str(problem)) is not None for problem in problems] == [True]
