"""How much work suggestions save, on real recordings. `make benchmark` prints it; three seeds each."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from lib.config.schema import AudioSettings, DataSetSettings, ExtractSettings, Settings, TrainSettings
from lib.curation.class_search import fit_class_head, informative_windows, principal_components
from lib.curation.linear_head import fit_head
from lib.curation.suggestions import RANKINGS, SuggestionSources
from lib.curation.window_statistics import window_statistics
from lib.formats.data_sets import DataSet, read_data_set
from lib.training.trainer import train_models
from lib.training_data.extraction import extract_windows
from lib.training_data.stored_windows import StoredWindows

pytestmark = pytest.mark.benchmark

DATA = Path(__file__).parents[3] / "shared" / "data"
SEEDS = (1, 2, 3)
TRAININGS = 2
"""Networks whose mean accuracy counts: of 80 test clips, one is 1.25 %."""
WRONG = REVIEWED = 0.2
"""Shares of the labels that are wrong, and of the labels that are reviewed."""
CLIPS = AudioSettings(
    sampling_rate=22050, spec_duration=5.0, spec_height=40, win_length=2048, hop_length=1024, max_freq=11000.0
)
TRAINING = TrainSettings(
    multi_label=False,
    epochs=30,
    epoch_windows=1,
    width_factor=0.5,
    val_fraction=0.0,
    average_last_n=8,
    augmentations=[{"name": name} for name in ("time_shift", "gain", "freq_mask", "time_mask")],
)
"""Without mixup, which would hide much of what wrong labels do to so small a network."""


@pytest.fixture(autouse=True)
def _data():
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is missing")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def data_set(name: str, include: str | None = None) -> DataSet:
    return read_data_set(DataSetSettings(path=str(DATA / name), include=include))


def extracted(contents: DataSet, audio: AudioSettings, database: Path, overlap: float = 0.0) -> StoredWindows:
    extract_windows(contents, audio, ExtractSettings(overlap=overlap, workers=2), database)
    return StoredWindows(database)


def relabelled(contents: DataSet, labels: dict[str, str]) -> DataSet:
    table = contents.annotations.copy()
    table["class"] = [labels[recording] for recording in table["recording"]]
    return dataclasses.replace(contents, annotations=table)


def accuracy(windows: StoredWindows, test: StoredWindows, seed: int, folder: Path) -> float:
    """Of the project's CNN on clips of other sources, the mean of several networks."""
    import torch

    spectrograms = test.spectrograms(np.arange(len(test))) / np.float32(255)
    shares = []
    for number in range(TRAININGS):
        settings = TRAINING.model_copy(update={"seed": seed + 100 * number}).checked()
        model = train_models(windows, settings, folder / "state", str(folder)).model.eval()
        (folder / "state").unlink(missing_ok=True)
        with torch.no_grad():
            found = model(torch.from_numpy(spectrograms)).argmax(dim=1).numpy()
        shares.append((found == test.labels.argmax(axis=1)).mean())
    return float(np.mean(shares))


def test_wrong_labels_are_found_and_mending_them_restores_accuracy(tmp_path):
    clean, settings = data_set("esc10", "[123]-*"), Settings(audio=CLIPS, extract={"overlap": 0.0}, train=TRAINING)
    test = extracted(data_set("esc10", "4-*"), CLIPS, tmp_path / "test.db")
    true = dict(zip(clean.annotations["recording"], clean.annotations["class"], strict=True))
    names, n = sorted(set(true.values())), round(REVIEWED * len(true))
    shares, firsts, accuracies = [], [], []
    for seed in SEEDS:
        rng, noisy = np.random.default_rng(seed), dict(true)
        for recording in rng.choice(sorted(true), round(WRONG * len(true)), replace=False):
            noisy[str(recording)] = str(rng.choice([name for name in names if name != true[str(recording)]]))
        database = tmp_path / f"noisy{seed}.db"
        windows = extracted(relabelled(clean, noisy), CLIPS, database)
        found = RANKINGS["label_errors"].rank(SuggestionSources(settings, n=n, database=str(database), seed=seed))
        is_wrong = [noisy[one.recording] != true[one.recording] for one in found]
        shares.append(sum(is_wrong) / round(WRONG * len(true)))
        firsts.append(sum(is_wrong[:25]))
        reviewed = {one.recording for one in found}
        mended = {recording: (true if recording in reviewed else noisy)[recording] for recording in true}
        print(f"\nseed {seed}: {shares[-1]:.1%} of the wrong labels in {len(found)} of {len(true)} clips, ", end="")
        print(f"{firsts[-1]} of the first 25 wrong", flush=True)
        sets = [
            extracted(clean, CLIPS, tmp_path / "clean.db"),
            windows,
            extracted(relabelled(clean, mended), CLIPS, tmp_path / f"mended{seed}.db"),
        ]
        accuracies.append([accuracy(one, test, seed, tmp_path) for one in sets])
        print("accuracy: clean {:.3f}, noisy {:.3f}, mended {:.3f}".format(*accuracies[-1]), flush=True)
    best, worst, after = np.mean(accuracies, axis=0)
    recovered = (after - worst) / (best - worst)
    print(f"mean: {np.mean(shares):.1%} found (wanted: 70 %), {np.mean(firsts):.1f} of the first 25 (wanted: 23)")
    print(f"accuracy {best:.3f}, noisy {worst:.3f}, mended {after:.3f}: {recovered:.0%} recovered (wanted: 80 %)")
    assert np.mean(shares) >= 0.7 and np.mean(firsts) >= 23
    assert recovered >= 0.8


def test_suggested_examples_of_a_class_are_worth_more_than_random_ones(tmp_path):
    windows, test = (
        extracted(data_set(f"soundscapes/{part}"), AudioSettings(), tmp_path / f"{part}.db", 1.5)
        for part in ("train", "test")
    )
    features, test_features = window_statistics(windows), window_statistics(test)
    mean, projection = principal_components(features)
    x, x_test = (features - mean) @ projection, (test_features - mean) @ projection
    rows, everything = [], np.arange(len(x))

    def precision(head, truth: np.ndarray) -> float:
        return float(average_precision_score(truth, head.scores(x_test)[:, 0]))

    print()
    for column, name in enumerate(windows.classes["name"]):
        truth, test_truth = windows.labels[:, column], test.labels[:, column]
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            random = rng.choice(everything, 200, replace=False)
            rest = np.setdiff1d(everything, random)
            of_random = [
                precision(fit_head(x[random], truth[random][:, None], multi_label=True), test_truth),
                precision(fit_class_head(x[random], truth[random], x[rest], rng), test_truth),
            ]
            known = rng.choice(np.flatnonzero(truth), 10, replace=False)
            for _ in range(3):
                pool = np.setdiff1d(everything, known)
                center, directions = principal_components(features[known])  # as suggest likely, of what is labelled
                seen, others = ((features[each] - center) @ directions for each in (known, pool))
                scores = fit_class_head(seen, truth[known], others, rng).scores(others)[:, 0]
                places = windows.recording[pool], windows.starts[pool], windows.audio.spec_duration
                known = np.append(known, pool[informative_windows(scores, *places, 20)])
            pool = np.setdiff1d(everything, known)
            suggested = precision(fit_class_head(x[known], truth[known], x[pool], rng), test_truth)
            rows.append([suggested, *of_random, truth[known].sum(), truth[random].sum()])
        means = np.mean(rows[-len(SEEDS) :], axis=0)
        print("{:14} AP of 10 + 60 suggested {:.3f}, of 200 random {:.3f} ".format(name, *means[:2]), end="")
        print("({:.3f} with presumed ones); {:.0f} and {:.0f} with the class".format(*means[2:]), flush=True)
    suggested, random, random_presumed = np.mean(rows, axis=0)[:3]
    print(f"mean: {suggested:.3f}, random {random:.3f} ({random_presumed:.3f} with presumed ones)")
    assert suggested >= max(random, random_presumed)
