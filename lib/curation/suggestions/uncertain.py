"""Windows whose scores are the least certain: what a model would learn most from (Settles, Active Learning Literature
Survey, 2009, section 3.1)."""

from collections.abc import Iterator

import numpy as np

from lib.core.progress import progress
from lib.curation.suggestion import DecidedSounds, Suggestion, keep_best
from lib.curation.suggestions import RANKINGS, Ranking, SuggestionSources, chosen_columns
from lib.results.results_store import RecordingResult, ResultsStore

KIND = "uncertain"
SPARE = 8
"""Windows of a recording that are looked at for each that is wanted, since neighbours overlap."""


def rank_uncertain(sources: SuggestionSources) -> list[Suggestion]:
    """The windows and classes of infer's results whose score is nearest to 0.5; the score of a suggestion is the
    entropy of presence and absence, 0..1 bit.

    Raises DataSetError if there are no scores, SettingsError if the model has no such class.
    """
    with ResultsStore(sources.labels) as store:
        store.check_scores()
        columns = chosen_columns(store, sources)
        decided = sources.decided(store.manifest.class_list)
        recordings = [one for one in store.recordings().values() if one.is_ok]
        found = (_of_recording(store, one, columns, SPARE * sources.n, decided) for one in recordings)
        return keep_best(progress(found, "read", len(recordings), "recordings"), sources.n)


def entropy(scores: np.ndarray) -> np.ndarray:
    """Entropy (bits) of presence and absence.

    >>> entropy(np.array([0.0, 0.5, 1.0]))
    array([0., 1., 0.])
    """
    p = np.clip(scores.astype(np.float64), 1e-12, 1 - 1e-12)
    return np.round(-p * np.log2(p) - (1 - p) * np.log2(1 - p), 9) + 0.0


def _of_recording(
    store: ResultsStore, recording: RecordingResult, columns: list[int], n: int, decided: DecidedSounds
) -> Iterator[Suggestion]:
    """The n windows and classes of a recording that are least certain and were not decided about."""
    names, seconds = store.manifest.class_list.names, store.manifest.segment_len
    starts, scores, values = np.empty(0), np.empty((0, len(columns)), np.float32), np.empty((0, len(columns)))
    for block_starts, block_scores in store.windows(recording.name):
        starts, scores = np.append(starts, block_starts), np.concatenate([scores, block_scores[:, columns]])
        block_values = entropy(block_scores[:, columns])
        if recording.name in decided:
            times = block_starts, np.minimum(block_starts + seconds, recording.seconds or np.inf)
            for index, column in enumerate(columns):
                block_values[decided.covers_windows(recording.name, *times, names[column]), index] = 0
        values = np.concatenate([values, block_values])
        best = np.sort(np.argsort(-values.max(axis=1, initial=0), kind="stable")[:n])
        starts, scores, values = starts[best], scores[best], values[best]
    n = min(n, values.size)
    pairs = np.argpartition(-values, n - 1, axis=None)[:n] if n else np.empty(0, int)
    for row, column in zip(*np.unravel_index(np.sort(pairs[values.flat[pairs] > 0]), values.shape), strict=True):
        end = min(starts[row] + seconds, recording.seconds or np.inf)
        about = recording.name, recording.path, float(starts[row]), float(end), names[columns[column]]
        yield Suggestion(*about, float(values[row, column]), KIND, why=f"scores {scores[row, column]:.3f}")


RANKINGS.register(KIND, Ranking("windows of infer's results whose scores are nearest to 0.5", rank_uncertain))
