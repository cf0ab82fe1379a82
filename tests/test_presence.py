"""Extraction labels exactly those windows with an event in which evaluation expects it."""

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.config.schema import AudioSettings, ExtractSettings
from lib.core.incremental import Item, Source
from lib.evaluation.units import segment_units
from lib.formats.data_sets import DataSet
from lib.inference.streams import Batch, WindowReader, hop_of
from lib.results.manifest import Manifest
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.annotations import ANNOTATION_COLUMNS
from lib.training_data.extraction import ExtractedWindows, read_windows
from tests.recordings import noise, truncate, write

RATE = 1000
EVENTS = st.lists(st.tuples(st.floats(-1, 12), st.floats(0.001, 4) | st.just(np.inf)), max_size=5)
"""Start and duration (s) of events; a negative start counts from the end of the sound."""


def extracted(source: Source, audio: AudioSettings, overlap: float, min_seconds: float) -> dict[float, set[str]]:
    """The classes of each window of a recording that extraction labels, by its start (s)."""
    chosen = ExtractSettings(overlap=overlap, min_seconds=min_seconds, background=0.0)
    pieces = [piece for piece in read_windows(source, audio, chosen) if isinstance(piece, ExtractedWindows)]
    return {round(window.offset, 6): set(window.classes) for piece in pieces for window in piece.windows}


def evaluated(
    folder: Path, source: Source, audio: AudioSettings, overlap: float, min_seconds: float
) -> dict[float, set[str]]:
    """The classes that evaluation expects in each window of a recording after inference, by its start (s)."""
    (_, times, names), name = source.item.inputs, source.item.name
    rows = [(name, label, *span) for label, span in zip(names, times, strict=True)]
    annotations = pd.DataFrame(rows, columns=ANNOTATION_COLUMNS)
    data_set = DataSet(folder, {name: source.item.path}, annotations, pd.DataFrame({"name": names}), [])
    classes = [{"name": label, "code": "", "alt_name": "", "alt_code": ""} for label in names]
    manifest = Manifest(
        segment_len=audio.spec_duration,
        overlap=overlap,
        classes=classes,
        models={},
        scaling={},
        infer={"csv_min_score": 0.0},
        audio={},
    )
    batches = [
        piece for piece in WindowReader(audio, hop_of(audio, overlap), 8).read(source) if isinstance(piece, Batch)
    ]
    results = (
        PartialResult(np.zeros((len(batch.windows.starts), len(names)), np.float32), [], batch.windows.seconds)
        for batch in batches
    )
    with ResultsStore(folder, manifest) as store:
        store.write(name, str(source.item.path), "", results, [], [])
        units = segment_units(data_set, store, min_seconds)[0].whole()
    present = {
        round(start, 6): {label for label, is_present in zip(names, row, strict=True) if is_present}
        for start, row in zip(units.start_time.tolist(), units.truth, strict=True)
    }
    return {start: classes for start, classes in present.items() if classes}


@settings(deadline=None, max_examples=60)
@given(
    seconds=st.floats(0.3, 10),
    file=st.sampled_from([("a.wav", 1.0), ("a.wav", 0.9), ("a.wav", 0.5), ("a.flac", 1.0)]),
    length=st.sampled_from([0.25, 1.0, 3.0]),
    share=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    min_seconds=st.sampled_from([0.1, 0.25]),
    events=EVENTS,
)
@example(9.0, ("a.wav", 1.0), 3.0, 0.0, 0.25, [(2.9, 0.2), (2.8, 0.4), (8.9, np.inf), (10.0, 1.0)])
@example(10.0, ("a.wav", 0.5), 3.0, 0.5, 0.25, [(4.8, 3.0), (5.2, 1.0), (0.0, np.inf)])
@example(30.0, ("a.flac", 0.5), 3.0, 0.5, 0.25, [(start, 0.2) for start in np.arange(0, 30, 0.7)])
def test_extraction_and_evaluation_agree_on_every_event(
    tmp_path_factory, seconds, file, length, share, min_seconds, events
):
    folder = tmp_path_factory.mktemp("presence")
    name, keep = file
    path = truncate(write(folder / name, noise(seconds, RATE), RATE), keep)  # its header states all seconds
    audio = AudioSettings(
        sampling_rate=RATE,
        spec_duration=length,
        spec_height=8,
        win_length=32,
        hop_length=10,
        min_freq=0.0,
        max_freq=500.0,
    )
    starts = [start if start >= 0 else max(seconds * keep + start, 0.0) for start, _ in events]
    times = [[start, start + duration] for start, (_, duration) in zip(starts, events, strict=True)]
    names = [f"event {number}" for number in range(len(events))]
    source = Source(Item("a", path, [path.name, times, names]), "0" * 32)
    overlap = share * length
    assert extracted(source, audio, overlap, min_seconds) == evaluated(folder, source, audio, overlap, min_seconds)
