"""Bands of scores: ten of equal width."""

BANDS = 10


def score_band(score: float) -> int:
    """The band of a score in 0..1; 1 belongs to the last one.

    >>> score_band(0.05), score_band(0.5), score_band(1.0)
    (0, 5, 9)
    """
    return min(int(score * BANDS), BANDS - 1)
