"""No path that a client gives leads out of the folders that are served."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import SettingsError
from lib.server.served_folder import ServedFolder
from tests.training_data.builders import write_data_set

OUTSIDE = [
    "../models_evil/model.pt",
    "../models/model.pt",
    "hostile/../../models_evil/model.pt",
    "%2e%2e/models_evil/model.pt",
    "%252e%252e/models_evil/model.pt",
    "..\\models_evil\\model.pt",
    "hostile\\..\\model.pt",
    "/etc/passwd",
    "//etc/passwd",
    "SERVED/models/model.pt",
    "SERVED/models_evil/model.pt",
    "C:/model.pt",
    "C:\\model.pt",
    "model.pt\0",
    "model.pt\0.pt",
    "model.pt#",
    "#/../../models_evil/model.pt",
    "model.pt#fragment",
    "link.pt",
    ".hidden.pt",
    "model.pt/model.pt",
    "~root/model.pt",
    "$HOME/model.pt",
    "file:///etc/passwd",
    "",
    ".",
    "hostile",
    "model.json",
    300 * "a" + ".pt",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_of_a_model_leads_out(server, served, path):
    response = server.predict(b"RIFF", params={"model_ckpt_path": path.replace("SERVED", str(served))})
    assert response.status_code == 404
    assert response.json() == {"detail": "no such model; GET /models lists them"}


@pytest.mark.parametrize(
    ("request_path", "body"),
    [
        ("/model/predict-directory", lambda path: [path]),
        ("/model/predict-directory-stream", lambda path: ["set", path]),
        ("/model/test-directory", lambda path: [{"dataset_type": "segments", "dataset_path": path}]),
        ("/model/test-directory-stream", lambda path: [{"dataset_type": "segments", "dataset_path": path}]),
    ],
)
def test_no_path_of_a_folder_leads_out(server, served, request_path, body):
    outside = ["../data_evil/set", "%2e%2e/data_evil/set", "%252e%252e/data_evil/set", "..\\data_evil\\set"]
    outside += [str(served / "data/set"), str(served / "data_evil/set"), "/", "C:/", "C:/set", "set\0", "set#", "link"]
    for path in [*outside, "set/../../data_evil/set", "set/recordings/r00.wav"]:
        response = server.post(request_path, json=body(path))
        assert (response.status_code, response.json()) == (404, {"detail": "no such folder"}), path


def test_a_link_in_a_folder_is_not_followed_out_of_it(server):
    found = server.post("/model/predict-directory", json=["linked"]).json()
    assert found == {"secret": {"error": "lies outside of the served folder"}}


def test_names_in_a_linked_folder_outside_are_not_told(server, served):
    write_data_set(served / "data/partly", 1)
    (served / "data/partly/recordings/more").symlink_to(served / "data_evil/set/recordings")
    for path, body in (
        ("predict-directory", ["partly"]),
        ("test-directory", [{"dataset_type": "segments", "dataset_path": "partly"}]),
    ):
        answer = server.post(f"/model/{path}", json=body).json()
        assert len(answer.get("predictions", answer)) == 1, answer


def test_a_sibling_of_the_same_prefix_is_not_served(server):
    for path in ("_evil/model.pt", "../models_evil/model.pt", "./../models_evil/model.pt"):
        assert server.predict(b"RIFF", params={"model_ckpt_path": path}).status_code == 404


@given(
    st.lists(st.sampled_from(["..", ".", "", "a", "b.pt", "link", "\\", "C:", "%2e%2e", "\0", " ", "#"]), max_size=6)
)
def test_what_is_found_lies_below_the_folder(tmp_path_factory, parts):
    root = tmp_path_factory.getbasetemp() / "rooted"
    if not root.exists():
        (root / "in/a").mkdir(parents=True)
        (root / "in/a/b.pt").touch()
        (root / "in/link").symlink_to(root)
        (root / "a").mkdir()
        (root / "a/b.pt").touch()
    folder = ServedFolder(str(root / "in"), "serve.model_dir")
    found = folder.find("/".join(parts))
    assert found is None or found == folder.root or folder.root in found.parents


def test_what_a_linked_folder_outside_holds_is_not_looked_at(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.pt").touch()
    for name in ("b.pt", "c/d.pt"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).touch()
    (tmp_path / "out/c/back").symlink_to(tmp_path / "in")
    (tmp_path / "in/link").symlink_to(tmp_path / "out")
    assert list(ServedFolder(str(tmp_path / "in"), "serve.model_dir").files(".pt")) == ["a.pt"]


def test_a_folder_that_is_missing_is_named():
    with pytest.raises(SettingsError, match=r"serve.model_dir = 'nowhere': no such folder; correct it"):
        ServedFolder("nowhere", "serve.model_dir")


def test_files_below_a_folder_are_listed_without_those_that_lead_out(served):
    assert list(ServedFolder(str(served / "models"), "serve.model_dir").files(".pt")) == ["model.pt"]
    assert Path(served / "models/link.pt").exists()
