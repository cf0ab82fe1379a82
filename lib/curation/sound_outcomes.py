"""What became of found and of annotated sounds: right, confused with another class, false, or missed.

A found sound is right where an annotation of its class is present in it, by the rule of lib.sound.grid: the windows of
a model are longer than most calls, so that the times of a right label and of its call may differ much, which
lib.evaluation.event_matching would count as an error. Of the others, one in which there is an annotation that no label
of its own class tells is confused with that; the rest are false.
"""

from typing import NamedTuple

import numpy as np

CORRECT, CONFUSED, FALSE_POSITIVE, MISSED = "correct", "confused", "false positive", "missed"
OUTCOMES = (CORRECT, CONFUSED, FALSE_POSITIVE, MISSED)
NONE = -1
PAIRS_AT_ONCE = 4_000_000
TOLERANCE = 1e-6
"""Seconds."""


class SoundStretches(NamedTuple):
    """Sounds of one recording: index of the class, int (n,), start and end (s), float (n,)."""

    classes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class Outcomes(NamedTuple):
    """Of each sound, an index into OUTCOMES, and the class that it is confused with, or NONE; int (n,) each."""

    kinds: np.ndarray
    others: np.ndarray


def outcomes(found: SoundStretches, annotated: SoundStretches, min_seconds: float) -> tuple[Outcomes, Outcomes]:
    """What became of the found and of the annotated sounds of a recording.

    min_seconds: of an annotation that must lie in a found sound for it to be present there.
    """
    n, m = len(found.starts), len(annotated.starts)
    rows, columns, shared = _present(found, annotated, min_seconds)
    is_same = found.classes[rows] == annotated.classes[columns]
    right, heard = np.zeros(n, bool), np.zeros(m, bool)
    right[rows[is_same]], heard[columns[is_same]] = True, True
    is_mixed = ~right[rows] & ~heard[columns]
    rows, columns, shared = rows[is_mixed], columns[is_mixed], shared[is_mixed]
    order = np.argsort(shared, kind="stable")  # of several, the one that shares most counts
    other_annotated, other_found = np.full(n, NONE), np.full(m, NONE)
    other_annotated[rows[order]] = annotated.classes[columns[order]]
    other_found[columns[order]] = found.classes[rows[order]]
    kinds = np.where(right, 0, np.where(other_annotated != NONE, 1, 2))
    kinds_annotated = np.where(heard, 0, np.where(other_found != NONE, 1, 3))
    return Outcomes(kinds, other_annotated), Outcomes(kinds_annotated, other_found)


def _present(
    found: SoundStretches, annotated: SoundStretches, min_seconds: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of a found sound and an annotation that is present in it: indices, int (p,), and seconds shared."""
    if not len(found.starts) or not len(annotated.starts):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    parts, step = [], max(1, PAIRS_AT_ONCE // len(annotated.starts))
    needed = np.minimum(min_seconds, annotated.ends - annotated.starts)
    for first in range(0, len(found.starts), step):
        some = slice(first, first + step)
        shared = np.minimum(found.ends[some, None], annotated.ends) - np.maximum(
            found.starts[some, None], annotated.starts
        )
        least = np.minimum(needed, (found.ends - found.starts)[some, None])
        rows, columns = np.nonzero(shared >= least - TOLERANCE)
        parts.append((rows + first, columns, shared[rows, columns]))
    rows, columns, seconds = map(np.concatenate, zip(*parts, strict=True))
    return rows, columns, seconds
