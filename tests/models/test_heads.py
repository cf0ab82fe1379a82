import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from lib.config.setting_values import Head
from lib.core.errors import SettingsError
from lib.models.heads import HEADS, AttentionHead, DeepHead, PoolHead, SedHead, mean_probability, pool
from lib.models.losses import recognition_loss
from lib.models.recognizer import build, fold_batch_norms
from tests.models.builders import describe, random_model
from tests.training_data.builders import AUDIO

SPECTROGRAMS = torch.rand(4, AUDIO.spec_height, AUDIO.spec_width, generator=torch.Generator().manual_seed(1))
SED = {"head": "sed", "sed_fps": 24.0}  # 12 frames in 0.5 s


def features(n=3, channels=8, bands=2, frames=10):
    return torch.rand(n, channels, bands, frames, generator=torch.Generator().manual_seed(2))


def test_pooling_is_mean_over_bands_then_mean_plus_maximum_over_time():
    x = torch.tensor([[[[1.0, 2.0, 3.0], [3.0, 4.0, 11.0]]]])  # bands' means: 2, 3, 7
    assert pool(x).tolist() == [[4.0 + 7.0]]


def test_pool_head_is_a_linear_classifier_of_pooled_features():
    head = PoolHead(8, 5, dropout=0.5).eval()
    logits, frames = head(features(), 12)
    assert frames is None
    torch.testing.assert_close(logits, F.linear(pool(features()), head.classifier.weight, head.classifier.bias))


def test_deep_head_has_a_hidden_layer():
    head = DeepHead(8, 5, dropout=0.5).eval()
    hidden = F.relu(F.linear(pool(features()), head.hidden.weight, head.hidden.bias))
    torch.testing.assert_close(head(features(), 12)[0], F.linear(hidden, head.classifier.weight, head.classifier.bias))


def test_attention_head_classifies_the_mean_of_frames_by_their_weights():
    head = AttentionHead(8, 5, dropout=0.5).eval()
    frames = features().mean(dim=2).transpose(1, 2)
    logits, none = head(features(), 12)
    weights = torch.softmax((torch.tanh(frames @ head.hidden.weight.T + head.hidden.bias) @ head.attention.weight.T), 1)
    torch.testing.assert_close(logits, head.classifier((weights * frames).sum(dim=1)))
    assert none is None and weights.sum(dim=1).flatten().tolist() == pytest.approx([1.0] * 3)
    head.attention.weight.data *= 1e4  # one frame alone matters
    chosen = frames[torch.arange(3), weights[..., 0].argmax(dim=1)]
    torch.testing.assert_close(head(features(), 12)[0], head.classifier(chosen), rtol=1e-4, atol=1e-5)


def test_heads_are_the_choices_of_the_setting():
    assert get_args(Head) == tuple(HEADS)


def test_probability_of_a_window_is_the_weighted_mean_of_its_frames():
    probabilities = torch.tensor([[[0.1, 0.9, 0.5]], [[0.2, 0.2, 0.2]]])
    weights = torch.tensor([[[0.5, 0.25, 0.25]], [[0.1, 0.2, 0.7]]])
    pooled = mean_probability(torch.logit(probabilities), weights.log()).sigmoid()
    torch.testing.assert_close(pooled, torch.tensor([[0.05 + 0.225 + 0.125], [0.2]]))


@pytest.mark.parametrize("end", [-80.0, 80.0])
def test_certain_frames_keep_finite_logits_and_gradients(end):
    logits = torch.full((1, 1, 4), end, requires_grad=True)
    pooled = mean_probability(logits, torch.full((1, 1, 4), math.log(0.25)))
    pooled.sum().backward()
    assert float(pooled.detach()) == pytest.approx(end)
    assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0.5


def test_sed_head_gives_as_many_frames_as_asked_for_between_those_of_the_backbone():
    head = SedHead(8, 5, dropout=0.0).eval()
    _, same = head(features(), 10)
    frames = features().mean(dim=2).transpose(1, 2)
    torch.testing.assert_close(same, head.classifier(frames).transpose(1, 2))
    _, finer = head(features(), 20)
    assert finer.shape == (3, 5, 20)
    torch.testing.assert_close((finer[..., 1] + finer[..., 2]) / 2, (same[..., 0] + same[..., 1]) / 2)


def test_window_of_a_sed_head_lies_between_its_frames():
    head = SedHead(8, 5, dropout=0.0).eval()
    logits, frames = head(features(), 10)
    assert (logits <= frames.amax(dim=2) + 1e-5).all() and (logits >= frames.amin(dim=2) - 1e-5).all()


def test_sed_head_computes_in_full_precision_under_autocast():
    head = SedHead(8, 5, dropout=0.0).eval()
    with torch.autocast("cpu", torch.bfloat16):
        logits, frames = head(features().bfloat16(), 12)
    assert logits.dtype == frames.dtype == torch.float32
    assert torch.equal(logits, head(features().bfloat16().float(), 12)[0])


@pytest.mark.parametrize("backbone", ["cnn", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("head", HEADS)
def test_every_head_scores_windows_and_frames_of_every_kind_of_backbone(head, backbone):
    model = build(describe(AUDIO, backbone=backbone, head=head, sed_fps=24.0 if head == "sed" else None))
    logits, frames = model.forward_frames(SPECTROGRAMS)
    assert logits.shape == (4, 3)
    assert (frames is None) == (head != "sed")
    assert frames is None or frames.shape == (4, 3, 12)
    assert torch.equal(model(SPECTROGRAMS), logits)
    assert model.embed(SPECTROGRAMS).shape == (4, model.backbone.num_features)


def test_frames_of_a_transformer_follow_the_sound_in_time():
    torch.manual_seed(1)
    model = build(describe(AUDIO, backbone="vit_tiny_patch16_224", **SED))
    patches = model.backbone(torch.rand(1, 1, 16, 64))
    assert patches.shape == (1, 192, 1, 4)  # patches of 16 x 16


def test_transformer_whose_tokens_have_no_time_is_refused_in_one_line():
    with pytest.raises(SettingsError, match=r"train\.backbone = 'xcit_nano_12_p16_224': its tokens have no time") as e:
        build(describe(AUDIO, backbone="xcit_nano_12_p16_224", **SED))
    assert "\n" not in str(e.value)


def test_folded_model_scores_frames_like_the_whole_one():
    model = random_model(describe(AUDIO, **SED))
    with torch.inference_mode():
        before = model.forward_frames(SPECTROGRAMS)
        after = fold_batch_norms(model).forward_frames(SPECTROGRAMS)
    for first, second in zip(before, after, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_sed_head_learns_from_weak_labels_where_a_sound_is():
    """One class is a loud channel in some frames; the labels say only in which windows."""
    torch.manual_seed(1)
    head = SedHead(4, 1, dropout=0.0)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05)
    rng = torch.Generator().manual_seed(3)
    for _ in range(150):
        x = torch.rand(16, 4, 1, 8, generator=rng)
        present = torch.rand(16, generator=rng) < 0.5
        x[present, 2, 0, :3] += 2
        logits, frames = head(x.roll(int(torch.randint(8, (1,), generator=rng)), dims=3), 8)
        loss = recognition_loss(logits, frames, present.float()[:, None], True, 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = torch.rand(1, 4, 1, 8, generator=rng)
    x[0, 2, 0, 4:6] += 2
    scores = head(x, 8)[1].sigmoid()[0, 0]
    assert scores[4:6].min() > 0.8
    assert torch.cat([scores[:4], scores[6:]]).max() < 0.2
