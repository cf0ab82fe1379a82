"""Queries of matched events: which were confused with what, in any order, page by page."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from lib.core.errors import EarshotError
from lib.curation.metrics.matched_events import NONE, ORDERS, MatchedEvents

QueryKind = Literal[
    "confusions", "confused_as", "confused_from", "correct", "false_positives", "false_negatives", "cell"
]
KINDS: tuple[QueryKind, ...] = get_args(QueryKind)
DEFAULT_PAGE = 10_000


class QueryEntry(NamedTuple):
    """What rows are asked for.

    Args:
        kind: confusions (two classes that differ), confused_as (so, and the prediction is `inf`), confused_from (so,
            and the truth is `gt`), correct, false_positives, false_negatives or cell (the truth is `gt`, the prediction
            `inf`).
        gt, inf: names of classes.
    """

    kind: QueryKind
    gt: str | None = None
    inf: str | None = None


class QueryOrdering(NamedTuple):
    """Column by which rows are ordered, confidence, iou or box_size, and whether the largest come first."""

    column: str
    falling: bool


class ConfusionPage(NamedTuple):
    """Rows of matched events in the order asked for: their positions, int (n,), and how many there are in all."""

    rows: np.ndarray
    total: int


def select_rows(
    matched: MatchedEvents,
    queries: Sequence[QueryEntry],
    ordering: QueryOrdering,
    max_results: int = DEFAULT_PAGE,
    cur_offset: int = 0,
    only: np.ndarray | None = None,
) -> ConfusionPage:
    """The rows that any of the queries asks for; those from cur_offset on, at most max_results.

    only: rows that may be among them, bool (n,). Equal rows stay in the order of the frames, so pages fit together.
    Raises EarshotError if a query or an order is none, or a number is negative.
    """
    if ordering.column not in ORDERS:
        raise EarshotError(f"ordering {ordering.column!r}", f"is not one of {', '.join(ORDERS)}")
    for name, number in (("max_results", max_results), ("cur_offset", cur_offset)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise EarshotError(f"{name} {number!r}", "must be a whole number, 0 or more")
    chosen = np.zeros(len(matched.frame), bool)
    for query in queries:
        chosen |= _asked_for(matched, query)
    if only is not None:
        chosen &= only
    order = matched.order(*ordering)
    rows = order[chosen[order]]
    return ConfusionPage(rows[cur_offset : cur_offset + max_results], len(rows))


def _asked_for(matched: MatchedEvents, query: QueryEntry) -> np.ndarray:
    truth, found = matched.truth_class, matched.found_class
    confused = (truth != NONE) & (found != NONE) & (truth != found)
    # A class that no event has is NONE, which must not stand for events without a counterpart.
    is_gt = (truth == matched.class_index(query.gt or "")) & (truth != NONE)
    is_inf = (found == matched.class_index(query.inf or "")) & (found != NONE)
    masks = {
        "confusions": confused,
        "confused_as": confused & is_inf,
        "confused_from": confused & is_gt,
        "correct": (truth == found) & (truth != NONE),
        "false_positives": truth == NONE,
        "false_negatives": found == NONE,
        "cell": is_gt & is_inf,
    }
    if query.kind not in masks:
        raise EarshotError(f"query {query.kind!r}", f"is not one of {', '.join(KINDS)}")
    return masks[query.kind]
