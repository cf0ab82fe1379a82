"""Windows that together show all kinds of sound there are: each the farthest from those before it.

Greedy k-center selection, whose largest distance to the nearest chosen window is at most twice the least possible
(Gonzalez, Clustering to Minimize the Maximum Intercluster Distance, 1985; for choosing what to label: Sener and
Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, 2018).
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from lib.core.progress import progress
from lib.curation.direction_file import Directions, directions
from lib.curation.suggestion import Suggestion
from lib.curation.suggestions import RANKINGS, Ranking, SuggestionSources
from lib.curation.suggestions.embedded_windows import chosen_embeddings, window_suggestion

KIND = "diverse"


def rank_diverse(sources: SuggestionSources) -> list[Suggestion]:
    """A spread-out selection of the store's windows, or of the training database's; their score is 1 - the cosine to
    the nearest of those before, of the first one (the most usual window) 1. Those that were decided about count as
    before, but are left out.

    Raises EarshotError if there are no embeddings.
    """
    decided = sources.decided()
    with chosen_embeddings(sources) as embeddings, directions(embeddings) as windows:

        def undecided() -> Iterator[Suggestion]:
            for number, (index, distance) in enumerate(spread_out(windows)):
                why = f"distance {distance:.3f} to those before" if number else "the most usual sound"
                place = int(windows.recordings[index]), float(windows.starts[index])
                one = window_suggestion(embeddings, *place, distance, KIND, why)
                if not decided.covers(one):
                    yield one

        return list(progress(islice(undecided(), sources.n), "choose", sources.n, "windows"))


def spread_out(windows: Directions) -> Iterator[tuple[int, float]]:
    """Indices of windows, and the distance (1 - cosine) of each from those before it; the first is that nearest to the
    mean. Silent windows, and copies of those before, are left out."""
    if not len(windows.starts):
        return
    total = sum(np.asarray(windows.vectors[block]).sum(axis=0, dtype=np.float64) for block in windows.blocks())
    mean = (total / max(np.linalg.norm(total), 1e-12)).astype(np.float32)
    to_mean = np.concatenate([np.asarray(windows.vectors[block]) @ mean for block in windows.blocks()])
    is_sound = np.concatenate([np.asarray(windows.vectors[block]).any(axis=1) for block in windows.blocks()])
    distances = np.where(is_sound, np.inf, -np.inf)
    if not is_sound.any():
        return
    chosen, distance = int(np.where(is_sound, to_mean, -np.inf).argmax()), 1.0
    while distance > 1e-6:
        yield chosen, distance
        center = np.asarray(windows.vectors[chosen])
        for block in windows.blocks():
            np.minimum(distances[block], 1 - np.asarray(windows.vectors[block]) @ center, out=distances[block])
        chosen = int(distances.argmax())
        distance = float(distances[chosen])


RANKINGS.register(KIND, Ranking("windows that together show all kinds of sound", rank_diverse))
