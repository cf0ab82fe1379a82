import pytest
import torch

from lib.core.errors import SettingsError
from lib.models.losses import classification_loss
from lib.models.recognizer import build
from tests.models.builders import describe, random_model
from tests.training_data.builders import AUDIO

SPECTROGRAMS = torch.rand(4, AUDIO.spec_height, AUDIO.spec_width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["cnn", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_backbone_learns_from_a_step(backbone):
    torch.manual_seed(1)
    model = build(describe(AUDIO, backbone=backbone, dropout=0.0))
    targets = torch.eye(3)[[0, 1, 2, 0]]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        logits = model(SPECTROGRAMS)
        assert logits.shape == (4, 3)
        losses.append(classification_loss(logits, targets, multi_label=True))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[1] < losses[0]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (64, 300), (128, 33)])
def test_own_backbone_takes_spectrograms_of_any_size(height, width):
    audio = AUDIO.model_copy(update={"spec_height": height})
    model = random_model(describe(audio))
    assert model.embed(torch.rand(2, height, width)).shape == (2, model.backbone.num_features)
    assert model(torch.rand(1, height, width)).shape == (1, 3)


def test_score_of_a_window_does_not_depend_on_the_batch():
    model = random_model(describe(AUDIO))
    with torch.inference_mode():
        together = model(SPECTROGRAMS)
        alone = torch.cat([model(one[None]) for one in SPECTROGRAMS])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_backbone_for_images_of_one_size_is_refused_in_one_line():
    with pytest.raises(SettingsError, match=r"train\.backbone = 'swin_tiny_patch4_window7_224': cannot take spectro"):
        build(describe(AUDIO, backbone="swin_tiny_patch4_window7_224"))


def test_backbone_without_published_weights_is_not_started_from_them():
    with pytest.raises(
        SettingsError, match=r"train\.pretrained = True: cnn has no published weights; give a file of weights"
    ):
        build(describe(AUDIO), pretrained=True)
