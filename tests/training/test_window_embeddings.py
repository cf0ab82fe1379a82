import os
import shutil

import numpy as np
import pytest
import torch
from filelock import FileLock

from lib.core.errors import SettingsError
from lib.models.checkpoints import load_checkpoint, save_checkpoint
from lib.models.onnx_backbone import OnnxBackbone
from lib.training import window_embeddings
from lib.training.training_state import settings_digest
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_database import TrainingDatabase
from tests.models.onnx_models import spectrogram_model
from tests.training.builders import assert_same, learner_of, trained, with_settings
from tests.training_data.builders import AUDIO


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    """An ONNX backbone, in a project folder of its own."""
    monkeypatch.chdir(tmp_path)
    return f"onnx:{spectrogram_model(tmp_path / 'inputs/bank.onnx', AUDIO)}"


def test_a_head_is_trained_on_embeddings_that_are_computed_once(windows, backbone, tmp_path, monkeypatch):
    n_windows = []
    forward = OnnxBackbone.forward
    monkeypatch.setattr(OnnxBackbone, "forward", lambda self, x: n_windows.append(len(x)) or forward(self, x))
    options = {"backbone": backbone, "head": "deep", "epochs": 12, "learning_rate": 0.01}
    outcome = trained(windows, tmp_path / "a", **options)
    assert sum(n_windows) < len(windows) + 10
    assert outcome.metrics["val_macro_roc"] > 0.8
    n_windows.clear()
    assert_same(trained(windows, tmp_path / "b", **options), outcome)
    assert sum(n_windows) < 10
    save_checkpoint(tmp_path / "model.pt", outcome.model, outcome.description)
    (tmp_path / "inputs/bank.onnx").unlink()
    model, description = load_checkpoint(tmp_path / "model.pt")
    assert description.onnx.name == "bank.onnx" and description.backbone == "onnx"
    x = torch.from_numpy(windows.spectrograms(np.arange(5))).float() / 255
    with torch.inference_mode():
        torch.testing.assert_close(model(x), outcome.model(x), rtol=0, atol=0)
        assert model.embed(x).shape == (5, 24)


def test_embeddings_depend_on_what_the_windows_hold_and_not_on_their_labels(folder, backbone, tmp_path):
    database = tmp_path / "training.db"
    shutil.copyfile(folder / "training.db", database)

    def made():
        before = set((tmp_path / window_embeddings.FOLDER).glob("*.f32"))
        learner_of(StoredWindows(database), backbone=backbone)
        return len(set((tmp_path / window_embeddings.FOLDER).glob("*.f32")) - before)

    assert made() == 1
    with TrainingDatabase(database) as db:
        first, second = db.get_specvalue()[:2]
        db.update_specvalue(first.id, "Embedding", b"of search")
        (label,) = db.get_segment_class({"SegmentID": db.get_segment_by_class("low")[0].id, "Class": "low"})
        db.update_segment_class(label.id, "ClassID", db.get_class({"Name": "high"})[0].id)
    assert made() == 0
    with TrainingDatabase(database) as db:
        db.update_specvalue(first.id, "Value", second.value)
    assert made() == 1


def test_embeddings_are_those_of_the_windows(windows, backbone):
    learner = learner_of(windows, backbone=backbone)
    x = torch.from_numpy(windows.spectrograms(np.array([7, 2]))).float() / 255
    with torch.inference_mode():
        features = learner.model.module.features(x)
    assert torch.equal(learner._embeddings[np.array([7, 2])], features)
    assert features.shape == (2, 24, 1, 1)


def test_a_quick_training_embeds_what_it_needs_alone(windows, backbone, monkeypatch):
    n_windows = []
    forward = OnnxBackbone.forward
    monkeypatch.setattr(OnnxBackbone, "forward", lambda self, x: n_windows.append(len(x)) or forward(self, x))
    learner = learner_of(windows, backbone=backbone, quick=True)
    needed = np.union1d(learner.task.training, learner.task.validating)
    assert len(needed) <= sum(n_windows) < len(needed) + 10 < len(windows)
    with torch.inference_mode():
        x = torch.from_numpy(windows.spectrograms(needed[[5, 0]])).float() / 255
        assert torch.equal(learner._embeddings[needed[[5, 0]]], learner.model.module.features(x))


def test_embeddings_that_were_not_used_for_long_are_removed_unless_they_are_being_made(windows, backbone, tmp_path):
    folder = tmp_path / window_embeddings.FOLDER
    folder.mkdir(parents=True)
    for number, name in enumerate(("a.f32", "a.lock", "b.part", "held.part", "held.lock", "c.f32", "d.f32", "e.part")):
        (folder / name).touch()
        os.utime(folder / name, (number, number))
    with FileLock(folder / "held.lock"):
        learner_of(windows, backbone=backbone)
    (new,) = {file.stem for file in folder.iterdir()} - {"c", "d", "e", "held"}
    assert {file.name for file in folder.glob("held.*")} == {"held.lock", "held.part"}
    assert (folder / f"{new}.f32").stat().st_size and len(new) > 1


def test_augmentations_that_have_no_effect_are_no_other_training(backbone):
    def digest(**changes):
        return settings_digest(with_settings(backbone=backbone, **changes))

    assert digest(augmentations=[]) == digest(augmentations=["blur"])
    assert digest(augmentations=[], embed_once=False) != digest(augmentations=["blur"], embed_once=False)


def test_interrupted_computation_resumes(windows, backbone, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def dying(batches, *args):
        yield from list(batches)[:2]
        raise Killed

    progress = window_embeddings.progress
    monkeypatch.setattr(window_embeddings, "progress", dying)
    with pytest.raises(Killed):
        learner_of(windows, backbone=backbone)
    monkeypatch.setattr(window_embeddings, "progress", progress)
    (part,) = (tmp_path / window_embeddings.FOLDER).glob("*.part")
    half = part.read_bytes()
    part.write_bytes(half + b"torn")
    resumed = learner_of(windows, backbone=backbone)._embeddings
    assert not part.exists() and part.with_suffix(".f32").read_bytes().startswith(half)
    everything = np.arange(len(windows))
    again = window_embeddings.WindowEmbeddings(part.with_suffix(".f32"), everything, (24, 1, 1))
    assert torch.equal(resumed[everything], again[everything]) and resumed[everything].isfinite().all()


def test_windows_are_augmented_if_that_is_asked_for(windows, backbone):
    learner = learner_of(windows, backbone=backbone, embed_once=False)
    x, _ = next(learner.batches(0))
    assert learner._embeddings is None and x.shape[1:] == (16, 40)
    assert torch.isfinite(learner.step(*next(learner.batches(0)), 0.01))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"head": "sed"}, r"bank\.onnx: output embedding: has no time; set train\.head to pool"),
        ({"pretrained": True}, r"train\.pretrained: an ONNX backbone stays as it is; set it to false"),
        ({"drop_path": 0.2}, r"train\.drop_path: an ONNX backbone stays as it is"),
        ({"backbone_after": "blocks.1"}, r"train\.backbone_after: an ONNX backbone stays as it is; set it to null"),
        ({"width_factor": 0.5}, r"train\.width_factor: an ONNX backbone stays as it is; set it to 1"),
        ({"depth_factor": 0.5}, r"train\.depth_factor: an ONNX backbone stays as it is; set it to 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(windows, backbone, changes, match):
    with pytest.raises(SettingsError, match=match) as caught:
        learner_of(windows, backbone=backbone, **changes)
    assert "\n" not in str(caught.value)


def test_a_start_from_a_model_of_an_onnx_backbone_names_its_file(windows, backbone, tmp_path):
    model = learner_of(windows, backbone=backbone, epochs=1).model.module
    save_checkpoint(tmp_path / "known.pt", model, model.description)
    with pytest.raises(SettingsError, match=r"its backbone is onnx:bank\.onnx; set train\.backbone to that"):
        learner_of(windows, load_checkpoint=str(tmp_path / "known.pt"))
