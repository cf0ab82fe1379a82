import random
import subprocess
import sys
import threading

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import DataSetError, EarshotError
from lib.sound.classes import ClassList
from lib.sound.decisions import (
    DECISION_COLUMNS,
    KINDS,
    Decision,
    append_decisions,
    apply_decisions,
    read_decisions,
    undo_decisions,
)

CLASSES = ClassList([{"name": "wren", "code": "WR"}, {"name": "owl"}, {"name": "frog"}])
HEADER = ",".join(DECISION_COLUMNS)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "decisions.csv"


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


def test_an_accepted_sound_becomes_an_annotation_unless_one_of_its_class_is_there(file):
    annotations = table(("a", "wren", 4.2, 4.6), ("a", "owl", 0, 9))
    rows, _ = after(annotations, Decision("a", 3, 6, "WR", "accept"))  # the annotation tells better where it is
    assert rows == [("a", "owl", 0.0, 9.0), ("a", "wren", 4.2, 4.6)]
    rows, _ = after(annotations, Decision("a", 6, 9, "wren", "accept"))
    assert rows == [("a", "owl", 0.0, 9.0), ("a", "wren", 4.2, 4.6), ("a", "wren", 6.0, 9.0)]
    rows, _ = after(annotations, Decision("a", 4.5, 7.5, "wren", "accept"))  # 0.1 s of it is too little
    assert rows == [("a", "owl", 0.0, 9.0), ("a", "wren", 4.2, 4.6), ("a", "wren", 4.5, 7.5)]


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


times = st.floats(0, 20).map(lambda seconds: round(seconds, 2))
stretches = st.tuples(times, times).filter(lambda pair: pair[1] - pair[0] > 0.01)
names = st.sampled_from(["wren", "owl", "frog"])
events = st.lists(st.tuples(st.just("a"), names, stretches).map(lambda row: (row[0], row[1], *row[2])), max_size=6)
decided_once = st.builds(
    lambda stretch, name, kind, new: Decision("a", *stretch, name, kind, new if kind == "relabel" else ""),
    stretches,
    names,
    st.sampled_from(KINDS),
    names,
)


def seconds_of(rows, name, start, end):
    """Whether a class sounds at each of many moments in a stretch."""
    moments = [start + (end - start) * (k + 0.5) / 50 for k in range(50)]
    return [any(row[1] == name and row[2] <= moment < row[3] for row in rows) for moment in moments]


@given(events, st.lists(decided_once, max_size=6))
def test_after_a_decision_the_stretch_is_as_decided_and_the_rest_as_before(annotations, decisions):
    before, _ = after(table(*annotations), *decisions[:-1])
    rows, _ = after(table(*annotations), *decisions)
    if not decisions:
        assert sorted(rows) == sorted(before)
        return
    last = decisions[-1]
    inside = last.start_time, last.end_time
    if last.decision == "reject":
        assert not any(seconds_of(rows, last.class_name, *inside))
    elif last.decision == "accept":
        assert any(row[1] == last.class_name and min(row[3], inside[1]) > max(row[2], inside[0]) for row in rows)
    for name in ("wren", "owl", "frog"):
        if last.decision != "accept" or name != last.class_name:
            for edge in ((0, inside[0]), (inside[1], 20)):
                if name not in (last.class_name, last.new_class):
                    assert seconds_of(rows, name, *edge) == seconds_of(before, name, *edge)
    assert after(table(*annotations), *decisions, last)[0] == rows or last.decision == "relabel"


@given(st.lists(decided_once, min_size=2, max_size=8), st.randoms())
def test_the_order_of_the_lines_does_not_matter_as_git_may_change_it(tmp_path_factory, decisions, rng: random.Random):
    file = tmp_path_factory.mktemp("merged") / "decisions.csv"
    for second, decision in enumerate(decisions):
        append_decisions(file, [decision._replace(at=f"2026-05-01T10:00:{second:02}Z")])
    expected = read_decisions(file)[0].drop(columns="line")
    header, *lines = file.read_text().splitlines()
    rng.shuffle(lines)
    file.write_text("\n".join([header, *lines]) + "\n")
    assert read_decisions(file)[0].drop(columns="line").equals(expected)


def test_decisions_are_read_as_they_were_written(file):
    decision = Decision('site "A", dawn', 1.5, 4.25, "=wren", "relabel", "owl", "Zoë", "", "rain,\nwind")
    append_decisions(file, [decision, decision._replace(end_time=float("inf"))])
    rows, problems = read_decisions(file)
    assert not problems
    first = rows.iloc[0]
    assert (first["recording"], first["class"], first["by"]) == ('site "A", dawn', "=wren", "Zoë")
    assert first["reason"] == "rain,\\x0awind"
    assert list(rows["end_time"]) == [4.25, float("inf")]
    assert file.read_text().splitlines()[0] == HEADER


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a,0,3,wren,maybe", "the decision must be one of accept, reject, relabel (a, wren, maybe)"),
        ("a,x,3,wren,accept", "a time is not a number (a, wren, accept)"),
        ("a,-1,3,wren,accept", "starts before the recording (a, wren, accept)"),
        ("a,3,3,wren,accept", "ends before it starts (a, wren, accept)"),
        ("a,0,3,,accept", "names no class (a, , accept)"),
        ("a,0,3,wren,relabel", "names no new_class (a, wren, relabel)"),
    ],
)
def test_a_row_that_is_no_decision_is_named_and_the_others_count(file, line, fault):
    file.write_text(f"{HEADER}\n{line}\nb,0,3,wren,Accept\n")
    rows, problems = read_decisions(file)
    assert list(rows["recording"]) == ["b"]
    assert [(problem.subject, problem.fault) for problem in problems] == [(f"{file}:2", fault)]


def test_a_file_that_a_spreadsheet_saved_is_read_and_added_to_as_it_is(file):
    file.write_text("class;recording;start_time;end_time;decision;note\nwren;a;1,5;3;accept;mine", encoding="utf-8-sig")
    append_decisions(file, [Decision("b", 2, 5, "owl", "reject")])
    assert file.read_text(encoding="utf-8-sig").splitlines()[1:] == ["wren;a;1,5;3;accept;mine", "owl;b;2;5;reject;"]
    rows, _ = read_decisions(file)
    assert list(rows[["recording", "start_time"]].itertuples(index=False, name=None)) == [("a", 1.5), ("b", 2.0)]


def test_nothing_is_added_to_another_file(file):
    file.write_text("recording,class,start_time,end_time\n")
    with pytest.raises(DataSetError, match="lacks the column decision"):
        append_decisions(file, [Decision("b", 2, 5, "owl", "reject")])
    file.write_bytes(f"{HEADER}\n".encode("utf-16"))
    with pytest.raises(EarshotError, match="is not UTF-8"):
        append_decisions(file, [Decision("b", 2, 5, "owl", "reject")])


def test_undoing_leaves_the_other_lines_as_they_were(file):
    append_decisions(file, [Decision("a", 0, 3, "wren", "accept")])
    before = file.read_bytes()
    at = append_decisions(file, [Decision("a", 0, 3, "owl", "accept"), Decision("b", 0, 3, "owl", "reject")])
    other = append_decisions(file, [Decision("c", 0, 3, "owl", "accept")])
    assert (undo_decisions(file, at), undo_decisions(file, at), undo_decisions(file, other)) == (2, 0, 1)
    assert file.read_bytes() == before


def test_threads_and_processes_that_decide_at_the_same_time_lose_nothing(file):
    program = (
        "import sys; from lib.sound.decisions import Decision, append_decisions\n"
        "for k in range(20): append_decisions(sys.argv[1], [Decision('p', k, k + 1, 'owl', 'accept', by=sys.argv[2])])"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, file, str(k)]) for k in range(2)]

    def decide(by):
        for k in range(20):
            at = append_decisions(file, [Decision("t", k, k + 1, "owl", "accept", by=by)])
            if k % 2:
                undo_decisions(file, at)

    threads = [threading.Thread(target=decide, args=(str(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    rows, problems = read_decisions(file)
    assert not problems
    assert rows["recording"].value_counts().to_dict() == {"p": 40, "t": 40}


def test_a_decision_that_a_full_disk_does_not_take_leaves_the_file_as_it_was(file):
    append_decisions(file, [Decision("a", 0, 3, "wren", "accept")])
    before = file.read_bytes()
    program = (
        "import resource, signal, sys; from lib.sound.decisions import Decision, append_decisions\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "append_decisions(sys.argv[1], [Decision('b', 0, 3, 'wren', 'accept', reason=200 * 'x')])"
    )
    done = subprocess.run([sys.executable, "-c", program, file, str(len(before) + 100)], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert file.read_bytes() == before


def test_a_decision_about_a_class_that_the_data_do_not_have_is_named():
    _, decided, problems = apply_decisions(
        table(("a", "owl", 0, 1)), decisions_of(Decision("a", 0, 3, "bat", "accept")), CLASSES, ["a"]
    )
    assert not decided
    assert [(problem.subject, problem.fault) for problem in problems] == [("file:0", "unknown class (a, bat)")]
