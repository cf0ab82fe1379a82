import pytest
import torch

from lib.core.errors import EarshotError, SettingsError
from tests.models.builders import save_random_model
from tests.training.builders import learner_of, trained
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


def test_random_backbone_is_not_frozen(windows):
    with pytest.raises(SettingsError, match=r"train\.freeze_backbone = True: .*set train\.load_checkpoint"):
        learner_of(windows, freeze_backbone=True)
