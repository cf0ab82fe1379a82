import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.errors import EarshotError
from lib.sound.decisions import (
    DECISION_COLUMNS,
    Decision,
    append_decisions,
    last_decisions,
    read_decisions,
    undo_decisions,
)
from tests.sound.decided import decided_once

HEADER = ",".join(DECISION_COLUMNS)
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "decisions.csv"


@settings(max_examples=30)
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
        ("a,0,3,wren,accept,,me,01.05.2026", "at is no date and time (a, wren, accept)"),
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
    with pytest.raises(EarshotError, match="lacks the column decision"):
        append_decisions(file, [Decision("b", 2, 5, "owl", "reject")])
    file.write_bytes(f"{HEADER}\n".encode("utf-16"))
    with pytest.raises(EarshotError, match="in UTF-8"):
        append_decisions(file, [Decision("b", 2, 5, "owl", "reject")])


def kept(file):
    return [(row.recording, row.by) for row in read_decisions(file)[0].itertuples()]


def test_what_a_person_decided_last_is_taken_back_by_lines_that_say_so(file):
    append_decisions(file, [Decision("a", 0, 3, "wren", "accept", by="me")])
    append_decisions(file, [Decision(name, 0, 3, "owl", "reject", by="me") for name in "ab"])
    append_decisions(file, [Decision("c", 0, 3, "owl", "accept", by="you")])
    before = file.read_text()
    undo_decisions(file, last_decisions(file, "me"))
    assert kept(file) == [("a", "me"), ("c", "you")] and file.read_text().startswith(before)
    undo_decisions(file, last_decisions(file, "me"))
    assert kept(file) == [("c", "you")]
    with pytest.raises(EarshotError, match="holds no decisions of me"):
        last_decisions(file, "me")
    append_decisions(file, [Decision("a", 0, 3, "wren", "accept", by="me")])
    assert kept(file) == [("c", "you"), ("a", "me")]


def test_git_merges_what_two_people_decided_and_took_back(tmp_path):
    file = tmp_path / "data/decisions.csv"
    append_decisions(file, [Decision(name, 0, 3, "wren", "accept", by="me") for name in "ab"])

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    (tmp_path / ".gitattributes").write_text((PROJECT / ".gitattributes").read_text())
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "first")
    git("switch", "-qc", "mine")
    undo_decisions(file, last_decisions(file, "me"))
    git("commit", "-qam", "mine")
    git("switch", "-q", "main")
    append_decisions(file, [Decision("c", 0, 3, "owl", "reject", by="you")])
    git("commit", "-qam", "yours")
    git("merge", "-q", "mine", "-m", "both")
    assert kept(file) == [("c", "you")]


def test_lines_that_a_merge_of_other_line_ends_doubled_count_once(file):
    append_decisions(file, [Decision("a", 0, 3, "wren", "accept", by="me")])
    file.write_bytes(file.read_bytes() + file.read_bytes().replace(b"\n", b"\r\n"))
    rows, problems = read_decisions(file)
    assert len(rows) == 1 and not problems


def test_a_row_without_a_moment_counts_after_the_one_above_it(file):
    rows = [
        "a,0,3,wren,accept,,me,2026-05-02T10:00:00Z,",
        "b,0,3,wren,reject,,me,,",
        "c,0,3,wren,accept,,me,2026-05-01,",
    ]
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    assert kept(file) == [("c", "me"), ("a", "me"), ("b", "me")]


def test_threads_and_processes_that_decide_at_the_same_time_lose_nothing(file):
    program = (
        "import sys; from lib.sound.decisions import Decision, append_decisions\n"
        "for k in range(20): append_decisions(sys.argv[1], [Decision('p', k, k + 1, 'owl', 'accept', by=sys.argv[2])])"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, file, str(k)]) for k in range(2)]

    def decide(by):
        for k in range(20):
            append_decisions(file, [Decision("t", k, k + 1, "owl", "accept", by=f"thread {by}")])
            if k % 2:
                undo_decisions(file, last_decisions(file, f"thread {by}"))

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


def test_what_was_decided_before_somebody_was_unsure_counts_until_that_is_taken_back(tmp_path):
    file = tmp_path / "decisions.csv"
    append_decisions(file, [Decision("a", 0, 3, "x", "accept", by="ana"), Decision("a", 3, 6, "x", "accept", by="ana")])
    append_decisions(file, [Decision("a", 0, 3, "x", "unsure", by="bob")])
    assert list(read_decisions(file)[0]["start_time"]) == [3.0]
    append_decisions(file, [Decision("a", 0, 3, "x", "reject", by="ana")])
    assert list(read_decisions(file)[0]["decision"]) == ["accept", "reject"]
    undo_decisions(file, last_decisions(file, "ana"))
    undo_decisions(file, last_decisions(file, "bob"))
    assert list(read_decisions(file)[0]["start_time"]) == [0.0, 3.0]


def test_who_is_unsure_is_remembered_and_taken_back(tmp_path):
    file = tmp_path / "decisions.csv"
    append_decisions(file, [Decision("a", 0, 3, "x", "accept", by="ana")])
    append_decisions(file, [Decision("a", 0, 3, "x", "unsure", by="ana")])
    assert list(read_decisions(file)[0]["decision"]) == []
    assert list(read_decisions(file, unsure=True)[0]["decision"]) == ["accept", "unsure"]
    undo_decisions(file, last_decisions(file, "ana"))
    assert list(read_decisions(file, unsure=True)[0]["decision"]) == ["accept"]
