import pytest
import torch
from safetensors.torch import save_file

from lib.core.errors import SettingsError
from lib.models.backbones import make_backbone


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
