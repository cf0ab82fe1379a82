import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import EarshotError
from lib.curation.metrics.confusion_queries import KINDS, QueryEntry, QueryOrdering, select_rows
from lib.curation.metrics.matched_events import ORDERS, match_events
from tests.curation.metrics.event_builders import found_table, truth_table

BY_CONFIDENCE = QueryOrdering("confidence", True)
MATCHED = match_events(
    truth_table(
        ("f1", "t1", "a", 0, 1),
        ("f1", "t2", "a", 2, 4),
        ("f1", "t3", "b", 5, 6),
        ("f1", "t4", "b", 7, 8),
        ("f2", "t5", "c", 0, 1),
    ),
    found_table(
        ("f1", "p1", "a", 0, 1, 0.5),
        ("f1", "p2", "b", 2, 4, 0.9),
        ("f1", "p3", "c", 5, 6, 0.7),
        ("f2", "p4", "a", 5, 6, 0.5),
        ("f2", "p5", "b", 7, 8, 0.2),
    ),
    0.5,
)


def asked(*queries, ordering=BY_CONFIDENCE, **page) -> list[str]:
    rows = select_rows(MATCHED, queries, ordering, **page).rows
    return [f"{MATCHED.truth_id[i].decode()}{MATCHED.found_id[i].decode()}" for i in rows]


@pytest.mark.parametrize(
    "query, expected",
    [
        (QueryEntry("confusions"), ["t2p2", "t3p3"]),
        (QueryEntry("confused_as", inf="b"), ["t2p2"]),
        (QueryEntry("confused_from", gt="b"), ["t3p3"]),
        (QueryEntry("correct"), ["t1p1"]),
        (QueryEntry("false_positives"), ["p4", "p5"]),
        (QueryEntry("false_negatives"), ["t4", "t5"]),
        (QueryEntry("cell", "a", "a"), ["t1p1"]),
        (QueryEntry("cell", "a", "b"), ["t2p2"]),
        (QueryEntry("cell", "b", "a"), []),
        (QueryEntry("cell", "unknown", "unknown"), []),
        (QueryEntry("confused_as", inf="unknown"), []),
    ],
)
def test_each_query_gives_its_rows(query, expected):
    assert asked(query) == expected


def test_several_queries_give_the_rows_of_any_of_them_once():
    assert asked(QueryEntry("confusions"), QueryEntry("cell", "a", "b"), QueryEntry("correct")) == [
        "t2p2",
        "t3p3",
        "t1p1",
    ]
    assert asked() == []


def test_rows_come_in_each_order_with_those_that_have_no_value_last():
    everything = [QueryEntry(kind) for kind in ("confusions", "correct", "false_positives", "false_negatives")]
    assert asked(*everything) == ["t2p2", "t3p3", "t1p1", "p4", "p5", "t4", "t5"]
    rising = asked(*everything, ordering=QueryOrdering("confidence", False))
    assert rising == ["p5", "t1p1", "p4", "t3p3", "t2p2", "t4", "t5"]
    assert asked(*everything, ordering=QueryOrdering("box_size", True))[0] == "t2p2"
    assert asked(*everything, ordering=QueryOrdering("iou", True))[:3] == ["t1p1", "t2p2", "t3p3"]


def test_what_is_no_query_order_or_number_is_named():
    with pytest.raises(EarshotError, match="query 'wrong': is not one of"):
        asked(QueryEntry("wrong"))
    with pytest.raises(EarshotError, match="ordering 'size': is not one of"):
        asked(ordering=QueryOrdering("size", True))
    for page in ({"cur_offset": -1}, {"max_results": 1.5}, {"max_results": True}):
        with pytest.raises(EarshotError, match="must be a whole number"):
            asked(**page)


CLASSES = st.sampled_from("abc")
TIMES = st.integers(0, 6)
TRUE = st.lists(st.tuples(st.sampled_from("xyz"), CLASSES, TIMES, st.integers(1, 4)), max_size=12)
PREDICTED = st.lists(
    st.tuples(st.sampled_from("xyz"), CLASSES, TIMES, st.integers(1, 4), st.sampled_from([0.1, 0.5, 0.9])), max_size=12
)


@given(
    TRUE,
    PREDICTED,
    st.sampled_from([0.0, 0.3, 0.7]),
    st.lists(st.builds(QueryEntry, st.sampled_from(KINDS), CLASSES, CLASSES), max_size=3),
    st.sampled_from(ORDERS),
    st.booleans(),
    st.integers(1, 5),
)
def test_pages_together_are_the_whole_in_order(true, predicted, iou, queries, column, falling, size):
    truth = truth_table(*((f, f"t{i}", c, s, s + d) for i, (f, c, s, d) in enumerate(true)))
    found = found_table(*((f, f"p{i}", c, s, s + d, p) for i, (f, c, s, d, p) in enumerate(predicted)))
    matched = match_events(truth, found, iou)
    assert sorted(matched.truth[matched.truth >= 0]) == list(range(len(true)))
    assert sorted(matched.found[matched.found >= 0]) == list(range(len(predicted)))
    ordering = QueryOrdering(column, falling)
    whole = select_rows(matched, queries, ordering)
    pages = [select_rows(matched, queries, ordering, size, k) for k in range(0, whole.total + size, size)]
    assert np.concatenate([page.rows for page in pages]).tolist() == whole.rows.tolist()
    assert {page.total for page in pages} == {len(whole.rows)}
    values = getattr(matched, column)[whole.rows]
    keys = [
        (np.isnan(v), 0 if np.isnan(v) else -v if falling else v, row)
        for v, row in zip(values, whole.rows, strict=True)
    ]
    assert keys == sorted(keys)
