import numpy as np
import pytest
import torch

from lib.errors import EarshotError
from lib.inference.predictor import Predictor
from tests.database.builders import AUDIO
from tests.models.builders import save_random_model

SPECTROGRAMS = np.random.default_rng(1).random((6, AUDIO.spec_height, AUDIO.spec_width), np.float32)


def predict(path):
    return Predictor(path, "cpu", "32").get_block_scores(SPECTROGRAMS)


def test_scores_are_sigmoids_or_a_softmax(tmp_path):
    model = save_random_model(tmp_path / "multi.pt", AUDIO)
    with torch.inference_mode():
        logits = model(torch.from_numpy(SPECTROGRAMS))
    scores = predict(tmp_path / "multi.pt")
    assert scores.dtype == np.float32 and scores.shape == (6, 3)
    np.testing.assert_allclose(scores, torch.sigmoid(logits).numpy(), atol=1e-5)
    save_random_model(tmp_path / "single.pt", AUDIO, multi_label=False)
    np.testing.assert_allclose(predict(tmp_path / "single.pt"), torch.softmax(logits, dim=1).numpy(), atol=1e-5)


def test_folder_of_models_averages_their_scores(tmp_path):
    for seed in (1, 2):
        save_random_model(tmp_path / f"{seed}.pt", AUDIO, seed=seed)
    first, second = predict(tmp_path / "1.pt"), predict(tmp_path / "2.pt")
    assert np.abs(first - second).max() > 0.05
    np.testing.assert_allclose(predict(tmp_path), (first + second) / 2, atol=1e-6)


def test_models_of_other_classes_or_audio_do_not_make_an_ensemble(tmp_path):
    save_random_model(tmp_path / "1.pt", AUDIO)
    for changes in ({"names": "abd"}, {"audio": AUDIO.model_copy(update={"top_db": 60.0})}):
        save_random_model(tmp_path / "2.pt", **({"audio": AUDIO} | changes))
        with pytest.raises(EarshotError, match=r"2\.pt: has other classes or audio settings than .*1\.pt"):
            predict(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there_is_named(tmp_path):
    save_random_model(tmp_path / "1.pt", AUDIO)
    with pytest.raises(EarshotError, match="device = 'cuda'"):
        Predictor(tmp_path / "1.pt", "cuda", "32")


def test_fewer_bits_change_scores_little(tmp_path):
    save_random_model(tmp_path / "1.pt", AUDIO)
    rough = Predictor(tmp_path / "1.pt", "cpu", "bf16").get_block_scores(SPECTROGRAMS)
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, predict(tmp_path / "1.pt"), atol=0.2)
