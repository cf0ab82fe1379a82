import pytest

from lib.core import kept_outputs
from lib.core.kept_outputs import keep_outputs, restore_outputs


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def test_outputs_come_back_under_their_key_to_whatever_place(project):
    (project / "models").mkdir()
    model, metrics = project / "models/model.pt", project / "train.json"
    model.write_text("weights")
    metrics.write_text("{}")
    keep_outputs("train", "key", {"models": model.parent, "metrics": metrics}, [model, metrics])
    model.unlink()
    places = {"models": project / "others", "metrics": project / "other.json"}
    restored = restore_outputs("train", "key", places)
    assert restored == [project / "others/model.pt", project / "other.json"]
    assert [path.read_text() for path in restored] == ["weights", "{}"]
    assert restore_outputs("train", "another key", places) == restore_outputs("evaluate", "key", places) == []


def test_only_the_keys_used_last_are_kept(project, monkeypatch):
    monkeypatch.setattr(kept_outputs, "KEPT", 2)
    path = project / "a.txt"
    for key in ("one", "two", "three"):
        path.write_text(key)
        keep_outputs("train", key, {"text": path}, [path])
        restore_outputs("train", "one", {"text": path})
    assert [bool(restore_outputs("train", key, {"text": path})) for key in ("one", "two", "three")] == [
        True,
        False,
        True,
    ]
