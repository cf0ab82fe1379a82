import math

import pytest
import torch
import torch.nn.functional as F

from lib.models.losses import classification_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 1.0, 1.0]])


def test_multi_label_loss_is_binary_cross_entropy():
    loss = classification_loss(torch.tensor([[0.0, math.log(3)]]), torch.tensor([[1.0, 0.0]]), multi_label=True)
    assert float(loss) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_multi_label_smoothing_moves_targets_to_either_side():
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    loss = classification_loss(LOGITS, targets, multi_label=True, smoothing=0.1)
    expected = F.binary_cross_entropy_with_logits(LOGITS, torch.where(targets > 0, 0.9, 0.1))
    assert float(loss) == pytest.approx(float(expected))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_single_label_loss_is_cross_entropy(smoothing):
    classes = torch.tensor([0, 1, 2])
    loss = classification_loss(LOGITS, F.one_hot(classes, 3).float(), multi_label=False, smoothing=smoothing)
    assert float(loss) == pytest.approx(float(F.cross_entropy(LOGITS, classes, label_smoothing=smoothing)))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_single_label_loss_takes_no_notice_of_windows_without_class(smoothing):
    targets = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1]])
    loss = classification_loss(LOGITS, targets, multi_label=False, smoothing=smoothing)
    expected = F.cross_entropy(LOGITS[[0, 2]], torch.tensor([0, 2]), label_smoothing=smoothing)
    assert float(loss) == pytest.approx(float(expected))


def test_single_label_loss_of_nothing_is_zero():
    assert float(classification_loss(LOGITS, torch.zeros(3, 3), multi_label=False, smoothing=0.1)) == 0


def test_single_label_loss_of_a_mixture_is_that_of_its_parts():
    targets = torch.tensor([[0.3, 0.7, 0.0]])
    loss = classification_loss(LOGITS[:1], targets, multi_label=False)
    expected = F.cross_entropy(LOGITS[:1], targets)
    assert float(loss) == pytest.approx(float(expected))
