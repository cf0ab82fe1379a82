import copy
import os
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import external_data_helper

from lib.core.errors import EarshotError, SettingsError
from lib.models.backbone_options import BackboneOptions
from lib.models.backbones import make_backbone
from lib.models.checkpoints import load_checkpoint, save_checkpoint
from lib.models.onnx_backbone import OnnxBackbone, OnnxModel, onnx_model
from lib.models.onnx_card import read_card
from lib.models.onnx_files import onnx_origin, read_onnx
from lib.models.recognizer import build
from tests.models.builders import frozen_description, random_model
from tests.models.onnx_models import spectrogram_model, waveform_model, write_card
from tests.training_data.builders import AUDIO

SIZE = (AUDIO.spec_height, AUDIO.spec_width)
IMAGES = torch.rand(5, 1, *SIZE, generator=torch.Generator().manual_seed(3))
RATE, SAMPLES = 16000, 4000
WAVEFORMS = torch.rand(5, SAMPLES, generator=torch.Generator().manual_seed(4)) - 0.5


def opened(path, size=SIZE, **options):
    return OnnxBackbone(read_onnx(str(path)), onnx_origin(str(path)), size, **options)


@pytest.mark.parametrize("layout", ["nft", "ncft", "ntf", "nftc", "nctf"])
def test_spectrograms_are_given_as_the_card_says(tmp_path, layout):
    backbone = opened(spectrogram_model(tmp_path / "bank.onnx", AUDIO, layout=layout))
    assert (backbone.takes, backbone.num_features) == ("images", 24)
    session = onnxruntime.InferenceSession(str(tmp_path / "bank.onnx"))
    axes = {"n": 0, "c": 1, "f": 2, "t": 3}
    images = IMAGES.numpy().transpose([axes[axis] for axis in ("c", *layout.replace("c", ""))])[0]
    images = np.expand_dims(images, layout.index("c")) if "c" in layout else images
    (wanted,) = session.run(["embedding"], {"images": images})
    features = backbone(IMAGES)
    assert features.shape == (5, 24, 1, 1)
    np.testing.assert_allclose(features[:, :, 0, 0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize(("layout", "batch"), [("ns", "batch"), ("ncs", 2)])
def test_waveforms_become_embeddings_also_by_models_of_a_fixed_number_of_windows(tmp_path, layout, batch):
    path = waveform_model(tmp_path / "sound.onnx", SAMPLES, RATE, layout=layout, batch=batch)
    backbone = opened(path, (SAMPLES,))
    features = backbone(WAVEFORMS)
    assert backbone.takes == "waveforms" and features.shape == (5, 16, 1, 1)
    for i in (0, 4):
        torch.testing.assert_close(backbone(WAVEFORMS[i : i + 1]), features[i : i + 1])


def test_an_output_with_frames_is_laid_out_in_time(tmp_path):
    path = waveform_model(tmp_path / "sound.onnx", SAMPLES, RATE)
    given = {"kind": "waveform", "sampling_rate": RATE, "seconds": 0.25}
    write_card(path, input=given, output={"name": "frames", "layout": "ntd"})
    features = opened(path, (SAMPLES,), in_time=True)(WAVEFORMS)
    assert features.shape == (5, 16, 1, 61)
    write_card(path, input=given, output={"name": "frames"})
    with pytest.raises(SettingsError, match=r"output frames: has the shape .*correct output\.layout"):
        opened(path, (SAMPLES,))


def test_copies_share_the_model_and_pass_on_no_gradients(tmp_path):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    backbone = opened(path)
    assert copy.deepcopy(torch.nn.Sequential(backbone))[0].model is backbone.model is opened(path).model
    assert not list(backbone.parameters()) and not backbone(IMAGES.clone().requires_grad_()).requires_grad


class Unfilled:
    """A session that returns tensors that it has not filled, the first times."""

    def __init__(self, session, n_unfilled):
        self.session, self.n_unfilled, self.n_calls = session, n_unfilled, 0

    def __getattr__(self, name):
        return getattr(self.session, name)

    def run(self, names, feeds):
        self.n_calls += 1
        (answer,) = self.session.run(names, feeds)
        return [np.full_like(answer, self.n_calls) if self.n_calls <= self.n_unfilled else answer]


@pytest.mark.parametrize("n_unfilled", [0, 1, 2])
def test_the_first_answer_for_each_shape_is_compared_with_a_second(tmp_path, n_unfilled):
    model = OnnxModel(spectrogram_model(tmp_path / "bank.onnx", AUDIO).read_bytes(), "bank.onnx")
    session = Unfilled(model.session(), n_unfilled)
    model._sessions["cpu"] = session
    feeds = {"images": IMAGES[:, 0].numpy()}
    wanted = session.session.run(["embedding"], feeds)[0]
    for n_calls in (n_unfilled + 2, n_unfilled + 3):
        np.testing.assert_array_equal(model.run(feeds, "embedding"), wanted)
        assert session.n_calls == n_calls
    model.run({"images": feeds["images"][:2]}, "embedding")
    assert session.n_calls == n_unfilled + 5


def test_answers_that_keep_differing_are_an_error(tmp_path):
    model = OnnxModel(spectrogram_model(tmp_path / "bank.onnx", AUDIO).read_bytes(), "bank.onnx")
    model._sessions["cpu"] = Unfilled(model.session(), 100)
    with pytest.raises(EarshotError, match=r"bank\.onnx: gives another embedding each time that it is asked"):
        model.run({"images": IMAGES[:, 0].numpy()}, "embedding")


CARDS = [
    ({"input": {"kind": "sound"}}, r"bank\.yaml: input\.kind = 'sound': must be 'waveform' or 'spectrogram'"),
    ({"input": {"name": "audio"}}, r"bank\.onnx: input audio: there is none of that name; it has images"),
    ({"output": {"name": "label"}}, r"bank\.onnx: output label: there is none of that name; it has other, embedding"),
    ({"input": {"seconds": -1}}, r"bank\.yaml: input\.seconds = -1: must be greater than 0"),
    ({"input": {"layout": "nf"}}, r"layout must have the axes n, f, t of a spectrogram"),
    ({"input": {"layout": "ncft"}}, r"bank\.onnx: input images: has 3 axes, where the layout ncft has 4"),
    ({"input": {"layout": "ntf"}}, r"input images: takes 16 frames instead of 40, 40 bands instead of 16; set audio"),
    ({"output": {"layout": "nx"}}, r"output\.layout = 'nx': must have the axes n and d"),
    ({"output": {"size": 3}}, r"output\.size = 3: unknown key; allowed: name, layout"),
    ({"input": {"audio": {"bands": 16}}}, r"there is no setting audio\.bands"),
]


@pytest.mark.parametrize(("changes", "match"), CARDS)
def test_cards_that_do_not_fit_are_told_in_one_line(tmp_path, changes, match):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    given = {"sampling_rate": AUDIO.sampling_rate, "seconds": AUDIO.spec_duration} | changes.get("input", {})
    write_card(path, **(changes | {"input": given}))
    with pytest.raises(SettingsError, match=match) as caught:
        opened(path)
    assert "\n" not in str(caught.value)


def test_missing_card_and_damaged_files_are_told_in_one_line(tmp_path):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    path.with_suffix(".yaml").write_text("input: [")
    with pytest.raises(SettingsError, match=r"bank\.yaml: cannot be read") as caught:
        onnx_origin(str(path))
    assert "\n" not in str(caught.value)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(SettingsError, match=r"bank\.yaml: no such file, which says what the model takes"):
        onnx_origin(str(path))
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    path.write_bytes(b"no model")
    with pytest.raises(SettingsError, match=r"train\.backbone = 'onnx:.*bank\.onnx': is not an ONNX file"):
        onnx_origin(str(path))
    path.unlink()
    with pytest.raises(SettingsError, match=r"bank\.onnx': cannot be read \(No such file"):
        onnx_origin(str(path))


def test_all_settings_that_are_to_be_changed_are_named_in_one_line(tmp_path):
    path = waveform_model(tmp_path / "sound.onnx", 96000, 32000)
    description = frozen_description(path)
    with pytest.raises(SettingsError) as caught:
        build(description, onnx=path.read_bytes())
    wanted = "set audio.sampling_rate to 32000, audio.spec_duration to 3.0, train.frontend to waveform"
    assert wanted in str(caught.value) and "\n" not in str(caught.value)
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    given = {"sampling_rate": AUDIO.sampling_rate, "seconds": AUDIO.spec_duration, "audio": {"top_db": 60.0}}
    with pytest.raises(SettingsError, match=r"set audio\.top_db to 60\.0, and run the extract stage again"):
        build(frozen_description(write_card(path, input=given)), onnx=path.read_bytes())


def in_two_files(path, location="weights.bin"):
    """Move the tensors of an ONNX file to another; returns that."""
    model = onnx.load(path)
    external_data_helper.convert_model_to_external_data(model, location=location, size_threshold=0)
    onnx.save(model, path)
    return path.parent / location


def test_external_tensors_are_taken_in_and_a_change_of_them_is_noticed(tmp_path):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    whole, wanted = onnx_origin(str(path)).digest, opened(path)(IMAGES)
    tensors = in_two_files(path)
    split = onnx_origin(str(path)).digest
    assert split != whole
    model = onnx_model(read_onnx(str(path)), "bank.onnx")
    tensors.rename(tmp_path / "moved.bin")
    torch.testing.assert_close(
        torch.from_numpy(model.run({"images": IMAGES[:, 0].numpy()}, "embedding")), wanted[:, :, 0, 0]
    )
    with pytest.raises(SettingsError, match=r"lacks its tensors in weights\.bin; put that file beside it"):
        onnx_origin(str(path))
    tensors.write_bytes(bytes(tmp_path.joinpath("moved.bin").read_bytes()[::-1]))
    assert onnx_origin(str(path)).digest not in (split, whole)


def test_external_tensors_outside_of_the_folder_are_refused(tmp_path):
    path = spectrogram_model(tmp_path / "model/bank.onnx", AUDIO)
    shutil.move(in_two_files(path), tmp_path / "secret.bin")
    (path.parent / "weights.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(SettingsError, match=r"has tensors outside of its folder \(weights\.bin\)"):
        read_onnx(str(path))
    with pytest.raises(EarshotError, match=r"its tensors lie in other files"):
        OnnxModel(path.read_bytes(), "bank.onnx")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../secret.bin"
    onnx.save(model, path)
    with pytest.raises(SettingsError, match=r"has tensors outside of its folder \(\.\./secret\.bin\)"):
        read_onnx(str(path))


def test_external_tensors_that_cannot_be_read_are_told_in_one_line(tmp_path):
    path = spectrogram_model(tmp_path / "model/bank.onnx", AUDIO)
    tensors = in_two_files(path)
    os.link(tensors, tmp_path / "kept.bin")
    with pytest.raises(SettingsError, match=r"its tensors cannot be read .*; copy the whole files") as caught:
        read_onnx(str(path))
    assert "\n" not in str(caught.value)
    (tmp_path / "kept.bin").unlink()
    tensors.write_bytes(tensors.read_bytes()[:100])
    with pytest.raises(SettingsError, match=r"its tensors cannot be read .*; copy the whole files"):
        read_onnx(str(path))


def test_external_tensors_lie_beside_a_link_to_the_file(tmp_path):
    path = spectrogram_model(tmp_path / "cache/bank.onnx", AUDIO)
    wanted = opened(path)(IMAGES)
    (tmp_path / "inputs").mkdir()
    in_two_files(path).rename(tmp_path / "inputs/weights.bin")
    path.rename(tmp_path / "cache/blob")
    path.with_suffix(".yaml").rename(tmp_path / "inputs/bank.yaml")
    (tmp_path / "inputs/bank.onnx").symlink_to(tmp_path / "cache/blob")
    torch.testing.assert_close(opened(tmp_path / "inputs/bank.onnx")(IMAGES), wanted)


def test_a_comment_in_the_card_and_another_name_make_no_other_model_of_it(tmp_path):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    digest = onnx_origin(str(path)).digest
    with path.with_suffix(".yaml").open("a") as card:
        card.write("# from another place\n")
    for suffix in (".onnx", ".yaml"):
        path.with_suffix(suffix).rename(tmp_path / f"other{suffix}")
    assert onnx_origin(str(tmp_path / "other.onnx")).digest == digest
    write_card(tmp_path / "other.onnx", input={"sampling_rate": 4000, "seconds": 0.5, "audio": {"top_db": 60.0}})
    assert onnx_origin(str(tmp_path / "other.onnx")).digest != digest


def test_a_checkpoint_whose_backbone_is_damaged_is_refused(tmp_path):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    description = frozen_description(path)
    save_checkpoint(tmp_path / "model.pt", random_model(description, onnx=path.read_bytes()), description)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    content["onnx"] = torch.frombuffer(bytearray(b"location, but no model"), dtype=torch.uint8)
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(EarshotError, match=r"bank\.onnx: cannot be run by ONNX Runtime"):
        load_checkpoint(tmp_path / "model.pt")


def test_a_checkpoint_holds_its_backbone(tmp_path):
    path = spectrogram_model(tmp_path / "inputs/bank.onnx", AUDIO)
    description = frozen_description(path)
    model = random_model(description, onnx=path.read_bytes())
    save_checkpoint(tmp_path / "a/model.pt", model, description)
    shutil.rmtree(tmp_path / "inputs")
    shutil.move(tmp_path / "a", tmp_path / "b")
    loaded, stored = load_checkpoint(tmp_path / "b/model.pt")
    assert stored == description and stored.backbone_name == "onnx:bank.onnx"
    with torch.inference_mode():
        assert torch.equal(loaded(IMAGES), model(IMAGES))
        torch.testing.assert_close(loaded.embed(IMAGES), loaded.features(IMAGES)[:, :, 0, 0])


def test_the_card_may_be_named_after_the_whole_file(tmp_path):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    path.with_suffix(".yaml").rename(tmp_path / "bank.onnx.yaml")
    assert read_card(path).output.name == "embedding"
    with pytest.raises(SettingsError, match="must be one of"):
        make_backbone("onnx", BackboneOptions())
