"""What the review page is told about the verification of a class."""

import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from lib.curation.class_verification import VerifiedClass
from lib.curation.clip_index import Clip
from lib.curation.verified_precision import BAND_COLUMNS


class VerifiedBand(BaseModel):
    """A band of scores, see lib.curation.verified_precision.BAND_COLUMNS. None: unknown, as nobody checked any."""

    min_score: float
    max_score: float
    detections: int
    checked: int
    right: int
    precision: float | None
    low: float | None
    high: float | None


class ShownVerification(BaseModel):
    """Where the verification of a class stands.

    Args:
        class_name: by its name in the model.
        n_sample, n_decided: clips of the sample, and how many of them were decided about.
        first_undecided: position of the first other one in the list of the sample, best scores first; None: there is
            none.
        n_found, n_checked: all detections, and those that are known to be right or wrong.
        bands: those that have detections, lowest scores first.
        wanted: precision, 0..1.
        threshold, low, high: score from which on it is reached, and its 95 % interval; None: unknown.
        fault: why there is no threshold; empty: there is one.
    """

    class_name: str
    n_sample: int
    n_decided: int
    first_undecided: int | None
    n_found: int
    n_checked: int
    bands: list[VerifiedBand]
    wanted: float
    threshold: float | None
    low: float | None
    high: float | None
    fault: str


def shown_verification(verified: VerifiedClass, sample: Sequence[Clip], wanted: float) -> ShownVerification:
    """sample: the clips to check, in the order of their list."""
    checked, precision = verified.checked, verified.precision
    undecided = [k for k, clip in enumerate(sample) if not clip.decision]
    names = ["min_score", "max_score", *BAND_COLUMNS[2:]]
    rows = precision.bands.itertuples(index=False, name=None)
    return ShownVerification(
        class_name=checked.class_name,
        n_sample=len(sample),
        n_decided=len(sample) - len(undecided),
        first_undecided=next(iter(undecided), None),
        n_found=len(checked.scores),
        n_checked=int(checked.is_checked.sum()),
        bands=[VerifiedBand(**dict(zip(names, map(_known, row), strict=True))) for row in rows],
        wanted=wanted,
        threshold=_known(precision.threshold),
        low=_known(precision.low),
        high=_known(precision.high),
        fault=precision.fault,
    )


def _known(value: float) -> Any:
    return None if math.isnan(value) else value
