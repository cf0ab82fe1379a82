"""A class's scores over time in a part of a recording, read from the results store without the rest of it."""

from typing import NamedTuple

import numpy as np
from sqlalchemy import select

from lib.core.databases import readable
from lib.results.results_store import ResultsStore, unpack_scores
from lib.results.results_tables import FILE, RECORDING, SCORES


class ScoreCurve(NamedTuple):
    """Scores of the windows of one class, 0..1, with their starts (s), float (n,) each; windows last `seconds`."""

    starts: np.ndarray
    scores: np.ndarray
    seconds: float


def score_curve(store: ResultsStore, recording: str, class_name: str, start: float, end: float) -> ScoreCurve:
    """The scores of the windows that reach into a part of a recording.

    Args:
        store: the results.
        recording: its name there.
        class_name: name of the class; if the model has no such class, there are no scores.
        start, end: of the part, s.
    """
    manifest = store.manifest
    column, hop, length = manifest.class_list.resolve(class_name), manifest.hop, manifest.segment_len
    starts, scores = [np.empty(0)], [np.empty(0, np.float32)]
    if column is None or manifest.external_run is not None:
        return ScoreCurve(starts[0], scores[0], length)
    index, n_classes = manifest.class_list.names.index(column), len(manifest.classes)
    low, high = (start - length - manifest.start_seconds) / hop, (end - manifest.start_seconds) / hop
    query = select(SCORES.c.First, SCORES.c.Windows, SCORES.c.Value).join(RECORDING)
    query = query.where(RECORDING.c.Name == recording, RECORDING.c.Settings == manifest.key)
    query = query.where(SCORES.c.First + SCORES.c.Windows > low, SCORES.c.First < high).order_by(SCORES.c.First)
    with readable(store.path, FILE):
        for first, n, value in store.connection.execute(query):
            times = manifest.start_seconds + np.arange(first, first + n) * hop
            inside = (times > start - length) & (times < end)
            starts.append(times[inside])
            scores.append(unpack_scores(value, (n, n_classes))[inside, index])
    return ScoreCurve(np.concatenate(starts), np.concatenate(scores), length)
