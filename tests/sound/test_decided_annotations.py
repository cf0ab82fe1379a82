import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from lib.sound.classes import ClassList
from lib.sound.decided_annotations import apply_decisions
from lib.sound.decisions import DECISION_COLUMNS, Decision
from tests.sound.decided import decided_once, events

CLASSES = ClassList([{"name": "wren", "code": "WR"}, {"name": "owl"}, {"name": "frog"}])


def table(*rows):
    """Annotations: (recording, class, start, end)."""
    return pd.DataFrame(rows, columns=["recording", "class", "start_time", "end_time"]).astype(
        {"start_time": float, "end_time": float}
    )


def decisions_of(*decisions):
    return pd.DataFrame(
        [(*decision, f"file:{n}") for n, decision in enumerate(decisions)], columns=[*DECISION_COLUMNS, "line"]
    )


def after(annotations, *decisions, annotated=("a",)):
    changed, decided, problems = apply_decisions(annotations, decisions_of(*decisions), CLASSES, annotated)
    assert not problems
    return list(changed.itertuples(index=False, name=None)), decided


def test_an_accepted_sound_becomes_an_annotation_unless_one_of_its_class_is_there():
    annotations = table(("a", "wren", 4.2, 4.6), ("a", "owl", 0, 9))
    rows, _ = after(annotations, Decision("a", 3, 6, "WR", "accept"))  # the annotation tells better where it is
    assert rows == [("a", "owl", 0.0, 9.0), ("a", "wren", 4.2, 4.6)]
    rows, _ = after(annotations, Decision("a", 6, 9, "wren", "accept"))
    assert rows == [("a", "owl", 0.0, 9.0), ("a", "wren", 4.2, 4.6), ("a", "wren", 6.0, 9.0)]
    rows, _ = after(annotations, Decision("a", 4.5, 7.5, "wren", "accept"))  # 0.1 s of it is too little
    assert rows == [("a", "owl", 0.0, 9.0), ("a", "wren", 4.2, 4.6), ("a", "wren", 4.5, 7.5)]
    end_of_song, window = table(("a", "wren", 0, 5)), Decision("a", 4.5, 7.5, "wren", "accept")
    assert after(end_of_song, window)[0] == [("a", "wren", 0.0, 5.0)]
    with_more = apply_decisions(end_of_song, decisions_of(window), CLASSES, ["a"], min_seconds=1.0)[0]
    assert list(with_more["end_time"]) == [5.0, 7.5]  # a window needs 1 s of it


def test_accepted_stretches_that_overlap_are_one_sound():
    rows, _ = after(table(), Decision("a", 0, 3, "wren", "accept"), Decision("a", 1.5, 4.5, "wren", "accept"))
    assert rows == [("a", "wren", 0.0, 4.5)]
    rows, _ = after(table(), Decision("a", 0, 3, "wren", "accept"), Decision("a", 3, 6, "wren", "accept"))
    assert rows == [("a", "wren", 0.0, 3.0), ("a", "wren", 3.0, 6.0)]


def test_a_rejected_class_is_cut_out_of_the_stretch_alone():
    annotations = table(("a", "wren", 1, 2), ("a", "wren", 2.5, 9), ("a", "owl", 1, 2), ("b", "wren", 1, 2))
    rows, decided = after(annotations, Decision("a", 0, 3, "wren", "reject"))
    assert rows == [("a", "owl", 1.0, 2.0), ("a", "wren", 3.0, 9.0), ("b", "wren", 1.0, 2.0)]
    assert decided["a"] == ([(0.0, 3.0)], None)
    rows, _ = after(table(("a", "wren", 0, float("inf"))), Decision("a", 3, 6, "wren", "reject"))
    assert rows == [("a", "wren", 0.0, 3.0), ("a", "wren", 6.0, float("inf"))]


def test_a_relabelled_sound_keeps_the_times_of_its_annotation():
    annotations = table(("a", "wren", 4.2, 4.6), ("a", "wren", 5.5, 8))
    rows, _ = after(annotations, Decision("a", 3, 6, "wren", "relabel", "owl"))
    assert rows == [("a", "owl", 4.2, 4.6), ("a", "owl", 5.5, 6.0), ("a", "wren", 6.0, 8.0)]
    rows, _ = after(table(), Decision("a", 3, 6, "wren", "relabel", "owl"))  # a model found it
    assert rows == [("a", "owl", 3.0, 6.0)]
    rows, _ = after(table(("a", "owl", 4, 5)), Decision("a", 3, 6, "wren", "relabel", "owl"))
    assert rows == [("a", "owl", 4.0, 5.0)]


def test_of_several_decisions_about_a_sound_the_last_one_counts():
    yes, no = Decision("a", 3, 6, "wren", "accept"), Decision("a", 3, 6, "wren", "reject")
    assert after(table(), yes, no)[0] == []
    assert after(table(), no, yes)[0] == [("a", "wren", 3.0, 6.0)]


def test_what_is_annotated_is_known_and_else_only_what_was_judged():
    decisions = Decision("a", 3, 6, "wren", "accept"), Decision("b", 0, 3, "owl", "reject")
    _, decided = after(table(("a", "owl", 0, 1)), *decisions)
    assert decided == {"a": ([], None), "b": ([(0.0, 3.0)], [(0.0, 3.0)])}


def test_an_annotation_that_hardly_reaches_into_a_long_stretch_does_not_stand_for_it():
    rows, _ = after(table(("a", "wren", 0, 3.4)), Decision("a", 3, 60, "wren", "accept"))
    assert rows == [("a", "wren", 0.0, 3.4), ("a", "wren", 3.0, 60.0)]
    rows, _ = after(table(("a", "wren", 0, 3.005)), Decision("a", 3, 6, "wren", "relabel", "owl"))
    assert rows == [("a", "owl", 3.0, 6.0), ("a", "wren", 0.0, 3.0)]


def test_what_is_no_class_of_the_data_set_can_be_rejected_and_become_another_class_but_not_be_accepted():
    rows, judgements = after(
        table(), Decision("a", 0, 3, "bat", "reject"), Decision("a", 3, 6, "bat", "relabel", "owl")
    )
    assert rows == [("a", "owl", 3.0, 6.0)] and judgements["a"].rejected == [(0.0, 3.0)]
    _, judgements, problems = apply_decisions(
        table(("a", "owl", 0, 1)), decisions_of(Decision("a", 0, 3, "bat", "accept")), CLASSES, ["a"]
    )
    assert not judgements
    assert [(problem.subject, problem.fault) for problem in problems] == [("file:0", "unknown class (a, bat)")]


def sounding(rows, name, start, end):
    """Whether a class sounds at each of many moments in a stretch."""
    moments = [start + (end - start) * (k + 0.5) / 50 for k in range(50)]
    return [any(row[1] == name and row[2] <= moment < row[3] for row in rows) for moment in moments]


def overlapping(rows, name, start, end):
    """Annotations of a class that reach into a stretch, but for rounding errors."""
    return [row for row in rows if row[1] == name and min(row[3], end) - max(row[2], start) > 0.001]


@given(events, st.lists(decided_once, min_size=1, max_size=6))
def test_after_a_decision_the_stretch_is_as_decided_and_the_rest_as_before(annotations, decisions):
    before, _ = after(table(*annotations), *decisions[:-1])
    rows, _ = after(table(*annotations), *decisions)
    *_, name, kind, new_class = decisions[-1][:6]
    start, end = decisions[-1].start_time, decisions[-1].end_time
    if kind == "reject" or (kind == "relabel" and new_class != name):
        assert not overlapping(rows, name, start, end)
    if kind != "reject":
        assert overlapping(rows, new_class or name, start, end)
    changed = {"reject": {name}, "relabel": {name, new_class}, "accept": set()}[kind]
    for other in ("wren", "owl", "frog"):
        for edge in ((0, start - 0.002), (end + 0.002, 30)):
            if edge[1] > edge[0] and (other in changed or other != name):
                assert sounding(rows, other, *edge) == sounding(before, other, *edge)
        if other not in (name, new_class):
            assert sounding(rows, other, start, end) == sounding(before, other, start, end)
    if kind == "accept":  # it may become one with what was accepted beside it, and takes nothing away
        assert all(
            now >= then for now, then in zip(sounding(rows, name, 0, 20), sounding(before, name, 0, 20), strict=True)
        )
    if kind != "relabel":  # which finds the new class the second time
        assert after(table(*annotations), *decisions, decisions[-1])[0] == rows
