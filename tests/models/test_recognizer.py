import pytest
import torch
from safetensors.torch import save_file

from lib.errors import SettingsError
from lib.models.backbones import make_backbone
from lib.models.losses import classification_loss
from lib.models.recognizer import build
from tests.database.builders import AUDIO
from tests.models.builders import describe, random_model

SPECTROGRAMS = torch.rand(4, AUDIO.spec_height, AUDIO.spec_width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["cnn", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_backbone_learns_from_a_step(backbone):
    torch.manual_seed(1)
    model = build(describe(AUDIO, backbone=backbone, dropout=0.0))
    targets = torch.eye(3)[[0, 1, 2, 0]]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        logits = model(SPECTROGRAMS)
        assert logits.shape == (4, 3)
        losses.append(classification_loss(logits, targets, multi_label=True))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[1] < losses[0]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (64, 300), (128, 33)])
def test_own_backbone_takes_spectrograms_of_any_size(height, width):
    audio = AUDIO.model_copy(update={"spec_height": height})
    model = random_model(describe(audio))
    assert model.embed(torch.rand(2, height, width)).shape == (2, model.backbone.num_features)
    assert model(torch.rand(1, height, width)).shape == (1, 3)


def test_score_of_a_window_does_not_depend_on_the_batch():
    model = random_model(describe(AUDIO))
    with torch.inference_mode():
        together = model(SPECTROGRAMS)
        alone = torch.cat([model(one[None]) for one in SPECTROGRAMS])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_unknown_backbone_names_close_ones():
    with pytest.raises(SettingsError, match=r"train\.backbone = 'efficientnetb0'.*\befficientnet_b0\b") as caught:
        make_backbone("efficientnetb0")
    assert "\n" not in str(caught.value)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder of downloaded weights, empty, on a machine without internet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_backbone_for_images_of_one_size_is_refused_in_one_line():
    with pytest.raises(SettingsError, match=r"train\.backbone = 'swin_tiny_patch4_window7_224': cannot take spectro"):
        build(describe(AUDIO, backbone="swin_tiny_patch4_window7_224"))


def test_published_weights_that_cannot_be_had_are_named_in_one_line(hub):
    with pytest.raises(
        SettingsError, match=r"train\.backbone = .mobilenetv3_small_050.: cannot be loaded .*internet"
    ) as caught:
        make_backbone("mobilenetv3_small_050", pretrained=True)
    assert "\n" not in str(caught.value)


def test_model_without_published_weights_is_named_in_one_line():
    with pytest.raises(SettingsError, match=r"train\.backbone = .lcnet_035.: cannot be loaded") as caught:
        make_backbone("lcnet_035", pretrained=True)
    assert "\n" not in str(caught.value)


def test_published_weights_are_used_and_fitted_to_one_channel(hub):
    import timm

    torch.manual_seed(7)
    published = timm.create_model("mobilenetv3_small_050")
    folder = hub / "models--timm--mobilenetv3_small_050.lamb_in1k"
    for part in ("refs", "snapshots/1"):
        (folder / part).mkdir(parents=True)
    (folder / "refs/main").write_text("1")
    save_file(published.state_dict(), folder / "snapshots/1/model.safetensors")
    torch.manual_seed(8)
    backbone = make_backbone("mobilenetv3_small_050", pretrained=True)
    expected = published.state_dict()
    for name, tensor in backbone.model.state_dict().items():
        if name == "conv_stem.weight":
            torch.testing.assert_close(tensor, expected[name].sum(dim=1, keepdim=True))
        else:
            assert torch.equal(tensor, expected[name])


def test_backbone_without_published_weights_is_not_started_from_them():
    with pytest.raises(SettingsError, match=r"train\.pretrained = True: cnn has no published weights; choose a timm"):
        build(describe(AUDIO), pretrained=True)
