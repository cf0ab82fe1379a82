"""Trainings with augmentations, of waveforms and of spectrograms."""

import hashlib

import pytest
import torch

from lib.audio.augment import AUGMENTATIONS
from lib.core.errors import SettingsError
from lib.training.training_state import settings_digest
from lib.training_data.stored_windows import StoredWindows
from tests.training.builders import (
    QUICK,
    assert_noise_stays_alone,
    assert_same,
    kill_after,
    learner_of,
    trained,
    with_settings,
)
from tests.training_data.builders import extract_folder

NAMES = ("background_noise", "sum_two_samples", "pitch", "seven_band_eq")
SOUNDS = [{"name": name, "probability": 0.6} for name in NAMES]
ON_IMAGES = ["blur", {"name": "random_erase", "probability": 1.0}]
BRIEF = {"epochs": 3, "epoch_windows": 64, "threads": 1}


@pytest.fixture(scope="module")
def sounded(folder):
    """The windows of the training database, with their sound."""
    extract_folder(folder, folder / "sounds.db", sound=True)
    return StoredWindows(folder / "sounds.db")


def digest_of_model(outcome) -> str:
    weights = outcome.model.state_dict().values()
    return hashlib.md5(b"".join(tensor.numpy().tobytes() for tensor in weights)).hexdigest()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_step_with_each_augmentation_learns_from_changed_windows(sounded, name):
    unheard = {"name": "pitch", "probability": 0.0}
    plain = learner_of(sounded, augmentations=[unheard] if _needs_sound(name) else [])
    learner = learner_of(sounded, augmentations=[{"name": name, "probability": 1.0}])
    assert learner._reads == ("waveforms" if _needs_sound(name) else "spectrograms")
    (before, y), (x, targets) = next(plain.batches(0)), next(learner.batches(0))
    assert x.shape == before.shape and x.isfinite().all() and targets.shape == y.shape
    if name != "norm_after_time_augs":
        assert not torch.equal(x, before)
    weights = learner.model.module.head.classifier.weight.clone()
    assert learner.step(x, targets, 0.003).isfinite()
    assert not torch.equal(learner.model.module.head.classifier.weight, weights)


def _needs_sound(name: str) -> bool:
    return AUGMENTATIONS[name].domains == ("waveforms",) and name != "norm_after_time_augs"


def test_spectrograms_of_sound_that_nothing_changes_are_those_that_are_stored(sounded):
    stored = learner_of(sounded, augmentations=[])
    heard = learner_of(sounded, augmentations=[{"name": "pitch", "probability": 0.0}])
    for (x, y), (other, targets) in zip(stored.batches(0), heard.batches(0), strict=True):
        assert torch.equal(y, targets)
        assert (x - other).abs().mean() < 0.003 and (x - other).abs().quantile(0.99) < 0.02  # stored in 256 steps


@pytest.mark.parametrize("frontend", ["mel", "mfcc"])
def test_interrupted_training_from_augmented_sounds_ends_with_the_same_model(sounded, tmp_path, frontend):
    values = BRIEF | {"augmentations": [*SOUNDS, *ON_IMAGES], "frontend": frontend, "average_last_n": 2}
    kill_after(sounded, tmp_path / "killed" / "state", "a", 2, with_settings(**values))
    assert_same(trained(sounded, tmp_path / "killed", **values), trained(sounded, tmp_path / "whole", **values))


def test_the_seed_tells_the_model_and_each_augmentation_changes_it(sounded, tmp_path):
    values = BRIEF | {"epochs": 1, "augmentations": SOUNDS}
    changes = ({}, {}, {"seed": 2}, {"augmentations": SOUNDS[:-1]})
    first, again, other_seed, other_list = (
        digest_of_model(trained(sounded, tmp_path / str(place), **values | change))
        for place, change in enumerate(changes)
    )
    assert first == again and len({first, other_seed, other_list}) == 3


@pytest.mark.parametrize("name", ["mixup", "sum_n_samples", "sum_two_samples", "concat_n_samples"])
def test_windows_of_noise_are_mixed_with_no_others_as_sounds_too(sounded, name):
    mixed = [{"name": name, "probability": 1.0}, "background_noise"]
    learner = learner_of(sounded, noise_class="low", augmentations=mixed)
    assert_noise_stays_alone(learner)


def test_backgrounds_are_sounds_where_windows_are(sounded):
    noisy = learner_of(sounded, noise_class="low", augmentations=[{"name": "background_noise", "probability": 1.0}])
    plain = learner_of(sounded, noise_class="low", augmentations=[{"name": "background_noise", "probability": 0.0}])
    (x, _), (before, _) = next(noisy.batches(0)), next(plain.batches(0))
    assert (x - before).abs().flatten(1).amax(dim=1).median() > 0.1


def test_a_database_without_sound_is_one_clear_line(windows):
    with pytest.raises(SettingsError, match=r"^extract\.sound: .* holds no sound of windows; set it to true") as caught:
        learner_of(windows, augmentations=["pitch"])
    assert "\n" not in str(caught.value)


def test_what_a_training_depends_on_includes_its_noise_recordings(folder, tmp_path):
    recording = next((folder / "recordings").glob("*.wav"))
    (tmp_path / "noise.wav").write_bytes(recording.read_bytes())
    settings = with_settings(augmentations=[{"name": "background_noise", "folder": str(tmp_path)}])
    before = settings_digest(settings)
    assert settings_digest(settings) == before
    (tmp_path / "more.wav").write_bytes(recording.read_bytes())
    assert settings_digest(settings) != before != settings_digest(QUICK)


def test_what_a_training_depends_on_includes_how_its_augmentations_are_applied(monkeypatch):
    settings = with_settings(augmentations=["gain"])
    before = settings_digest(settings)
    monkeypatch.setattr(type(settings.augmentations[0]), "of_levels", False)
    assert settings_digest(settings) != before
    assert settings_digest(with_settings(augmentations=["mixup"])) != before


def test_windows_become_softer_where_training_reads_sound_too(sounded):
    gain = {"name": "gain", "max_db": 20.0}
    learner = learner_of(sounded, augmentations=[gain, {"name": "pitch", "probability": 0.0}])
    assert learner._reads == "waveforms"
    x, _ = next(learner.batches(0))
    assert (x.amax(dim=(1, 2)) < 0.95).any()


def test_what_is_erased_of_images_is_what_the_frontend_makes_of_silence(sounded):
    erase = {"name": "random_erase", "probability": 1.0}
    learner = learner_of(sounded, frontend="ast", augmentations=[erase])
    frontend = learner.model.module.frontend
    (x, _), (before, _) = (
        next(learner.batches(0)),
        next(learner_of(sounded, frontend="ast", augmentations=[]).batches(0)),
    )
    erased = x != before
    assert erased.flatten(1).any(dim=1).all()
    torch.testing.assert_close(x[erased], frontend(frontend.example).max().expand_as(x[erased]))
