"""Decisions: what people decided about sounds, a row each in a text file that only grows, so that git can merge it.

A decision is about a class in a stretch of a recording: `accept` says that the class sounds there, `reject` that it
does not, `relabel` that what sounds there is `new_class`; see lib.sound.decided_annotations. `undo` takes back the last
decision of the same person about the same class in the same stretch. `unsure` says that it cannot be told: what was
decided before about the same class in the same stretch counts no longer.

They count in order of time, so that of several about the same sound the last one does, also where git has merged the
files of two people. A row without a moment counts after the row above it.
"""

import csv
import errno
import io
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from lib.core.csv_files import delimiter_of, no_formula, numbers_in, read_csv
from lib.core.errors import EarshotError, Problem
from lib.core.files import atomic, header_line, printable
from lib.core.locks import sole_writer
from lib.core.wording import seconds_text
from lib.sound.classes import class_label

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["accept", "reject", "relabel"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNDO, UNSURE = "undo", "unsure"
DECISION_COLUMNS = ["recording", "start_time", "end_time", "class", "decision", "new_class", "by", "at", "reason"]
NEEDED = DECISION_COLUMNS[:5]
ABOUT = [*DECISION_COLUMNS[:4], "by"]
"""What a decision and the row that takes it back have in common."""
WAIT_SECONDS = 60.0
"""How long to wait for another process that writes decisions, each of which takes milliseconds."""


class Decision(NamedTuple):
    """A row of the decisions table.

    Args:
        recording: its name.
        start_time, end_time: s; the end may be inf, for the end of the recording.
        class_name: the class that it is about, by name or code.
        decision: accept, reject, relabel, unsure or undo.
        new_class: what a relabelled sound is, else "".
        by: who decided.
        at: when, in ISO 8601, UTC unless it says otherwise; "": for append_decisions, now.
        reason: why, if there is more to say.
    """

    recording: str
    start_time: float
    end_time: float
    class_name: str
    decision: str
    new_class: str = ""
    by: str = ""
    at: str = ""
    reason: str = ""


def read_decisions(path: str | Path | None, unsure: bool = False) -> "tuple[pd.DataFrame, list[Problem]]":
    """The decisions that were not taken back, in order of time, with `line` (where each is from), and a Problem for
    each row that is unusable. unsure: also those of people who could not tell.

    No file, and one that does not exist, hold none. Raises DataSetError if it cannot be read.
    """
    import pandas as pd

    if path is None or not Path(path).exists():
        return pd.DataFrame(columns=[*DECISION_COLUMNS, "line"]), []
    rows = read_csv(path, NEEDED).reindex(columns=DECISION_COLUMNS, fill_value="")
    is_header = (rows["recording"] == "recording") & (rows["decision"] == "decision")  # git merged other line ends
    rows = rows[~is_header & ~rows.duplicated()]
    rows["line"] = [printable(f"{path}:{line}") for line in rows.index]
    for columns, cleaned in ((("recording", "by", "at", "reason"), printable), (("class", "new_class"), class_label)):
        for column in columns:
            rows[column] = rows[column].map({text: cleaned(text) for text in rows[column].unique()})
    shown, rows["decision"] = rows["decision"].map(printable), rows["decision"].str.lower()
    for column in ("start_time", "end_time"):
        rows[column] = numbers_in(rows[column])
    moments = pd.to_datetime(rows["at"], utc=True, format="ISO8601", errors="coerce")
    faults = [
        (
            ~rows["decision"].isin([*KINDS, UNDO, UNSURE]),
            f"the decision must be one of {', '.join(KINDS)}",
            "correct it",
        ),
        (rows["start_time"].isna() | rows["end_time"].isna(), "a time is not a number", "give seconds"),
        (~(rows["start_time"] >= 0), "starts before the recording", "start_time counts seconds from its start"),
        (~(rows["end_time"] > rows["start_time"]), "ends before it starts", "correct start_time or end_time"),
        (rows["class"] == "", "names no class", "give the one that it is about"),
        ((rows["decision"] == "relabel") & (rows["new_class"] == ""), "names no new_class", "give the one that it is"),
        (moments.isna() & (rows["at"] != ""), "at is no date and time", "write it like 2026-05-31T09:30:00Z"),
    ]
    unusable: dict[int, Problem] = {}
    for is_wrong, fault, remedy in faults:
        for index in rows.index[is_wrong]:
            what = f"{rows.at[index, 'recording']}, {rows.at[index, 'class']}, {shown[index]}"
            unusable.setdefault(index, Problem(rows.at[index, "line"], f"{fault} ({what})", remedy))
    rows, moments = rows.drop(index=list(unusable)), moments.ffill().drop(index=list(unusable))
    rows = rows.loc[moments.sort_values(kind="stable", na_position="first").index]
    rows = _without_undone(rows)
    rows = rows if unsure else _without_unsure(rows)
    return rows.reset_index(drop=True), [unusable[index] for index in sorted(unusable)]


def _without_undone(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The rows in order of time, without those that were taken back and those that did so."""
    if not (rows["decision"] == UNDO).any():
        return rows
    counting: dict[tuple, list[int]] = {}
    for index, decision, *about in rows[["decision", *ABOUT]].itertuples(name=None):
        same = counting.setdefault(tuple(about), [])
        if decision != UNDO:
            same.append(index)
        elif same:
            same.pop()
    kept = {index for same in counting.values() for index in same}
    return rows[rows.index.isin(kept)]


def _without_unsure(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The rows in order of time, without those that say unsure and what they are about that stands before them."""
    is_unsure = rows["decision"] == UNSURE
    if not is_unsure.any():
        return rows
    n_unsure_after = is_unsure[::-1].groupby([rows[column] for column in ABOUT[:4]]).cumsum()[::-1]
    return rows[n_unsure_after == 0]


def append_decisions(path: str | Path, decisions: Iterable[Decision]) -> None:
    """Add rows to a decisions file, which is made if it is missing; all of them or, if the disk is full, none.

    Processes and threads that do so at the same time wait for each other. Decisions without a moment get the same one,
    of now. Raises EarshotError if the file is not one of decisions.
    """
    path, now = Path(path), datetime.now(UTC).isoformat(timespec="microseconds")
    with sole_writer(path, WAIT_SECONDS):
        columns, delimiter = _layout(path)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        for decision in decisions:
            values = dict(zip(DECISION_COLUMNS, decision._replace(at=decision.at or now), strict=True))
            writer.writerow([no_formula(_cell(values.get(column, ""))) for column in columns])
        if not path.exists():
            with atomic(path) as part:
                part.write_text(f"{','.join(DECISION_COLUMNS)}\n{text.getvalue()}", encoding="utf-8")
        elif text.getvalue():
            _append(path, text.getvalue())


def last_decisions(path: str | Path, by: str) -> "pd.DataFrame":
    """What a person decided last, at one moment, and did not take back. Raises EarshotError if there is nothing."""
    rows, _ = read_decisions(path, unsure=True)
    rows = rows[(rows["by"] == by) & (rows["at"] != "")]
    if rows.empty:
        raise EarshotError(path, f"holds no decisions of {by}", "name whose with --by")
    return rows[rows["at"] == rows["at"].iloc[-1]]


def undo_decisions(path: str | Path, decisions: "pd.DataFrame") -> None:
    """Take decisions of the table back, by rows that say so."""
    rows = [Decision(*values) for values in decisions[DECISION_COLUMNS].itertuples(index=False)]
    append_decisions(path, [row._replace(decision=UNDO, new_class="", at="", reason="") for row in rows])


def _layout(path: Path) -> tuple[Sequence[str], str]:
    """Columns of a decisions file, and what separates them. Raises EarshotError if it is another file."""
    if not path.exists():
        return DECISION_COLUMNS, ","
    header = header_line(path)
    delimiter = delimiter_of(header, NEEDED)
    columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if missing := [column for column in NEEDED if column not in columns]:
        remedy = f"its first line must be {','.join(DECISION_COLUMNS)}, in UTF-8"
        raise EarshotError(path, f"lacks the column {missing[0]}", remedy)
    return columns, delimiter


def _append(path: Path, text: str) -> None:
    before = path.stat().st_size
    with path.open("r+b", buffering=0) as file:
        file.seek(-1, os.SEEK_END)
        content = (b"" if file.read(1) == b"\n" else b"\n") + text.encode()
        try:
            if file.write(content) < len(content):  # the disk took a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def _cell(value: object) -> str:
    return printable(value) if isinstance(value, str) else seconds_text(float(str(value)))
