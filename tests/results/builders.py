"""Results stores without a model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib.config.schema import AudioSettings, InferSettings
from lib.results.manifest import Manifest
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.labels import Label

NAMES = ["a", "b", "c"]


def make_manifest(names: list[str] = NAMES, infer: dict | None = None, **changes) -> Manifest:
    """Windows of 3 s, one every 1.5 s."""
    classes = [{"name": name, "code": name.upper(), "alt_name": "", "alt_code": ""} for name in names]
    content = {"segment_len": 3.0, "overlap": 1.5, "classes": classes, "models": {"model.pt": "1"}}
    content |= {"scaling": {"model.pt": (1.0, 0.0)}, "audio": AudioSettings().model_dump()}
    content |= {"infer": InferSettings(**infer or {}).model_dump(exclude={"workers", "strict", "device"})}
    return Manifest.model_validate(content | changes)


def write_recording(store: ResultsStore, name: str, scores: np.ndarray, labels: Sequence[Label] = ()) -> None:
    """Write what is to be found in a recording, scores (n_windows, n_classes), under a key that follows from it."""
    key = f"{store.manifest.key} {scores.tobytes().hex()} {labels}"
    store.write(name, f"field/{name}.wav", key, [PartialResult(scores, list(labels), 1.5 * len(scores) + 1.5)], [], [])


def random_scores(seed: int, n: int = 1500, n_classes: int = len(NAMES)) -> np.ndarray:
    return np.random.default_rng(seed).random((n, n_classes)).astype(np.float32)


def write_store(folder: Path, names: str, manifest: Manifest | None = None, pack: bool = False) -> None:
    """A run over recordings of single letters, of which those are written that are missing."""
    with ResultsStore(folder, manifest or make_manifest()) as store:
        known = store.recordings()
        for name in names:
            if name not in known:
                write_recording(store, name, random_scores(ord(name)), [Label("a", 0.0, 3.0, 0.5)])
        for name in store.keys().keys() - set(names):
            store.remove(name)
        store.finish(pack)
