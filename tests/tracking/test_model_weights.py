import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.core.databases import SQLITE
from lib.core.errors import EarshotError
from lib.models.checkpoints import load_checkpoint
from lib.tracking.mlflow_store import ensure_store, mlflow_client
from lib.tracking.registry import model_cache
from lib.tracking.registry.model_weights import collected_weights, local_weights, store_model
from tests.internet import serving
from tests.models.builders import save_random_model
from tests.models.onnx_models import spectrogram_model, write_card
from tests.models.test_weight_files import external, zipped
from tests.training_data.builders import AUDIO

PROJECT = Path(__file__).parents[2]


class Store:
    """A client of a real store, an experiment in it, and the models that it holds."""

    def __init__(self, uri: str, experiment: str, folder: Path) -> None:
        self.uri, self.client, self.experiment_id = uri, mlflow_client(uri), ensure_store(uri, experiment)
        self.folder, self._others = folder, set()
        self._others = self.stored_files()

    def store(self, url_or_path, *arguments, run_id: str | None = None, **options) -> str:
        with collected_weights(url_or_path, *arguments, **options) as folder:
            return store_model(self.client, self.experiment_id, "a frog", folder, run_id)

    def local(self, model_id: str, force: bool = False) -> Path:
        return local_weights(self.client, model_id, force)

    def models(self) -> list:
        return list(self.client.search_logged_models([self.experiment_id]))

    def artifacts(self, model_id: str) -> Path:
        return Path(
            self.client.get_logged_model(model_id).artifact_location.removeprefix("file://").replace("%20", " ")
        )

    def stored_files(self) -> set[Path]:
        """Files of models of this test; the store has others, too."""
        place = self.client.get_experiment(self.experiment_id).artifact_location.removeprefix("file://")
        return {path for path in Path(place.replace("%20", " "), "models").rglob("*") if path.is_file()} - self._others


@pytest.fixture
def store(mlflow_uri, tmp_path, request, monkeypatch) -> Store:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Store(mlflow_uri, request.node.name, tmp_path)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    save_random_model(tmp_path / "mine/model.pt", AUDIO)
    return tmp_path / "mine/model.pt"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The address of a site of the folder `site` on the internet."""
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site", monkeypatch) as address:
        yield address


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def left_in(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if not path.name.endswith(".lock")} if cache.exists() else set()


def test_a_checkpoint_comes_back_as_it_was_stored(store, checkpoint):
    model_id = store.store(checkpoint)
    (model,) = store.models()
    assert (model.model_id, model.name, model.status) == (model_id, "a-frog", "READY")
    shutil.rmtree(checkpoint.parent)
    folder = store.local(model_id)
    assert folder.is_relative_to(store.folder / ".earshot/models") and files_of(folder) == {"model.pt", "model.json"}
    load_checkpoint(folder / "model.pt")
    stored = store.artifacts(model_id)
    assert files_of(stored) == {"weights/model.pt", "weights/model.json", "earshot/files.json"}
    digests = json.loads((stored / "earshot/files.json").read_text())
    assert digests["model.pt"] == hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest()
    assert not any(path.is_symlink() for path in stored.rglob("*"))


def test_a_model_of_a_run_is_its_output(store, checkpoint):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    model_id = store.store(checkpoint, run_id=run_id)
    assert [output.model_id for output in store.client.get_run(run_id).outputs.model_outputs] == [model_id]
    assert store.client.get_logged_model(model_id).source_run_id == run_id


def test_a_folder_is_stored_whole_and_a_link_as_what_it_leads_to(store, checkpoint):
    (checkpoint.parent / "link.txt").symlink_to(store.folder / "dvc.yaml")
    (checkpoint.parent / "deep").mkdir()
    (checkpoint.parent / "deep/notes.txt").write_text("frogs")
    folder = store.local(store.store(checkpoint.parent))
    assert files_of(folder) == {"model.pt", "model.json", "link.txt", "deep/notes.txt"}
    assert not (folder / "link.txt").is_symlink()


def test_a_package_is_unpacked_and_another_archive_stays_one(store, tmp_path):
    zipped(tmp_path / "frogs.zip", {"model/a.txt": b"1", "b.txt": b"2"})
    assert files_of(store.local(store.store(tmp_path / "frogs.zip", is_package=True))) == {"model/a.txt", "b.txt"}
    assert files_of(store.local(store.store(tmp_path / "frogs.zip"))) == {"frogs.zip"}


def test_what_belongs_to_a_single_file_is_stored_with_it(store, tmp_path, checkpoint):
    external(tmp_path / "onnx/frogs.onnx", "tensors")
    write_card(tmp_path / "onnx/frogs.onnx")
    (tmp_path / "onnx/other").touch()
    folder = store.local(store.store(tmp_path / "onnx/frogs.onnx"))
    assert files_of(folder) == {"frogs.onnx", "frogs.yaml", "tensors"}
    checkpoint.with_suffix(".json").unlink()
    folder = store.local(store.store(checkpoint))
    assert files_of(folder) == {"model.pt", "model.json"}  # the checkpoint has its description inside
    load_checkpoint(folder / "model.pt")


def test_a_url_is_fetched_and_nothing_of_the_transfer_stays(store, site, checkpoint):
    shutil.copy(checkpoint, store.folder / "site/frogs.pt")
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    model_id = store.store(f"{site}/frogs.pt", sha256=digest)
    assert files_of(store.local(model_id)) == {"frogs.pt", "frogs.json"}
    assert left_in(store.folder / ".earshot/downloads") == set()
    by_file_url = store.store((store.folder / "site/frogs.pt").as_uri())
    assert files_of(store.local(by_file_url)) == {"frogs.pt", "frogs.json"}


@pytest.mark.parametrize("what", ["a pickle", "a pickle in a zip", "an archive that leaves", "an MLmodel", "ONNX"])
@pytest.mark.parametrize("how", ["path", "folder", "url"])
@pytest.mark.parametrize("is_package", [False, True])
def test_what_must_not_be_taken_leaves_nothing(store, site, what, how, is_package):
    place = store.folder / "site"
    if what == "a pickle":
        (place / "m.pt").write_bytes(pickle.dumps(os.system))
    elif what == "a pickle in a zip":
        zipped(place / "m.zip", {"m.pkl": b"any"})
    elif what == "an archive that leaves":
        zipped(place / "m.zip", {"../m.txt": b"any"})
    elif what == "an MLmodel":
        (place / "MLmodel").write_text('{"flavors": {"python_function": {"loader_module": "evil"}}}')
    else:
        external(place / "m.onnx", "/etc/hostname")
        for companion in ("tensors", "m.yaml"):
            (place / companion).unlink()
    (file,) = place.iterdir()
    source = {"path": file, "folder": place, "url": f"{site}/{file.name}"}[how]
    with pytest.raises(EarshotError, match=r"pickle|leave|loader of its own|outside of its") as raised:
        store.store(source, is_package)
    assert "\n" not in str(raised.value)
    assert store.models() == [] and store.stored_files() == set()
    assert left_in(store.folder / ".earshot/models") == left_in(store.folder / ".earshot/downloads") == set()


def test_a_home_folder_is_expanded(store, checkpoint, monkeypatch):
    monkeypatch.setenv("HOME", str(checkpoint.parent))
    assert files_of(store.local(store.store("~/model.pt"))) == {"model.pt", "model.json"}


def test_urls_that_must_not_be_fetched_leave_nothing(store, site, checkpoint):
    shutil.copy(checkpoint, store.folder / "site/frogs.pt")
    for url, options, fault in (
        ("http://127.0.0.1/frogs.pt", {}, "not public"),
        ("http://169.254.169.254/latest", {}, "not public"),
        (f"{site}/frogs.pt", {"sha256": "0" * 64}, "SHA-256"),
        (f"{site}/none.pt", {}, "404"),
        ("gs://frogs/frogs.pt", {}, r"is not a URL that can be fetched; give an http\(s\), file or s3 URL"),
    ):
        with pytest.raises(EarshotError, match=fault):
            store.store(url, **options)
    with pytest.raises(EarshotError, match="no such file or folder"):
        store.store("none.pt")
    with pytest.raises(EarshotError, match="SHA-256"):
        store.store(checkpoint, sha256="0" * 64)
    assert store.models() == [] and store.stored_files() == set()
    assert left_in(store.folder / ".earshot/downloads") == left_in(store.folder / ".earshot/models") == set()


def test_storing_fails_with_nothing_left_where_the_store_does_not_give_the_files_back(store, checkpoint, monkeypatch):
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    give = LocalArtifactRepository.download_artifacts

    def damaged(self, *arguments, **options):
        place = give(self, *arguments, **options)
        Path(place, "model.pt").write_bytes(b"damaged")
        return place

    def failing(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LocalArtifactRepository, "download_artifacts", damaged)
        with pytest.raises(EarshotError, match=r"does not give back model\.pt as it was put into it; check its disk"):
            store.store(checkpoint)
        patch.setattr(LocalArtifactRepository, "log_artifacts", failing)
        with pytest.raises(EarshotError, match=r"cannot be stored .*No space left"):
            store.store(checkpoint)
    assert store.models() == [] and store.stored_files() == set()
    assert store.local(store.store(checkpoint)).is_dir()


def test_models_of_the_same_content_share_one_verified_copy_that_is_not_fetched_again(store, checkpoint):
    first, second = store.store(checkpoint), store.store(checkpoint)
    folder = store.local(first)
    known = (folder / "model.pt").stat()
    assert store.local(second) == store.local(first) == folder
    assert (folder / "model.pt").stat().st_ino == known.st_ino
    store.local(first, force=True)
    assert (folder / "model.pt").stat().st_ino != known.st_ino


@pytest.mark.parametrize("damage", ["changed", "missing", "more"])
def test_a_copy_that_is_no_longer_what_was_stored_is_fetched_again(store, checkpoint, damage):
    model_id = store.store(checkpoint)
    folder = store.local(model_id)
    if damage == "changed":
        (folder / "model.pt").write_bytes(b"changed")
    elif damage == "missing":
        (folder / "model.json").unlink()
    else:
        (folder / "more.pt").write_bytes(b"more")
    assert store.local(model_id) == folder and files_of(folder) == {"model.pt", "model.json"}
    load_checkpoint(folder / "model.pt")


def test_files_that_changed_in_the_store_are_never_given_out(store, checkpoint):
    model_id = store.store(checkpoint)
    (store.artifacts(model_id) / "weights/model.pt").write_bytes(b"changed")
    with pytest.raises(EarshotError, match="are not those that were stored"):
        store.local(model_id)
    assert left_in(store.folder / ".earshot/models") == set()
    (store.artifacts(model_id) / "earshot/files.json").write_text('{"../../x": "00"}')
    with pytest.raises(EarshotError, match="was not stored with its files' digests"):
        store.local(model_id)
    with pytest.raises(EarshotError, match="its files cannot be read"):
        store.local("m-" + "0" * 32)


def test_two_processes_that_fetch_at_once_both_get_the_whole_model(store, checkpoint):
    model_id = store.store(checkpoint)
    code = (
        "import sys; from lib.tracking.mlflow_store import mlflow_client; "
        "from lib.tracking.registry.model_weights import local_weights; "
        f"print(local_weights(mlflow_client({store.uri!r}), {model_id!r}))"
    )
    environment = os.environ | {"DVC_ROOT": str(store.folder)}
    options = {"cwd": PROJECT, "env": environment, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", code], **options) for _ in range(2)]
    folders = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert folders == {str(store.local(model_id))} and left_in(store.folder / ".earshot/models") == {
        store.local(model_id).name
    }


def test_what_a_killed_fetch_left_does_not_count_and_is_removed_in_time(store, checkpoint):
    model_id = store.store(checkpoint)
    cache = store.folder / ".earshot/models"
    killed = cache / ".killed.part"
    (killed / "weights").mkdir(parents=True)
    assert files_of(store.local(model_id)) == {"model.pt", "model.json"} and killed.exists()
    os.utime(killed, (0, 0))
    store.local(model_id)
    assert not killed.exists()


def test_copies_that_nobody_uses_make_room_for_others(store, checkpoint, monkeypatch):
    monkeypatch.setattr(model_cache, "LARGEST", 0)
    models = []
    for number in range(3):
        (checkpoint.parent / "notes.txt").write_text(str(number))
        models.append(store.store(checkpoint.parent))
    code = (
        "import sys, time; from lib.tracking.mlflow_store import mlflow_client; "
        "from lib.tracking.registry.model_weights import local_weights; "
        f"print(local_weights(mlflow_client({store.uri!r}), sys.argv[1]), flush=True); time.sleep(600)"
    )
    environment = os.environ | {"DVC_ROOT": str(store.folder)}
    options = {"cwd": PROJECT, "env": environment, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, models[0]], **options)
    try:
        others = Path(process.stdout.readline().strip())
        os.utime(others.with_name(f".{others.name}.use.lock"), (0, 0))
        mine = store.local(models[1])
        os.utime(mine.with_name(f".{mine.name}.use.lock"), (0, 0))
        assert files_of(others) == {"model.pt", "model.json", "notes.txt"}
    finally:
        process.kill()
        process.communicate()
    last = store.local(models[2])
    assert left_in(store.folder / ".earshot/models") == {mine.name, last.name}
    assert files_of(store.local(models[0])) == {"model.pt", "model.json", "notes.txt"}


def test_a_project_that_was_moved_finds_its_models(tmp_path, monkeypatch, checkpoint):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/dvc.yaml").touch()
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    store = Store(f"{SQLITE}{tmp_path}/old/mlflow.db", "e", tmp_path / "old")
    model_id = store.store(checkpoint)
    store.client.create_registered_model("frogs")
    store.client.create_model_version("frogs", store.client.get_logged_model(model_id).artifact_location)
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    moved = Store(f"{SQLITE}{tmp_path}/new/mlflow.db", "e", tmp_path / "new")
    version = moved.client.get_model_version("frogs", "1")
    assert version.source == moved.artifacts(model_id).as_uri()
    folder = moved.local(model_id)
    assert folder.is_relative_to(tmp_path / "new") and files_of(folder) == {"model.pt", "model.json"}
    assert not (tmp_path / "old").exists()


def test_a_folder_without_weights_is_stored_as_little_as_one_that_is_missing(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(EarshotError, match="holds no file"):
        store.store(tmp_path / "empty")
    with pytest.raises(EarshotError, match="holds no file"):
        store_model(store.client, store.experiment_id, "frogs", tmp_path / "empty")
    assert store.models() == []


def test_models_may_be_of_any_kind(store, tmp_path):
    spectrogram_model(tmp_path / "frogs.onnx", AUDIO)
    (tmp_path / "labels.csv").write_text("name\nfrog\n")
    assert files_of(store.local(store.store(tmp_path / "frogs.onnx"))) == {"frogs.onnx", "frogs.yaml"}
    assert files_of(store.local(store.store(tmp_path / "labels.csv"))) == {"labels.csv"}
