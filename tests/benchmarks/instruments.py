"""Chooses settings for instruments that were never heard, on the training part alone.

The recordings of each class are cut into halves of different timbre: along the direction that separates two clusters of
their mean MFCCs. A model is trained on one half; the other becomes 120 clips of one to three instruments, each changed
as another player, room and microphone would: speed by up to three semitones, pitch by two, four peaks or dips of up to
12 dB, reverberation. Odd seeds train on the second half, even ones on the first.

With CLIPS, models train on all of the training part instead and are tested on CLIPS: clips of other samples, as
tests.benchmarks.instrument_clips writes them. These are further from the training part than any change of it.

Usage: python -m tests.benchmarks.instruments DATA FOLDER [--clips CLIPS] [--seeds 1,2,3,4] [--only NAME,NAME]

DATA is laid out like IRMAS's training part. FOLDER keeps what was made and measured; an interrupted run resumes. The
table is printed after each seed.
"""

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import librosa
import numpy as np
import soundfile
from scipy.signal import fftconvolve
from sklearn.cluster import KMeans

from lib import Predictor, Trainer, extract
from lib.audio.augment import AUGMENTATIONS
from lib.config.load import load_settings, with_changes
from lib.config.profiles import PROFILES
from lib.config.schema import Settings
from lib.core.code_digest import digest_code
from lib.core.digests import digest_of
from lib.core.files import write_json
from lib.evaluation.clip_metrics import clip_figures, clip_scores

RATE = 32000
N_CLIPS = 120
RECIPE: dict[str, Any] = PROFILES["instruments"].values | {
    "extract.sound": True,
    "train.augmentations": [
        {"name": "mixup", "probability": 0.8},
        {"name": "pitch", "semitones": 5.0},
        {"name": "seven_band_eq"},
        {"name": "gain"},
        {"name": "time_shift"},
    ],
    "train.epochs": 32,
    "train.val_fraction": 0.02,
    "train.threads": 1,
    "train.device": "cpu",
    "infer.device": "cpu",
}
"""What was chosen."""
BASE = RECIPE | {
    "audio.spec_height": 40,
    "train.epochs": 8,
    "train.augmentations": [each for each in RECIPE["train.augmentations"] if each["name"] != "pitch"],
}
"""What the rows change: the recipe, coarser and shorter, without what takes most of its time."""


def rows() -> dict[str, dict[str, Any]]:
    """Settings by name: BASE, augmentations added and left out, bands of spectrograms, frontends; the recipe."""
    of_base = BASE["train.augmentations"]
    lists: dict[str, list[Any]] = {"no augmentation": []}
    lists |= {f"without {left_out['name']}": [each for each in of_base if each != left_out] for left_out in of_base}
    for name in sorted(
        set(AUGMENTATIONS) - {each["name"] for each in of_base} - {"background_mix", "background_noise"}
    ):
        lists[name] = [{"name": name}, *(each for each in of_base if not (each["name"] == "mixup" and "sum_" in name))]
    changes: dict[str, dict[str, Any]] = {"base": {}}
    changes |= {name: {"train.augmentations": augmentations} for name, augmentations in lists.items()}
    changes |= {f"{n} bands": {"audio.spec_height": n} for n in (64, 96)}
    changes |= {f"frontend {name}": {"train.frontend": name} for name in ("mfcc", "multi", "ast", "wavelet")}
    return {name: BASE | change for name, change in changes.items()} | {"recipe": RECIPE}


def unheard(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A waveform (n,) at RATE as it might have been played and recorded elsewhere; of another length."""
    x = librosa.resample(x, orig_sr=RATE, target_sr=int(RATE * 2 ** (rng.uniform(-3, 3) / 12)), res_type="soxr_hq")
    x = librosa.effects.pitch_shift(x, sr=RATE, n_steps=rng.uniform(-2, 2))
    frequencies, db = np.maximum(np.fft.rfftfreq(len(x), 1 / RATE), 1), 0.0
    for _ in range(4):
        centre, gain, octaves = np.exp(rng.uniform(np.log(80), np.log(12000))), *rng.uniform((-12, 0.3), (12, 1.2))
        db = db + gain * np.exp(-0.5 * (np.log2(frequencies / centre) / octaves) ** 2)
    x = np.fft.irfft(np.fft.rfft(x) * 10 ** (db / 20), len(x))
    n = int(RATE * rng.uniform(0.2, 1.2))
    room = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    room *= 10 ** (rng.uniform(-14, -3) / 20) / np.sqrt(np.square(room).sum())
    room[0] += 1
    return fftconvolve(x, room)[: len(x)]


def halves(files: list[Path]) -> np.ndarray:
    """Which half each recording of a class belongs to, 0 or 1, int (n,)."""
    rows = []
    for file in files:
        coefficients = librosa.feature.mfcc(y=librosa.load(file, sr=RATE)[0], sr=RATE)[1:]
        rows.append(np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1)]))
    features = np.array(rows)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    centres = KMeans(2, n_init=10, random_state=0).fit(features).cluster_centers_
    ranks = np.argsort(np.argsort(features @ (centres[1] - centres[0])))
    return (ranks >= len(files) // 2).astype(int)


def write_fold(data: Path, folder: Path, fold: int) -> None:
    """Write a fold: train/CLASS with links to what trains, and clips/: WAV files, and their classes in .txt files."""
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
    held_out: dict[str, list[Path]] = {}
    for place in sorted(path for path in data.iterdir() if path.is_dir()):
        files = sorted(place.iterdir())
        for file, half in zip(files, halves(files), strict=True):
            if half == fold:
                held_out.setdefault(place.name, []).append(file)
            else:
                link = folder / "train" / place.name / file.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.resolve())
    (folder / "clips").mkdir()
    rng = np.random.default_rng(100 + fold)
    for i in range(N_CLIPS):
        classes = rng.choice(sorted(held_out), rng.integers(1, 4), replace=False)
        n = int(RATE * rng.uniform(5, 10))
        sound = sum(_played(held_out[name], n, rng) for name in classes)
        soundfile.write(folder / f"clips/{i:03d}.wav", 0.7 * sound / np.abs(sound).max(), RATE)
        (folder / f"clips/{i:03d}.txt").write_text("".join(f"{name}\n" for name in classes))


def _played(files: list[Path], n: int, rng: np.random.Generator) -> np.ndarray:
    """A waveform (n,) of one instrument that plays some of the files."""
    instrument, parts = rng.integers(2**31), list[np.ndarray]()
    for k in rng.permutation(len(files)):
        parts.append(unheard(librosa.load(files[k], sr=RATE)[0], np.random.default_rng(instrument)))
        if sum(map(len, parts)) >= n:
            break
    sound = np.concatenate(parts)[:n]
    return 10 ** (rng.uniform(-6, 0) / 20) * sound / np.sqrt(np.square(sound).mean())


def database(recordings: Path, folder: Path, settings: Settings) -> Path:
    """The windows of recordings that train, of which most rows use the same."""
    key = digest_of([settings.audio.model_dump(mode="json"), settings.extract.model_dump(mode="json")])[:12]
    path = folder / f"{key}.db"
    extract(recordings, database=path, cfg=settings)
    return path


def tested(model: Path, clips_folder: Path, settings: Settings) -> dict[str, float]:
    """Figures of a model on clips, with the threshold at which micro F1 is best."""
    predictor = Predictor(model, cfg=settings)
    clips = sorted(clips_folder.glob("*.wav"))
    truth = np.array([np.isin(predictor.class_names, clip.with_suffix(".txt").read_text().split()) for clip in clips])
    scores = np.array([clip_scores(predictor.get_recording_scores(clip)[0]) for clip in clips])
    best = max(np.arange(0.02, 0.9, 0.01), key=lambda threshold: clip_figures(truth, scores, threshold)["micro_f1"])
    figures = clip_figures(truth, scores, best)
    return {name: figures[name] for name in ("mAP", "LRAP", "micro_f1")} | {"threshold": float(best)}


class Part(NamedTuple):
    """Recordings that train and clips that test, and the folder that keeps the windows of the recordings."""

    recordings: Path
    clips: Path
    folder: Path


def part(data: Path, folder: Path, clips: Path | None, seed: int) -> Part:
    """What a seed trains on and is tested on: all of the training part and other samples, or a fold."""
    if clips:
        return Part(data, clips, folder)
    fold = folder / f"fold{seed % 2}"
    if not (fold / "clips" / f"{N_CLIPS - 1:03d}.txt").exists():
        write_fold(data, fold, seed % 2)
    return Part(fold / "train", fold / "clips", fold)


def lines(results: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """A table as Markdown: means over the seeds, and of mAP also the difference to the first row with each seed."""
    yield "| settings | mAP | difference | LRAP | best micro F1 | at |"
    yield "| --- | --- | --- | --- | --- | --- |"
    first = next(iter(results.values()))
    for name, of_seeds in sorted(results.items(), key=lambda item: -mean(each["mAP"] for each in item[1])):
        of = {key: mean(each[key] for each in of_seeds) for key in first[0]}
        gains = " ".join(f"{one['mAP'] - other['mAP']:+.3f}" for one, other in zip(of_seeds, first, strict=True))
        yield (
            f"| {name} | {of['mAP']:.3f} | {gains} | {of['LRAP']:.3f} | {of['micro_f1']:.3f} | {of['threshold']:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--seeds", default="1,2,3,4")
    parser.add_argument("--only", default=",".join(rows()))
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(rows()):
        parser.error(f"no such settings: {', '.join(sorted(unknown))}; there are {', '.join(rows())}")
    options.folder.mkdir(parents=True, exist_ok=True)
    kept = options.folder / "figures.json"
    figures: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    code = digest_code(extract, Trainer, Predictor)
    results: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in map(int, options.seeds.split(",")):
        recordings, clips, folder = part(options.data, options.folder, options.clips, seed)
        for name in names:
            settings = with_changes(load_settings(), rows()[name] | {"train.seed": seed})
            key = f"{name}, seed {seed}, {digest_of([settings.model_dump(mode='json'), clips.name, code])[:12]}"
            if key not in figures:
                model = options.folder / key
                if not (model / "model.pt").exists():
                    Trainer(cfg=settings, database=database(recordings, folder, settings), output=model).run()
                figures[key] = tested(model, clips, settings)
                write_json(kept, figures)
            results[name].append(figures[key])
        print(f"\nUp to seed {seed}:\n", *lines(results), sep="\n", flush=True)


if __name__ == "__main__":
    main()
