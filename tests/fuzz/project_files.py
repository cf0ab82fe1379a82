"""What stages write and read back: settings, pickles, checkpoints and databases."""

import random
import shutil
from pathlib import Path

import numpy as np

from lib.config.load import load_settings
from lib.core.errors import Problem
from lib.curation.embedding_store import EmbeddingStore
from lib.models.checkpoints import load_checkpoint
from lib.models.description import description_file
from lib.occurrence.occurrence_database import write_database
from lib.occurrence.occurrence_pickle_provider import OccurrencePickleProvider
from lib.occurrence.occurrence_pickler import OccurrencePickler
from lib.occurrence.occurrence_table import OccurrenceRow
from lib.results.manifest import Manifest
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.labels import RESULTS_FILE, Label
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_data_provider import TrainingDataProvider
from lib.training_data.training_database import TrainingDatabase
from tests.fuzz.fuzzing import Target
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, extract_folder, write_data_set

PROJECT = Path(__file__).parents[2]
PICKLE_WORDS = (
    b"cos\nsystem\n",
    b"R",
    b"\x80\x05",
    b"\x95",
    b"B\xff\xff\xff\x7f",
    b"\x8c\xff",
    b"2" * 64,
    b"(lp0\n",
    b"h\xff",
)
YAML_WORDS = (
    *(
        b"&a",
        b"*a",
        b"<<: *a",
        b"!!python/object:os.system",
        b"\0",
        b"\t",
        b"- ",
        b": ",
        b"{",
        b"[",
        b"null",
        b".inf",
        b".nan",
    ),
    *(b"1e999", b"-1", b"9" * 400, b"\xff", b"'", b'"', b"|", b">", b"? ", b"---\n", b"train:\n  epochs: &a [*a]\n"),
)
BINARY_WORDS = (bytes(8), b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"nan", b"[]", b"{}", b"null", b"PK\x05\x06")


def settings_files(folder: Path) -> dict[str, bytes]:
    anchored = b"a: &a\n  epochs: 3\ntrain:\n  <<: *a\n  seed: 2\n"
    return {"params.yaml": (PROJECT / "params.yaml").read_bytes(), "anchors.yaml": anchored}


def read_settings(path: Path, rng: random.Random) -> None:
    load_settings(path, {"train.epochs": 3} if rng.random() < 0.5 else None)


def occurrence_pickles(folder: Path) -> dict[str, bytes]:
    weeks = np.linspace(0, 1, 48)
    rows = [
        OccurrenceRow(f"CA-ON-{county}", f"County {county}", (0.0, 1.0, float(k), k + 1.0), name, weeks)
        for k, county in enumerate("ABC")
        for name in ("wren", "finch")
    ]
    write_database(rows, folder / "occurrences.db")
    OccurrencePickler(folder / "occurrences.db", folder / "occurrences.pkl").pickle(quiet=True)
    return {"occurrences.pkl": (folder / "occurrences.pkl").read_bytes()}


def read_occurrences(path: Path, rng: random.Random) -> None:
    provider = OccurrencePickleProvider(path)
    for name in provider.class_names[:3]:
        for place in ({"region_code": "CA"}, {"region_code": "CA-ON-A"}, {"latitude": 0.5, "longitude": 0.5}):
            provider.occurrence_value(name, week_num=rng.choice((None, 0, 47)), smoothed=rng.random() < 0.5, **place)


def checkpoints(folder: Path) -> dict[str, bytes]:
    save_random_model(folder / "model.pt", AUDIO, head="sed", sed_fps=8.0)
    return {path.name: path.read_bytes() for path in (folder / "model.pt", folder / "model.json")}


def read_checkpoint(path: Path, rng: random.Random) -> None:
    seeds = path.parent / "seeds"
    model = path if path.suffix == ".pt" else shutil.copy(seeds / "model.pt", path.with_suffix(".pt"))
    if path.suffix == ".pt":
        shutil.copy(seeds / "model.json", description_file(path))
    load_checkpoint(model)


def training_databases(folder: Path) -> dict[str, bytes]:
    extract_folder(write_data_set(folder / "set", 3), folder / "training.db")
    with TrainingDatabase(folder / "training.db") as db:
        db.insert_soundtype("song")
        recording = db.insert_recording(db.get_source()[0].id, "x.wav", "x.wav", 3.0)
        segment = db.insert_segment(recording, 0.0, b"audio", 8000)
        db.insert_segment_class(segment, db.get_class()[0].id, db.get_soundtype()[0].id)
    return {"training.db": (folder / "training.db").read_bytes()}


def read_training_database(path: Path, rng: random.Random) -> None:
    for left_over in path.parent.glob(f"{path.name}-*"):
        left_over.unlink()
    if rng.random() < 0.5:
        with TrainingDatabase(path, create=rng.random() < 0.5) as db:
            for table in (
                "source",
                "category",
                "class",
                "soundtype",
                "recording",
                "segment",
                "segment_class",
                "specvalue",
            ):
                getattr(db, f"get_{table}")()
                getattr(db, f"get_{table}_count")()
            db.get_spectrogram_by_class("low")
            TrainingDataProvider(db).class_info()
            TrainingDataProvider(db).segment_class_dict()
    else:
        windows = StoredWindows(path)
        spectrograms = windows.spectrograms(np.arange(len(windows)))
        assert spectrograms.shape == (len(windows), windows.audio.spec_height, windows.audio.spec_width)


def results_stores(folder: Path) -> dict[str, bytes]:
    classes = [{"name": name, "code": name.upper(), "alt_name": "", "alt_code": ""} for name in ("wren", "toad")]
    manifest = Manifest(
        segment_len=3.0,
        overlap=1.5,
        classes=classes,
        models={"a.pt": "1"},
        scaling={"a.pt": (1.0, 0.0)},
        infer={"csv_min_score": 0.0},
        audio={},
    )
    rng = np.random.default_rng(1)
    with ResultsStore(folder, manifest) as store:
        for name in "abc":
            parts = [PartialResult(rng.random((300, 2), np.float32), [Label("wren", 0.0, 3.0, 0.5)] * 3, 450.0)]
            store.write(name, f"{name}.wav", name, parts, [Problem("a", "b", "c")], [["a", "wren", "kept"]])
        store.commit()
        store.finish(pack=True)
    return {RESULTS_FILE: (folder / RESULTS_FILE).read_bytes()}


def read_results(path: Path, rng: random.Random) -> None:
    with ResultsStore(path) as store:
        for name, result in store.recordings().items():
            assert isinstance(result.reason, str)
            list(store.labels(name))
            store.scores(name)
            store.occurrences(name)
        store.digest()


def embeddings(folder: Path) -> dict[str, bytes]:
    manifest = {"hop": 0.5, "audio": AUDIO.model_dump(), "models": ["1"]}
    rng = np.random.default_rng(1)
    store = EmbeddingStore(folder / "embeddings.db", manifest=manifest)
    for name in "abc":
        batches = [(rng.random((40, 16), np.float32), 20.0)] * 3
        store.write(name, f"{name}.wav", name, batches, [Problem("a", "b", "c")])
    store.finish()
    return {"embeddings.db": (folder / "embeddings.db").read_bytes()}


def read_embeddings(path: Path, rng: random.Random) -> None:
    with EmbeddingStore(path) as store:
        n = sum(len(piece.vectors) for piece in store.pieces())
        assert store.count() == n or store.dim >= 0
        store.recording("a")
        store.recording_at("a.wav")
        for name in list(store.keys()):
            store.keep(name, "elsewhere.wav")


SETTINGS = Target(settings_files, read_settings, YAML_WORDS)
OCCURRENCES = Target(occurrence_pickles, read_occurrences, PICKLE_WORDS)
CHECKPOINT = Target(checkpoints, read_checkpoint, BINARY_WORDS)
TRAINING_DATABASE = Target(training_databases, read_training_database, BINARY_WORDS)
RESULTS = Target(results_stores, read_results, BINARY_WORDS)
EMBEDDINGS = Target(embeddings, read_embeddings, BINARY_WORDS)
