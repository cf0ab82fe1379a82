import pytest
import torch

from lib.core.errors import EarshotError, SettingsError
from lib.models.backbone_options import BackboneOptions
from lib.models.backbones import make_backbone
from lib.models.recognizer import build
from lib.training.transfer import frozen_parts
from tests.models.builders import describe, save_random_model
from tests.training.builders import learner_of, trained, with_settings
from tests.training_data.builders import AUDIO


@pytest.fixture
def known(tmp_path):
    """A model of other classes, two of which the windows have."""
    path = tmp_path / "known.pt"
    return path, save_random_model(path, AUDIO, ["mid", "none", "high"])


def test_training_starts_from_backbone_and_shared_classes_of_another_model(windows, known):
    path, model = known
    started = learner_of(windows, load_checkpoint=str(path)).model.module
    for name, tensor in model.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(started.state_dict()[name], tensor)
    for row, other in ((0, 2), (2, 0)):  # high, mid of: high, low, mid
        assert torch.equal(started.head.classifier.weight[row], model.head.classifier.weight[other])
        assert torch.equal(started.head.classifier.bias[row], model.head.classifier.bias[other])
    assert not any(torch.equal(started.head.classifier.weight[1], row) for row in model.head.classifier.weight)


def test_another_head_takes_over_the_backbone_alone(windows, known):
    path, model = known
    started = learner_of(windows, load_checkpoint=str(path), head="sed").model.module
    assert torch.equal(started.state_dict()["backbone.stem.0.weight"], model.state_dict()["backbone.stem.0.weight"])
    assert not torch.equal(started.head.classifier.weight[0], model.head.classifier.weight[2])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"audio": AUDIO.model_copy(update={"top_db": 60.0})}, r"takes other spectrograms \(top_db 60.0 instead"),
        ({"backbone": "mobilenetv3_small_050"}, "its backbone is mobilenetv3_small_050; set train.backbone"),
    ],
)
def test_model_that_does_not_fit_is_refused_in_one_line(windows, tmp_path, changes, match):
    path = tmp_path / "other.pt"
    save_random_model(path, **({"audio": AUDIO} | changes))
    with pytest.raises(SettingsError, match=match) as caught:
        learner_of(windows, load_checkpoint=str(path))
    assert "\n" not in str(caught.value)


def test_missing_model_to_start_from_is_named(windows, tmp_path):
    with pytest.raises(EarshotError, match=r"train\.load_checkpoint = '.*none\.pt': no such file"):
        learner_of(windows, load_checkpoint=str(tmp_path / "none.pt"))


def test_frozen_backbone_keeps_its_weights_and_statistics(windows, known, tmp_path):
    path, model = known
    outcome = trained(windows, tmp_path, epochs=2, average_last_n=2, load_checkpoint=str(path), freeze_backbone=True)
    state = outcome.model.state_dict()
    for name, tensor in model.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(state[name], tensor), name
    assert not torch.equal(state["head.classifier.weight"][0], model.head.classifier.weight[2])


@pytest.fixture
def weights(tmp_path):
    """A file of weights of the default backbone."""
    torch.manual_seed(3)
    torch.save(make_backbone("cnn", BackboneOptions()).state_dict(), tmp_path / "cnn.pth")
    return str(tmp_path / "cnn.pth")


def test_the_head_is_trained_alone_first_and_then_the_backbone_from_a_layer_on(windows, weights, tmp_path):
    states = {
        epochs: trained(
            windows,
            tmp_path / f"{epochs}",
            epochs=epochs,
            pretrained=weights,
            head_epochs=1,
            backbone_after="blocks.1",
            schedule="constant",
        ).model.state_dict()
        for epochs in (1, 2)
    }
    start = learner_of(windows, epochs=2, pretrained=weights).model.module.state_dict()
    changed = {
        epochs: {name.rsplit(".", 1)[0] for name, tensor in state.items() if not torch.equal(tensor, start[name])}
        for epochs, state in states.items()
    }
    assert changed[1] == {"head.classifier", "normalize"}
    assert all(name.startswith(("head", "normalize", "backbone.blocks.1", "backbone.blocks.2")) for name in changed[2])
    assert any(name.startswith("backbone.blocks.1") for name in changed[2])


def test_a_layer_that_the_backbone_lacks_is_named(windows, weights):
    with pytest.raises(
        SettingsError, match=r"train\.backbone_after = 'blocks\.9': the backbone has no such layer; blocks"
    ):
        learner_of(windows, pretrained=weights, backbone_after="blocks.9")


@pytest.mark.parametrize(
    ("changes", "n_encoder_layers"),
    [({"freeze_backbone": True}, 0), ({"backbone_after": "encoder.transformer.layers.1"}, 1)],
)
def test_the_cnn_that_published_weights_of_wav2vec_lack_is_trained_with_the_head(changes, n_encoder_layers):
    audio = AUDIO.model_copy(update={"sampling_rate": 16000})
    factors = {"width_factor": 0.1, "depth_factor": 2 / 12}
    model = build(describe(audio, backbone="wav2vec_cnn", frontend="waveform", **factors))
    frozen = frozen_parts(model, with_settings(pretrained=True, **changes), 1)
    left_out = {id(each) for each in frozen.parameters}
    learnt = {name for name, each in model.backbone.named_parameters() if id(each) not in left_out}
    assert {name for name, _ in model.backbone.named_parameters() if name.startswith("cnn.")} <= learnt
    layers = {name.split(".")[4] for name in learnt if name.startswith("wav2vec2.model.encoder.transformer.layers.")}
    assert len(layers) == n_encoder_layers
    assert not any(part is model.backbone.cnn for module in frozen.modules for part in module.modules())
    trained = with_settings(load_checkpoint="model.pt", freeze_backbone=True)
    assert {id(each) for each in model.backbone.parameters()} <= {
        id(each) for each in frozen_parts(model, trained, 1).parameters
    }


@pytest.mark.parametrize("backbone", ["cnn", "vgg11"])
def test_drop_path_of_a_backbone_without_blocks_is_refused(windows, backbone):
    with pytest.raises(SettingsError, match=r"train\.drop_path = 0\.2: .* has no blocks to skip; set it to 0"):
        learner_of(windows, backbone=backbone, drop_path=0.2)


def test_drop_path_skips_blocks_of_a_timm_model_in_training_alone(windows):
    learner = learner_of(windows, backbone="mobilenetv3_small_050", drop_path=0.9, dropout=0.0)
    x, _ = next(learner.batches(0))
    model = learner.model.module
    assert not torch.equal(model.train()(x[:2]), model(x[:2]))
    assert torch.equal(model.eval()(x[:2]), model(x[:2]))


@pytest.mark.parametrize(
    ("backbone", "layer", "own", "trained_names"),
    [
        (
            "convnext_atto",
            "stages.1",
            "stages.0.blocks.0.gamma",
            ("stages.1", "stages.2", "stages.3", "norm_pre", "head"),
        ),
        ("ast", "blocks.0", "pos_embed", ("blocks", "norm.", "fc_norm", "head")),
    ],
)
def test_parameters_that_modules_have_beside_layers_are_frozen_too(backbone, layer, own, trained_names):
    factors = {"width_factor": 0.1, "depth_factor": 0.1} if backbone == "ast" else {}
    model = build(describe(AUDIO.model_copy(update={"spec_height": 64}), backbone=backbone, **factors))
    frozen = {
        id(each) for each in frozen_parts(model, with_settings(pretrained=True, backbone_after=layer), 1).parameters
    }
    names = {name.replace("stages_", "stages."): each for name, each in model.backbone.model.named_parameters()}
    assert own in names
    assert {name for name, each in names.items() if id(each) not in frozen} == {
        name for name in names if name.startswith(trained_names)
    }
