import pickle

import pytest
import torch
from huggingface_hub.utils.logging import get_verbosity
from safetensors.torch import save_file

from lib.core.errors import SettingsError
from lib.models.backbone_options import BackboneOptions
from lib.models.backbones import make_backbone

SMALL = {"width_factor": 1 / 12, "depth_factor": 1 / 12}


def unreachable(*_, **options):
    raise OSError("Name or service not known")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder of downloaded weights, empty, on a machine without internet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    return tmp_path


def keep_as_downloaded(folder, repository, weights):
    """Put weights where a download from Hugging Face lies."""
    repository_folder = folder / f"models--{repository.replace('/', '--')}"
    for part in ("refs", "snapshots/1"):
        (repository_folder / part).mkdir(parents=True)
    (repository_folder / "refs/main").write_text("1")
    save_file(weights, repository_folder / "snapshots/1/model.safetensors")


def published_model(seed=7):
    import timm

    torch.manual_seed(seed)
    return timm.create_model("mobilenetv3_small_050")


def assert_starts_from(backbone, published):
    expected = published.state_dict()
    for name, tensor in backbone.model.state_dict().items():
        if name == "conv_stem.weight":
            torch.testing.assert_close(tensor, expected[name].sum(dim=1, keepdim=True))
        else:
            assert torch.equal(tensor, expected[name])


@pytest.mark.parametrize("name", ["mobnet", "ast", "wav2vec2"])
def test_published_weights_that_cannot_be_had_are_named_in_one_line(hub, name):
    state = torch.get_rng_state()
    level = get_verbosity()
    with pytest.raises(SettingsError, match=r"train\.backbone = .*cannot be loaded .*internet once, or set") as caught:
        make_backbone(name, BackboneOptions(pretrained=True))
    assert "\n" not in str(caught.value)
    assert get_verbosity() == level
    if name != "mobnet":  # timm draws weights first
        assert torch.equal(torch.get_rng_state(), state)


def test_model_without_published_weights_is_named_in_one_line():
    with pytest.raises(SettingsError, match=r"= .lcnet_035.: its published weights cannot be loaded") as caught:
        make_backbone("lcnet_035", BackboneOptions(pretrained=True))
    assert "\n" not in str(caught.value)


def test_published_weights_are_used_and_fitted_to_one_channel(hub):
    published = published_model()
    keep_as_downloaded(hub, "timm/mobilenetv3_small_050.lamb_in1k", published.state_dict())
    torch.manual_seed(8)
    assert_starts_from(make_backbone("mobnet", BackboneOptions(pretrained=True)), published)


def test_published_weights_are_found_in_a_folder(tmp_path):
    published = published_model()
    keep_as_downloaded(tmp_path, "timm/mobilenetv3_small_050.lamb_in1k", published.state_dict())
    assert_starts_from(make_backbone("mobnet", BackboneOptions(pretrained=str(tmp_path))), published)


@pytest.mark.parametrize("kind", [".safetensors", ".pth", "nested"])
def test_weights_come_from_a_file(tmp_path, kind):
    published = published_model()
    path = tmp_path / f"weights{kind if kind != 'nested' else '.pt'}"
    if kind == ".safetensors":
        save_file(published.state_dict(), path)
    else:
        torch.save(published.state_dict() if kind == ".pth" else {"state_dict": published.state_dict()}, path)
    assert_starts_from(make_backbone("mobnet", BackboneOptions(pretrained=str(path))), published)


@pytest.mark.parametrize(("name", "options"), [("gernet", {"width_factor": 0.1}), ("cnn", {}), ("wav2vec2", SMALL)])
def test_weights_of_a_scaled_or_own_backbone_come_from_a_file(tmp_path, name, options):
    first = make_backbone(name, BackboneOptions(**options))
    weights = getattr(first, "model", first).state_dict()
    if name == "wav2vec2":  # as published: with a layer for letters, and with the older names of torch
        weights = {
            key.replace("parametrizations.weight.original0", "weight_g").replace(
                "parametrizations.weight.original1", "weight_v"
            ): tensor
            for key, tensor in weights.items()
        } | {"aux.weight": torch.zeros(3)}
        assert any(key.endswith("weight_g") for key in weights)
    torch.save(weights, tmp_path / "weights.pth")
    second = make_backbone(name, BackboneOptions(pretrained=str(tmp_path / "weights.pth"), **options))
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[key])


@pytest.mark.parametrize(
    ("name", "layer"), [("gernet", "stem.conv"), ("hgnet", "stem.stem1.conv"), ("vovnet", "stem.0.conv")]
)
def test_a_file_of_a_scaled_model_of_colours_is_fitted_to_one_channel(tmp_path, name, layer):
    weights = make_backbone(name, BackboneOptions(in_chans=3, width_factor=0.1)).model.state_dict()
    save_file(weights, tmp_path / "weights.safetensors")
    backbone = make_backbone(name, BackboneOptions(pretrained=str(tmp_path / "weights.safetensors"), width_factor=0.1))
    fitted = backbone.model.get_submodule(layer).weight
    torch.testing.assert_close(fitted, weights[f"{layer}.weight"].sum(dim=1, keepdim=True))


def as_transformers_writes_them(ast):
    """Weights of the spectrogram transformer by the names that they are published under, with a classifier."""
    weights = {}
    names = {
        "cls_token": "embeddings.cls_token",
        "reg_token": "embeddings.distillation_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "norm": "layernorm",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    for name, tensor in ast.state_dict().items():
        *block, part = name.split(".", 2) if name.startswith("blocks.") else (name,)
        part, kind = (part, "") if part in names else part.rsplit(".", 1)
        place = f"encoder.layer.{block[1]}." if block else ""
        if part == "attn.qkv":
            for each, values in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                weights[f"{place}attention.attention.{each}.{kind}"] = values.clone()
        else:
            weights[f"{place}{names[part]}.{kind}".rstrip(".")] = tensor
    weights = {f"audio_spectrogram_transformer.{name}": tensor for name, tensor in weights.items()}
    return weights | {"classifier.dense.weight": torch.zeros(5, 64)}


def test_published_spectrogram_transformer_is_understood(tmp_path):
    first = make_backbone("ast", BackboneOptions(**SMALL))
    weights = as_transformers_writes_them(first.model)
    assert "audio_spectrogram_transformer.encoder.layer.0.attention.attention.query.weight" in weights
    save_file(weights, tmp_path / "model.safetensors")
    second = make_backbone("ast", BackboneOptions(pretrained=str(tmp_path / "model.safetensors"), **SMALL))
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[key])


class Hostile:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (lambda w: {k: v for k, v in w.items() if "blocks.0" not in k}, r"it lacks blocks\.0.*and \d+ more; give one"),
        (lambda w: w | {"extra.weight": torch.zeros(2)}, r"it has unknown extra\.weight; give one"),
        (
            lambda w: w | {"blocks.0.0.bn1.bias": torch.zeros(3)},
            r"in another shape blocks\.0\.0\.bn1\.bias \(3 instead",
        ),
        (lambda w: {"weights": 5}, r"holds no tensors by name; save the state_dict"),
        (lambda w: Hostile(), r"is not a file of tensors and plain data"),
        (None, r"is not a file of tensors"),
    ],
)
def test_file_of_other_weights_is_refused_in_one_line(tmp_path, capsys, content, match):
    path = tmp_path / "weights.pth"
    if content is None:
        path.write_bytes(b"no weights")
    else:
        torch.save(content(published_model().state_dict()), path, pickle_module=pickle)
    with pytest.raises(SettingsError, match=r"train\.pretrained = .*weights\.pth.*" + match) as caught:
        make_backbone("mobnet", BackboneOptions(pretrained=str(path)))
    assert "\n" not in str(caught.value) and "code ran" not in capsys.readouterr().out


def test_missing_file_is_named():
    with pytest.raises(SettingsError, match=r"train\.pretrained = 'none\.pth': no such file or folder"):
        make_backbone("gernet", BackboneOptions(pretrained="none.pth"))
