from lib.training.optimizer import make_optimizer
from tests.models.builders import describe, random_model
from tests.training.builders import QUICK
from tests.training_data.builders import AUDIO


def test_only_weights_of_layers_decay_and_frozen_ones_are_left_out():
    model = random_model(describe(AUDIO))
    model.backbone.stem.requires_grad_(False)
    decaying, others = make_optimizer(model, QUICK).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (QUICK.weight_decay, 0)
    frozen = {id(parameter) for parameter in model.backbone.stem.parameters()}
    chosen = {id(parameter): name for name, parameter in model.named_parameters() if id(parameter) not in frozen}
    assert {id(parameter) for group in (decaying, others) for parameter in group["params"]} == chosen.keys()
    assert "head.classifier.bias" in {chosen[id(parameter)] for parameter in others["params"]}
    assert all(parameter.ndim > 1 for parameter in decaying["params"])
