import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from lib.models.losses import (
    classification_loss,
    membership,
    pool_frames,
    recognition_loss,
    weigh_classes,
    weigh_presence,
)

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 1.0, 1.0]])
CLASSES = torch.arange(3)


def single_label_loss(targets, logits=LOGITS, **options):
    return float(classification_loss(logits, targets, multi_label=False, **options))


def test_multi_label_loss_is_binary_cross_entropy():
    loss = classification_loss(torch.tensor([[0.0, math.log(3)]]), torch.tensor([[1.0, 0.0]]), multi_label=True)
    assert float(loss) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_multi_label_smoothing_moves_targets_to_either_side():
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    loss = classification_loss(LOGITS, targets, multi_label=True, pos_smoothing=0.2, neg_smoothing=0.1)
    expected = F.binary_cross_entropy_with_logits(LOGITS, torch.where(targets > 0, 0.8, 0.1))
    assert float(loss) == pytest.approx(float(expected))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_single_label_loss_is_cross_entropy_of_the_windows_with_a_class(smoothing):
    expected = float(F.cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing))
    assert single_label_loss(torch.eye(3), pos_smoothing=smoothing, neg_smoothing=0.1) == pytest.approx(expected)
    expected = float(F.cross_entropy(LOGITS[[0, 2]], CLASSES[[0, 2]], label_smoothing=smoothing))
    assert single_label_loss(torch.eye(3) * CLASSES.ne(1), pos_smoothing=smoothing) == pytest.approx(expected)
    assert single_label_loss(torch.zeros(3, 3), pos_smoothing=smoothing) == 0


def test_single_label_loss_of_a_mixture_is_that_of_its_parts():
    targets = torch.tensor([[0.3, 0.7, 0.0]])
    assert single_label_loss(targets, LOGITS[:1]) == pytest.approx(float(F.cross_entropy(LOGITS[:1], targets)))


def test_weights_make_classes_count_more():
    weights, targets = torch.tensor([1.0, 3.0, 0.5]), torch.eye(3)
    each = F.binary_cross_entropy_with_logits(LOGITS, targets, reduction="none")
    loss = classification_loss(LOGITS, targets, multi_label=True, class_weights=weights)
    assert float(loss) == pytest.approx(float((each * weights).mean()))
    expected = float(F.cross_entropy(LOGITS, CLASSES, weight=weights))
    assert single_label_loss(targets, class_weights=weights) == pytest.approx(expected)


def test_classes_are_weighted_by_the_inverse_of_their_number_to_the_power_of_the_exponent():
    counts = torch.tensor([10, 40, 0])  # mean 50 / 3; none counts as one
    assert weigh_classes(counts, 0.5).tolist() == pytest.approx([(5 / 3) ** 0.5, (5 / 12) ** 0.5, (50 / 3) ** 0.5])
    assert weigh_classes(counts, 0.0) is None
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=[0] * 5 + [1] * 20 + [2] * 35)
    assert weigh_classes(torch.tensor([5, 20, 35]), 1.0).tolist() == pytest.approx(balanced.tolist())


def test_frames_are_pooled_with_their_own_probabilities_as_weights():
    p = torch.tensor([[[0.1, 0.8, 0.3], [0.5, 0.5, 0.5]]])
    expected = (p**2).sum(dim=2) / p.sum(dim=2)
    torch.testing.assert_close(pool_frames(torch.logit(p)).sigmoid(), expected)
    assert pool_frames(torch.full((1, 1, 4), -90.0)).isfinite().all()


def test_loss_of_windows_and_frames_is_shared_as_asked():
    frames = torch.randn(3, 3, 5, generator=torch.Generator().manual_seed(1))
    targets, options = torch.eye(3), {"pos_smoothing": 0.1}
    parts = [classification_loss(x, targets, True, **options) for x in (LOGITS, pool_frames(frames))]
    for share in (0.0, 0.3, 1.0):
        loss = recognition_loss(LOGITS, frames, targets, True, share, **options)
        assert float(loss) == pytest.approx(float((1 - share) * parts[0] + share * parts[1]))
    assert float(recognition_loss(LOGITS, None, targets, True, 0.9, **options)) == pytest.approx(float(parts[0]))


TARGETS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_weights_of_presence_are_those_of_torch_and_balance_rare_classes():
    counts = torch.tensor([10, 50, 0])
    assert weigh_presence(counts, 100).tolist() == [9.0, 1.0, 100.0]
    weights = torch.tensor([9.0, 1.0, 3.0])
    expected = F.binary_cross_entropy_with_logits(LOGITS, TARGETS, pos_weight=weights)
    assert float(classification_loss(LOGITS, TARGETS, True, pos_weights=weights)) == pytest.approx(float(expected))
    expected = float(F.cross_entropy(LOGITS, CLASSES, weight=weights))
    assert single_label_loss(torch.eye(3), pos_weights=weights) == pytest.approx(expected)


def test_focal_loss_is_torchvision_s_formula_and_without_gamma_cross_entropy():
    scores = LOGITS.sigmoid()
    right = torch.where(TARGETS > 0, scores, 1 - scores)
    loss = classification_loss(LOGITS, TARGETS, True, focal_gamma=2.0)
    assert float(loss) == pytest.approx(float(((1 - right) ** 2 * -right.log()).mean()))
    plain = classification_loss(LOGITS, TARGETS, True)
    assert float(classification_loss(LOGITS, TARGETS, True, focal_gamma=1e-9)) == pytest.approx(float(plain))
    chosen = LOGITS.softmax(dim=1).diagonal()
    assert single_label_loss(torch.eye(3), focal_gamma=2.0) == pytest.approx(
        float(((1 - chosen) ** 2 * -chosen.log()).mean())
    )


def test_families_are_present_where_any_of_their_classes_is():
    families = membership(["wind", "string", "wind"])
    assert families.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]  # string, wind
    scores = LOGITS.double().sigmoid()
    string, wind = scores[:, 1], 1 - (1 - scores[:, 0]) * (1 - scores[:, 2])
    present = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]).double()
    of_families = F.binary_cross_entropy(torch.stack([string, wind], dim=1), present)
    expected = (float(of_families) + float(classification_loss(LOGITS, TARGETS, True))) / 2
    assert float(classification_loss(LOGITS, TARGETS, True, families=families)) == pytest.approx(expected, rel=1e-5)
    shares = LOGITS.softmax(dim=1)
    of_families = -(shares[0, [0, 2]].sum().log() + shares[1, 1].log() + shares[2, [0, 2]].sum().log()) / 3
    expected = (float(of_families) + single_label_loss(torch.eye(3))) / 2
    assert single_label_loss(torch.eye(3), families=families) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("multi_label", [True, False])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_every_loss_is_finite_and_so_are_its_gradients_for_sure_scores_too(multi_label, scale):
    for options in ({}, {"focal_gamma": 2.0}, {"families": membership(["a", "b", "a"])}):
        logits = (LOGITS * scale).requires_grad_()
        loss = classification_loss(logits, torch.eye(3), multi_label, **options)
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all()
