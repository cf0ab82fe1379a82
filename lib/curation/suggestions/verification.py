"""A verification sample: for each class, detections spread over its scores, so that checking them tells how precise
each score is (Wood and Kahl, Guidelines for appropriate use of BirdNET scores and other detector outputs, 2024; Knight
et al., Recommendations for acoustic recognizer performance assessment with application to five common automated signal
recognition programs, 2017). lib.curation.verified_precision evaluates what was decided about it.
"""

import heapq

from lib.core.digests import digest_of
from lib.curation.score_bands import BANDS, score_band
from lib.curation.suggestion import Suggestion
from lib.curation.suggestions import RANKINGS, Ranking, SuggestionSources, chosen_columns
from lib.results.results_store import ResultsStore

KIND = "verification"


def draw_verification(sources: SuggestionSources) -> list[Suggestion]:
    """Of each class n of infer's detections, drawn by seed: as many of each band of scores as there are, or need be.

    What is drawn depends on the seed and the detections alone; more recordings, or decisions, change the rest little.
    Raises DataSetError if there are no results, SettingsError if the model has no such class.
    """
    chosen: list[Suggestion] = []
    with ResultsStore(sources.labels) as store:
        names, decided = store.manifest.class_list.names, sources.decided(store.manifest.class_list)
        for column in chosen_columns(store, sources):
            bands: list[list[tuple[str, Suggestion]]] = [[] for _ in range(BANDS)]
            for found in store.found_sounds(column, 0.0, 1.0):
                about = found.recording, found.path, found.start_time, found.end_time, names[column]
                one = Suggestion(*about, found.score, KIND, why=f"scores {found.score:.3f}")
                if not decided.covers(one):
                    band = bands[score_band(found.score)]
                    band.append((digest_of([sources.seed, found.recording, found.start_time, names[column]]), one))
                    if len(band) > 2 * sources.n:
                        band[:] = heapq.nsmallest(sources.n, band, key=lambda drawn: drawn[0])
            drawn = [[one for _, one in sorted(band, key=lambda each: each[0])] for band in bands]
            shares = even_shares([len(band) for band in drawn], sources.n)
            sample = [one for band, share in zip(drawn, shares, strict=True) for one in band[:share]]
            chosen += sorted(sample, key=lambda one: (-one.score, *one.place))
    return chosen


def even_shares(sizes: list[int], n: int) -> list[int]:
    """How many to take of each band, n in all if there are as many: what small bands lack, others give.

    >>> even_shares([1, 10, 10], 9)
    [1, 4, 4]
    """
    shares = [0] * len(sizes)
    while n > 0 and (open_bands := [i for i, size in enumerate(sizes) if shares[i] < size]):
        for i in reversed(open_bands):
            if n > 0:
                shares[i] += 1
                n -= 1
    return shares


RANKINGS.register(KIND, Ranking("detections of each class, spread over its scores", draw_verification))
