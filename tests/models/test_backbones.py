from pathlib import Path

import pytest
import torch

from lib.core.errors import SettingsError
from lib.models.backbone_options import BackboneOptions
from lib.models.backbones import BACKBONES, OF_TIMM, make_backbone

DOCUMENTED = [
    "AST", "EFFICIENT_NET_V2_S", "EFFICIENT_NET_V2_M", "EFFICIENT_NET_V2_L", "RESNEXT50_32X4D", "RESNEXT101_32X8D",
    "RESNEXT101_64X4D", "WAV2VEC", "WAV2VEC_CNN", "CONVNEXT_TINY", "CONVNEXT_SMALL", "CONVNEXT_LARGE", "CONVNEXT_BASE",
    "MOBILENET_V3_LARGE", "MOBNET",
]  # fmt: skip
FAMILIES = ["dla", "effnet", "gernet", "hgnet", "vovnet", "repvit"]
IMAGES = torch.rand(2, 1, 40, 70, generator=torch.Generator().manual_seed(1))


def n_weights(name, **options):
    """Weights of a backbone that is not filled with any."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in make_backbone(name, BackboneOptions(**options)).parameters())


def test_every_model_of_other_projects_has_a_name_here():
    assert {name.lower() for name in DOCUMENTED} | set(FAMILIES) <= BACKBONES.keys()


def test_names_of_timm_exist():
    import timm

    assert all(map(timm.is_model, OF_TIMM.values()))


@pytest.mark.parametrize("name", [*FAMILIES, "mobnet", "resnext50_32x4d", "convnext_tiny", "efficient_net_v2_s", "ast"])
def test_small_variants_give_feature_maps_of_images_of_any_size(name):
    small = make_backbone(name, BackboneOptions(width_factor=0.125, depth_factor=0.25)).eval()
    assert small.takes == "images"
    smaller = n_weights(name, width_factor=0.125, depth_factor=0.01)
    assert smaller <= sum(weight.numel() for weight in small.parameters()) < 2_000_000
    with torch.inference_mode():
        n, channels, bands, frames = small(IMAGES).shape
    assert (n, channels) == (2, small.num_features) and bands >= 1 and frames >= 2


@pytest.mark.parametrize(
    ("name", "n_million", "shape"),
    [
        ("resnext50_32x4d", 23, (2, 2048, 2, 10)),
        ("resnext101_32x8d", 87, (2, 2048, 2, 10)),
        ("resnext101_64x4d", 81, (2, 2048, 2, 10)),
        ("convnext_tiny", 28, (2, 768, 2, 9)),
        ("convnext_small", 49, (2, 768, 2, 9)),
        ("convnext_base", 88, (2, 1024, 2, 9)),
        ("convnext_large", 196, (2, 1536, 2, 9)),
        ("efficient_net_v2_s", 20, (2, 1280, 2, 10)),
        ("efficient_net_v2_m", 53, (2, 1280, 2, 10)),
        ("efficient_net_v2_l", 117, (2, 1280, 2, 10)),
        ("mobilenet_v3_large", 4, (2, 960, 2, 10)),
    ],
)
def test_whole_models_are_as_large_as_published_and_take_spectrograms(name, n_million, shape):
    with torch.device("meta"):
        backbone = make_backbone(name, BackboneOptions()).eval()
        features = backbone(torch.empty(2, 1, 64, 300))
    assert features.shape == shape and backbone.num_features == shape[1]
    assert round(n_weights(name) / 1e6) == n_million


@pytest.mark.parametrize("name", ["gernet", "hgnet", "vovnet", "repvit", "dla", "effnet"])
def test_width_and_depth_each_make_a_network_smaller(name):
    whole, narrow, shallow = (
        n_weights(name, width_factor=width, depth_factor=depth)
        for width, depth in ((0.5, 1.0), (0.25, 1.0), (0.5, 0.3))
    )
    assert narrow < 0.45 * whole and shallow < whole


def test_factors_of_one_leave_a_model_as_timm_makes_it():
    import timm

    from lib.models.timm_scaling import scaled_model

    for name in ("gernet_s", "hgnetv2_b0", "ese_vovnet19b_slim", "mobilenetv3_small_050", "repvit_m0_9", "dla34"):
        whole = timm.create_model(name, num_classes=0, device="meta").state_dict()
        scaled = scaled_model(name, 1.0, 1.0, num_classes=0, device="meta").state_dict()
        assert {key: tensor.shape for key, tensor in scaled.items()} == {k: tensor.shape for k, tensor in whole.items()}


def test_models_take_images_of_several_channels():
    for name in ("cnn", "gernet", "ast"):
        backbone = make_backbone(name, BackboneOptions(in_chans=3, width_factor=0.1)).eval()
        with torch.inference_mode():
            assert backbone(IMAGES.expand(-1, 3, -1, -1)).shape[:2] == (2, backbone.num_features)


def test_the_default_backbone_is_drawn_as_ever():
    torch.manual_seed(5)
    cnn = make_backbone("cnn", BackboneOptions())
    assert sum(weight.numel() for weight in cnn.parameters()) == 680_040
    first = torch.tensor([0.13210074603557587, -0.14955563843250275, 0.1629878729581833])
    assert torch.equal(cnn.stem[0].weight[0, 0, 0, :3], first)


def test_tokens_of_the_spectrogram_transformer_are_laid_out_in_time():
    ast = make_backbone("ast", BackboneOptions(in_time=True, width_factor=0.1, depth_factor=0.1)).eval()
    with torch.inference_mode():
        assert ast(torch.zeros(1, 1, 128, 1024)).shape == (1, 64, 12, 101)
        assert ast(torch.zeros(1, 1, 64, 300)).shape == (1, 64, 5, 29)


@pytest.mark.parametrize(
    ("name", "width", "sound", "frame"),
    [("dla", 36, slice(20, 28), 1), ("dla", 68, slice(48, 60), 2), ("vit_tiny_patch16_224", 36, slice(26, 28), 2)],
)
def test_a_sound_is_found_when_it_is_heard_whatever_the_width_of_an_image(name, width, sound, frame):
    torch.manual_seed(1)
    backbone = make_backbone(name, BackboneOptions(in_time=True, width_factor=0.25, depth_factor=0.25)).eval()
    images = torch.zeros(2, 1, 32, width)
    images[1, :, :, sound] = 1
    with torch.inference_mode():
        silent, heard = backbone(images)
    assert (heard - silent).abs().sum(dim=(0, 1)).argmax() == frame


@pytest.mark.parametrize(("name", "shape"), [("wav2vec2", (2, 64, 1, 49)), ("wav2vec_cnn", (2, 13, 4, 3))])
def test_waveforms_become_frames_of_twenty_milliseconds(name, shape):
    backbone = make_backbone(name, BackboneOptions(width_factor=0.1, depth_factor=0.1))
    assert (backbone.takes, backbone.sampling_rate) == ("waveforms", 16000)
    features = backbone(torch.randn(2, 16000))
    assert features.shape == shape
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("efficientnetb0", {}, r"train\.backbone = 'efficientnetb0': must be one of cnn, ast.*\befficientnet_b0\b"),
        ("gernett", {}, r"did you mean gernet\b"),
        ("swin_tiny_patch4_window7_224", {"width_factor": 0.5}, r"train\.width_factor = 0\.5.*is a Swin.*cannot be"),
        ("efficientnet_b0", {"depth_factor": 0.5}, r"train\.depth_factor = 0\.5: efficientnet_b0 cannot be scaled"),
        ("dla60x_c", {"width_factor": 0.25}, r"train\.width_factor = 0\.25.*cannot be made so"),
        ("cnn", {"depth_factor": 2.0}, r"train\.depth_factor = 2: cnn has a fixed depth; set it to 1"),
        ("dla", {"drop_path": 0.1}, r"train\.drop_path = 0\.1: dla34 has no blocks to skip"),
        (
            "gernet",
            {"pretrained": True, "width_factor": 0.5},
            r"train\.pretrained = True: the published weights of ger",
        ),
        ("ast", {"pretrained": True, "depth_factor": 0.5}, r"train\.pretrained = True: the published weights of ast"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_line(name, options, match):
    with pytest.raises(SettingsError, match=match) as caught:
        make_backbone(name, BackboneOptions(**options))
    assert "\n" not in str(caught.value)


def test_names_cost_no_heavy_import():
    source = Path(__file__).parents[2] / "lib/models/backbones.py"
    lines = [line for line in source.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert not any("torch" in line or "timm" in line for line in lines)
