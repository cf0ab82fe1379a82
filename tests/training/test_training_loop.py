import itertools
from typing import get_args

import pytest
import torch

from lib.config.schema import TrainSettings
from lib.core.errors import EarshotError, SettingsError
from lib.models.losses import LOSSES
from lib.training.training_loop import loss_options
from tests.training.builders import assert_noise_stays_alone, in_two_categories, learner_of, trained


def test_windows_of_noise_never_get_labels_of_others(windows):
    learner = learner_of(windows, noise_class="low", augmentations=[{"name": "mixup", "probability": 1.0}])
    assert_noise_stays_alone(learner)


def pulls(windows, **changes) -> torch.Tensor:
    """How strongly, and which way, the first batch changes the scores of each class: gradients of the biases."""
    learner = learner_of(windows, **changes)
    x, y = next(learner.batches(0))
    learner.step(x, y, 0.0)
    return learner.model.module.head.classifier.bias.grad


def test_rare_classes_pull_as_much_more_as_they_are_rarer(windows):
    task = learner_of(windows).task
    counts = torch.from_numpy(task.windows.labels[task.training].sum(axis=0))
    assert counts.unique().numel() > 1
    ratios = pulls(windows, class_weight_exponent=1.0) / pulls(windows)
    torch.testing.assert_close(ratios, counts.float().mean() / counts, rtol=1e-4, atol=0)


def test_smoothing_pulls_scores_of_present_classes_down_and_of_absent_ones_up(windows):
    assert (pulls(windows, pos_label_smoothing=0.2) > pulls(windows)).all()
    assert (pulls(windows, neg_label_smoothing=0.2) < pulls(windows)).all()


def test_training_computes_with_the_precision_that_is_set(windows):
    learner, dtypes = learner_of(windows, precision="bf16"), []
    learner.model.module.backbone.register_forward_hook(lambda module, x, features: dtypes.append(features.dtype))
    x, y = next(learner.batches(0))
    learner.step(x, y, 0.001)
    assert dtypes == [torch.bfloat16]


@pytest.mark.parametrize("val_fraction", [0.25, 0.0])
def test_training_that_diverges_is_one_clear_line_also_when_it_resumes(windows, tmp_path, val_fraction):
    for _ in range(2):
        with pytest.raises(EarshotError, match=r"^training diverged in epoch 1 \(loss is nan\); lower") as caught:
            trained(windows, tmp_path, learning_rate=1e30, val_fraction=val_fraction)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("val_fraction", [0.25, 0.0])
def test_model_that_diverges_in_its_last_step_is_not_kept(windows, tmp_path, val_fraction):
    one_step = {"epochs": 1, "epoch_windows": 0, "batch_size": 4096}
    with pytest.raises(EarshotError, match=r"training diverged in epoch 1 \(scores are no numbers\)"):
        trained(windows, tmp_path, learning_rate=1e36, val_fraction=val_fraction, **one_step)


def test_each_loss_takes_its_weights_and_families_from_the_training_windows(windows):
    with pytest.raises(SettingsError, match=r"train\.loss = 'family_loss': all classes are of one category"):
        learner_of(windows, loss="family_loss")
    windows = in_two_categories(windows)
    options = {name: loss_options(learner_of(windows, loss=name).task) for name in LOSSES}
    assert all(options["cross_entropy"][key] is None for key in ("pos_weights", "families", "class_weights"))
    task = learner_of(windows).task
    present = torch.from_numpy(task.windows.labels[task.training].sum(axis=0))
    balance = (len(task.training) - present) / present
    torch.testing.assert_close(options["focal_loss_pos_weight"]["pos_weights"], balance)
    assert options["focal_loss_pos_weight"]["focal_gamma"] == 2.0 and options["family_loss"]["focal_gamma"] == 0.0
    assert options["family_loss"]["families"].tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]


def test_training_with_each_loss_gives_another_model(windows, tmp_path):
    windows = in_two_categories(windows)
    outcomes = [trained(windows, tmp_path / loss, epochs=1, loss=loss) for loss in LOSSES]
    for one, other in itertools.combinations(outcomes, 2):
        assert one.epochs[0]["train_loss"] != other.epochs[0]["train_loss"]
        assert not torch.equal(one.model.head.classifier.weight, other.model.head.classifier.weight)


def test_losses_are_the_choices_of_the_setting():
    assert get_args(TrainSettings.model_fields["loss"].annotation) == tuple(LOSSES)
