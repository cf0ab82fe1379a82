"""The registry from the shell: a model's life as its user types it."""

import json

import pytest

from lib.core.downloads import sha256_of
from lib.core.errors import EarshotError
from lib.core.files import project_root
from lib.tracking.registry.input_model import InputModel
from lib.tracking.registry.model_card import JSON, LONGEST
from lib.tracking.registry.model_versions import create_version
from stages.registry import registry as stage
from tests.models.builders import describe
from tests.pipeline_copy import PROJECT
from tests.tracking.registry_store import RegistryStore, write_tensors
from tests.tracking.test_model_card import card
from tests.training_data.builders import AUDIO


@pytest.fixture
def registry(mlflow_uri, request, tmp_path, monkeypatch, capsys):
    """A function that runs an action and returns what it printed, a JSON value with json=True."""
    monkeypatch.chdir(tmp_path)
    store = RegistryStore(mlflow_uri, request.node.name, tmp_path)

    def run(*arguments: str, **flags):
        stage(*arguments, **flags)
        output = capsys.readouterr().out
        return json.loads(output) if flags.get("json") else output

    run.store = store
    return run


def test_a_model_is_imported_found_by_tag_published_fetched_and_archived(registry, tmp_path):
    weights = write_tensors(tmp_path / "frogs.safetensors")
    name = registry.store.name("frogs")
    said = {"name": name, "tags": "pond,dawn chorus", "comment": "of the pond"}
    model_id = registry("import", str(weights), **said, json=True)
    reference = f"{name}/1"

    def listed(**wanted) -> list[str]:
        return [each["id"] for each in registry("list", name=name, **wanted, json=True)]

    assert listed(tags="pond,-qa") == [model_id] and listed(tags="-pond") == listed(metadata="site=pond") == []
    assert registry("publish", reference, json=True)["status"] == "published"
    assert registry("tag", reference, "best", untag="pond", json=True)["tags"] == ["best", "dawn chorus"]
    assert registry("alias", reference, "champion", json=True)["aliases"] == ["champion"]
    registry("alias", reference, "night", json=True)
    assert registry("unalias", reference, "night", json=True)["aliases"] == ["champion"]
    table = registry("list", name=name).splitlines()
    assert table[0].split() == ["model", "aliases", "status", "tags", "framework", "changed", "id"]
    assert "champion" in table[2] and "best, dawn chorus" in table[2] and model_id in table[2]

    shown = registry("show", f"{name}@champion")
    assert f"url             {weights.as_uri()}" in shown and "comment         of the pond" in shown
    copy = tmp_path / "copy/frogs.safetensors"
    assert registry("fetch", f"{name}@champion", output="copy") == f"{name}@champion -> copy/{copy.name}\n"
    assert copy.read_bytes() == weights.read_bytes()
    with pytest.raises(EarshotError, match="copy: exists; give a new folder"):
        registry("fetch", reference, output="copy")

    assert registry("archive", reference, json=True)["archived"]
    assert listed() == [] and listed(archived=True) == [model_id]
    registry("remove", model_id)
    actions = [entry["action"] for entry in registry("history", model_id, json=True)]
    aliases = ["given the alias champion", "given the alias night", "alias night removed"]
    assert actions[1:] == ["published", "tagged best, -pond", *aliases, "archived", "removed"]
    assert "given the alias champion" in registry("history", model_id)
    assert registry("history", reference) == registry("history", model_id)


def test_a_model_is_commented_on_gets_metadata_and_becomes_the_input_of_a_run(registry):
    store = registry.store
    model, other = store.add("frogs"), store.add("toads")
    assert registry("comment", str(model), "of the pond", json=True)["comment"] == "of the pond"
    assert registry("metadata", str(model)) == f"{model} has no metadata\n"
    entries = {
        "site": ("pond", "str"),
        "hop": ("5", "int"),
        "f1": ("0.5", "float"),
        "bats": ("false", "bool"),
        "night": ("no", "str"),
    }
    told = registry("metadata", str(model), "site=pond, hop=5,f1=0.5,bats=false,night=no", json=True)
    assert {key: (entry["value"], entry["type"]) for key, entry in told.items()} == entries
    assert registry("metadata", str(model)).splitlines()[2].split() == ["bats", "false", "bool"]
    assert registry("list", name=model.name, metadata="hop=5", json=True)[0]["id"] == model.id
    assert registry("list", name=model.name, metadata="bats=False,f1=0.50", json=True)[0]["id"] == model.id
    assert sorted(registry("metadata", str(model), unset="hop,none", json=True)) == ["bats", "f1", "night", "site"]
    told = registry("metadata", str(model), '{"site": "bog, pond", "hops": [5, 6]}', replace=True, json=True)
    assert told == {"site": {"value": "bog, pond", "type": "str"}, "hops": {"value": "[5, 6]", "type": "list"}}
    assert registry("comment", str(model), "", json=True)["comment"] == ""

    run = store.client.create_run(store.experiment_id).info.run_id
    told = registry("connect", str(model), run, name="start")
    assert told == f"{model} ({model.id}) is an input of run {run}\n"
    assert registry("show", str(model), json=True)["task"] == run
    assert registry("connect", str(other), run, name="start", json=True) == model.id  # which the run names
    assert registry("connect", str(other), run, name="start", force=True, json=True) == other.id


def test_a_model_is_imported_with_its_configuration_and_labels_and_found_by_its_place(registry, tmp_path):
    (tmp_path / "frogs.ini").write_text("[audio]\nhop = 5\n")
    (tmp_path / "labels.json").write_text('{"noise": 0, "frog": 1}')
    for file, labels in (("a.safetensors", "noise=0,frog=1"), ("b.safetensors", "labels.json")):
        weights = write_tensors(tmp_path / file)
        said = {"name": registry.store.name("frogs"), "config": "frogs.ini", "labels": labels}
        model = InputModel(registry("import", str(weights), **said, json=True))
        assert (model.config_text, model.labels) == ("[audio]\nhop = 5\n", {"noise": 0, "frog": 1})
        assert [each["id"] for each in registry("list", url=file, json=True)] == [model.id]


def test_a_file_of_another_digest_is_not_imported(registry, tmp_path):
    weights = write_tensors(tmp_path / "frogs.safetensors")
    name, digest = registry.store.name("frogs"), sha256_of(weights)
    with pytest.raises(EarshotError, match=f"its SHA-256 digest is {digest}, not {64 * '0'}"):
        registry("import", str(weights), name=name, sha256=64 * "0")
    assert registry("list", name=name, json=True) == []
    model_id = registry("import", str(weights), name=name, sha256=digest.upper(), json=True)
    assert registry("import", str(weights), sha256=digest, json=True) == model_id
    with pytest.raises(EarshotError, match="which holds no file of that SHA-256 digest"):
        registry("import", str(weights), sha256=64 * "0")


def test_show_prints_the_whole_card_of_a_model(registry):
    made = card(descriptions=[describe(AUDIO, [f"c{i}" for i in range(900)])])
    files = {"weights/model.bin": b"weights", JSON: made.model_dump_json().encode()}
    model = registry.store.add("frogs", files=files, description=made.markdown(LONGEST))
    shown = registry("show", str(model))
    assert shown.endswith(f"\n\n{made.markdown()}\n") and "| c899 |" in shown
    assert registry("show", str(model), json=True)["card"] == made.model_dump(mode="json")
    assert not [path for path in (project_root() / ".earshot").rglob("*") if path.is_file()]  # nothing was fetched


def test_show_prints_the_description_of_a_model_without_a_card(registry):
    model = registry.store.add("frogs", description="# Frogs\n\nof the pond")
    assert registry("show", str(model)).endswith("\n\n# Frogs\n\nof the pond\n")
    assert "card" not in registry("show", str(model), json=True)


def test_the_version_that_was_named_is_removed_and_its_files_only_if_no_other_has_them(registry):
    store = registry.store
    model = store.add("frogs")
    create_version(store.client, store.name("toads"), model.id, "registered again")
    said = registry("remove", str(model))
    assert said == f"{model} ({model.id}) is removed; its files are kept because {store.name('toads')}/1 uses them\n"
    assert store.client.list_logged_model_artifacts(model.id)


def test_the_version_that_was_named_is_published_and_an_id_of_two_names_is_asked_about(registry):
    frogs = registry.store.add("frogs")
    create_version(registry.store.client, registry.store.name("toads"), frogs.id, "registered again")
    assert registry("publish", str(frogs), json=True)["name"] == frogs.name
    assert registry("show", str(frogs), json=True)["status"] == "published"
    toads = f"{registry.store.name('toads')}/1"
    assert registry("show", toads, json=True)["status"] == "draft"
    with pytest.raises(EarshotError, match=f"{frogs.id}: is registered as {frogs} and {toads}; name one of these"):
        registry("publish", frogs.id)


@pytest.mark.parametrize(
    ("arguments", "flags", "fault"),
    [
        (("burn", "frogs"), {}, "action 'burn': must be one of list, show"),
        (("show",), {}, "MODEL: is missing; give it after show"),
        (("show", "no such model"), {}, "no such model: is not a registered model"),
        (("alias", "frogs"), {}, "VALUE: is missing; give it after alias frogs"),
        (("tag", "frogs"), {}, "VALUE: is missing; give tags after tag frogs, or --untag"),
        (("tag", "frogs"), {"tags": "a"}, "--tags: means nothing with tag; it takes --untag"),
        (
            ("fetch", "frogs"),
            {"sha256": 64 * "0"},
            "--sha256: means nothing with fetch; it takes --output, --unpack, --",
        ),
        (("show", "frogs"), {"published": True}, "--published: means nothing with show; it takes --json"),
        (("publish", "frogs", "champion"), {}, "VALUE = 'champion': means nothing with publish"),
        (("list", "frogs"), {}, "MODEL = 'frogs': means nothing with list; give --name 'frogs'"),
        (("unalias", "frogs"), {}, "VALUE: is missing; give it after unalias frogs"),
        (("metadata", "frogs", '{"a": 1'), {}, "is not JSON"),
        (("list",), {"metadata": "site"}, "--metadata = 'site': must be key=value"),
        (("comment", "frogs"), {}, "VALUE: is missing; give it after comment frogs"),
        (("connect", "frogs"), {}, "VALUE: is missing; give it after connect frogs"),
        (("import", "a.pt"), {"labels": "frog"}, "--labels = 'frog': must be key=value"),
        (
            ("import", "a.pt"),
            {"labels": "frog=x"},
            "label_enumeration: 'frog' = 'x': must be a name and",
        ),
        (("import", "a.pt"), {"labels": "none.json"}, r"none\.json: cannot be read"),
        (("import", "a.pt"), {"labels": "params.yaml"}, "label_enumeration: 'tracking' = "),
        (("import", "a.pt"), {"config": "none.ini"}, r"none\.ini: cannot be read"),
        (("list",), {"tags": "__$nor,a"}, r"__\$nor is not an operator"),
    ],
)
def test_what_is_wrong_is_an_error(registry, arguments, flags, fault):
    with pytest.raises(EarshotError, match=fault):
        registry(*arguments, **flags)


def test_the_shell_gets_json_or_a_line_and_a_status(registry, run_stage):
    params = ("--params", registry.store.folder / "params.yaml")
    assert run_stage("registry", "list", "--tags=-qa", "--project", "none", "--json", *params)[:2] == (0, "[]\n")
    status, _, errors = run_stage("registry", "show", "none", *params)
    assert status == 1 and errors.startswith("error: none: is not a registered model") and errors.count("\n") == 1


@pytest.mark.parametrize("action", ["list", "show", "publish", "history", "fetch", "remove"])
def test_only_import_makes_a_store(tmp_path, monkeypatch, action):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(EarshotError, match=r"none\.db: the MLflow store does not exist"):
        stage(action, *([] if action == "list" else ["frogs"]), params=str(PROJECT / "params.yaml"), uri=uri)
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_away_is_one_line(run_stage):
    status, _, errors = run_stage("registry", "list", "--uri", "http://127.0.0.1:9")
    assert status == 1 and errors.startswith("error: MLflow store: ") and errors.count("\n") == 1
    assert errors.endswith("; check that tracking.uri can be reached\n")
