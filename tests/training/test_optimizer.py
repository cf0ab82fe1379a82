import pytest

from lib.core.errors import SettingsError
from lib.training.optimizer import make_optimizer
from lib.training.trainer import train_models
from tests.models.builders import describe, random_model
from tests.training.builders import QUICK, assert_same, kill_after, with_settings
from tests.training_data.builders import AUDIO


def test_only_weights_of_layers_decay_and_frozen_ones_are_left_out():
    model = random_model(describe(AUDIO))
    decaying, others = make_optimizer(model, QUICK, model.backbone.stem.parameters()).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (QUICK.weight_decay, 0)
    frozen = {id(parameter) for parameter in model.backbone.stem.parameters()}
    chosen = {id(parameter): name for name, parameter in model.named_parameters() if id(parameter) not in frozen}
    assert {id(parameter) for group in (decaying, others) for parameter in group["params"]} == chosen.keys()
    assert "head.classifier.bias" in {chosen[id(parameter)] for parameter in others["params"]}
    assert all(parameter.ndim > 1 for parameter in decaying["params"])


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("lamb", "Lamb"), ("sgdw", "SGDW")])
def test_optimizers_of_torch_and_of_timm_are_made_by_name(name, kind):
    optimizer = make_optimizer(random_model(describe(AUDIO)), with_settings(optimizer=name))
    assert type(optimizer).__name__ == kind
    assert [group["weight_decay"] for group in optimizer.param_groups] == [QUICK.weight_decay, 0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lam", "must be adam, adamw or an optimizer of timm; .*lamb"),
        ("fusedlamb", "cannot be used .*; choose another"),
    ],
)
def test_an_optimizer_that_cannot_be_is_one_clear_line(name, said):
    with pytest.raises(SettingsError, match=f"train.optimizer = '{name}': {said}"):
        make_optimizer(random_model(describe(AUDIO)), with_settings(optimizer=name))


@pytest.mark.parametrize("name", ["lamb", "muon"])
def test_a_training_with_an_optimizer_of_timm_learns_and_resumes(windows, tmp_path, name):
    settings = with_settings(optimizer=name, epochs=2)
    complete = train_models(windows, settings, tmp_path / "a", "f")
    assert complete.epochs[1]["train_loss"] < complete.epochs[0]["train_loss"]
    kill_after(windows, tmp_path / "b", "f", 1, settings)
    assert_same(train_models(windows, settings, tmp_path / "b", "f"), complete)
