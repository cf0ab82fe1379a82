"""Decisions: what people decided about sounds, a row each in a text file, and the one way to apply them.

A decision is about a class in a stretch of a recording:

- `accept`: the class sounds there. An annotation of it in the stretch already says so; else the stretch becomes one.
- `reject`: it does not. Its annotations in the stretch are removed, those that reach beyond it are cut.
- `relabel`: what sounds there is `new_class`. The parts of annotations in the stretch take that class; if there are
  none, the stretch becomes an annotation of it.

They apply one after another, by their moment, so that of several about the same sound the last one counts, also after
git has merged files of two people.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from lib.config.schema import PRESENCE_SECONDS
from lib.core.csv_files import delimiter_of, no_formula, numbers_in, read_csv, text_of
from lib.core.errors import EarshotError, Problem
from lib.core.files import atomic, printable, read_bytes
from lib.core.locks import sole_writer
from lib.sound.classes import ClassList, class_label

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["accept", "reject", "relabel"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DECISION_COLUMNS = ["recording", "start_time", "end_time", "class", "decision", "new_class", "by", "at", "reason"]
NEEDED = DECISION_COLUMNS[:5]
SHORTEST = 0.001
"""Seconds; what is shorter is no rest of an annotation that was cut, but a rounding error."""
WAIT = 60.0
"""Seconds to wait for another process that writes decisions, each of which takes milliseconds."""

Stretch = tuple[float, float]
"""Start and end, s."""


class Decision(NamedTuple):
    """A row of the decisions table.

    Args:
        recording: its name.
        start_time, end_time: s; the end may be inf, for the end of the recording.
        class_name: the class that it is about, by name or code.
        decision: accept, reject or relabel.
        new_class: what a relabelled sound is, else "".
        by: who decided.
        at: when, in ISO 8601; "" for those that append writes: now.
        reason: why, if there is more to say.
    """

    recording: str
    start_time: float
    end_time: float
    class_name: str
    decision: Kind
    new_class: str = ""
    by: str = ""
    at: str = ""
    reason: str = ""


class Decided(NamedTuple):
    """What decisions say of a recording besides its annotations.

    Args:
        rejected: stretches in which a class was rejected: what remains there without any event is background.
        judged: stretches that anything was decided about; the rest of the recording is unknown. None: it is annotated,
            so that what is not annotated is known to be silent.
    """

    rejected: list[Stretch]
    judged: list[Stretch] | None


def read_decisions(path: str | Path | None) -> "tuple[pd.DataFrame, list[Problem]]":
    """The decisions table, by moment, with `line` (where each is from), and a Problem for each row that is unusable.

    No file, and one that does not exist, hold none. Raises DataSetError if it cannot be read.
    """
    import pandas as pd

    if path is None or not Path(path).exists():
        return pd.DataFrame(columns=[*DECISION_COLUMNS, "line"]), []
    rows = read_csv(path, NEEDED).reindex(columns=DECISION_COLUMNS, fill_value="")
    rows["line"] = [printable(f"{path}:{line}") for line in rows.index]
    for column in ("recording", "by", "at", "reason"):
        rows[column] = rows[column].map(printable)
    for column in ("class", "new_class"):
        rows[column] = rows[column].map(class_label)
    shown = rows["decision"].map(printable)
    rows["decision"] = rows["decision"].str.lower()
    for column in ("start_time", "end_time"):
        rows[column] = numbers_in(rows[column])
    faults = [
        (~rows["decision"].isin(KINDS), f"the decision must be one of {', '.join(KINDS)}", "correct it"),
        (rows["start_time"].isna() | rows["end_time"].isna(), "a time is not a number", "give seconds"),
        (~(rows["start_time"] >= 0), "starts before the recording", "start_time counts seconds from its start"),
        (~(rows["end_time"] > rows["start_time"]), "ends before it starts", "correct start_time or end_time"),
        (rows["class"] == "", "names no class", "give the one that it is about"),
        ((rows["decision"] == "relabel") & (rows["new_class"] == ""), "names no new_class", "give the one that it is"),
    ]
    unusable: dict[int, Problem] = {}
    for is_wrong, fault, remedy in faults:
        for index in rows.index[is_wrong]:
            what = f"{rows.at[index, 'recording']}, {rows.at[index, 'class']}, {shown[index]}"
            unusable.setdefault(index, Problem(rows.at[index, "line"], f"{fault} ({what})", remedy))
    rows = rows.drop(index=list(unusable))
    moments = pd.to_datetime(rows["at"], utc=True, format="ISO8601", errors="coerce")
    order = moments.sort_values(kind="stable", na_position="first").index  # a row without a moment is an old one
    return rows.loc[order].reset_index(drop=True), [unusable[index] for index in sorted(unusable)]


def append_decisions(path: str | Path, decisions: Iterable[Decision]) -> str:
    """Add rows to a decisions file, which is made if it is missing; all of them or, if the disk is full, none.

    Processes and threads that do so at the same time wait for each other. Returns the moment of those that had none,
    which undo_decisions takes. Raises EarshotError if the file is not one of decisions.
    """
    path, now = Path(path), datetime.now(UTC).isoformat(timespec="microseconds")
    rows = [decision._replace(at=decision.at or now) for decision in decisions]
    with sole_writer(path, WAIT):
        columns, delimiter, ends_open = _layout(path)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        for row in rows:
            values = dict(zip(DECISION_COLUMNS, row, strict=True))
            writer.writerow([no_formula(_cell(values.get(column, ""))) for column in columns])
        if not path.exists():
            with atomic(path) as part:
                part.write_text(f"{','.join(DECISION_COLUMNS)}\n{text.getvalue()}", encoding="utf-8")
        elif rows:
            _append(path, ("\n" if ends_open else "") + text.getvalue())
    return now


def _layout(path: Path) -> tuple[Sequence[str], str, bool]:
    """Columns of a decisions file, what separates them, and whether its last line has no end."""
    if not path.exists():
        return DECISION_COLUMNS, ",", False
    read_csv(path, NEEDED)  # raises where it is no such file
    text = text_of(content := read_bytes(path))
    if not content.lstrip(b"\xef\xbb\xbf").startswith(text[:1].encode()):
        raise EarshotError(path, "is not UTF-8", "save it as CSV UTF-8")
    delimiter = delimiter_of(text, NEEDED)
    header = next(line for line in text.splitlines() if line.strip() and not line.startswith("sep="))
    return [name.strip() for name in next(csv.reader([header], delimiter=delimiter))], delimiter, text[-1:] != "\n"


def _append(path: Path, text: str) -> None:
    before = path.stat().st_size
    try:
        with path.open("ab", buffering=0) as file:
            content = text.encode()
            if file.write(content) < len(content):
                raise OSError(28, os.strerror(28), str(path))  # the disk took a part
            os.fsync(file.fileno())
    except OSError:
        os.truncate(path, before)
        raise


def _cell(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{value:.6f}".rstrip("0").rstrip(".")


def undo_decisions(path: str | Path, at: str) -> int:
    """Take back the decisions of a moment; returns how many there were. The other lines of the file stay as they are.

    Raises DataSetError if the file cannot be read.
    """
    path = Path(path)
    with sole_writer(path, WAIT):
        rows = read_csv(path, NEEDED)
        is_undone = rows["at"] == at if "at" in rows else []
        undone = set(rows.index[is_undone])
        if undone:
            starts = dict(zip(rows.index, [rows.index[0], *(line + 1 for line in rows.index[:-1])], strict=True))
            dropped = {number for line in undone for number in range(starts[line], line + 1)}
            lines = text_of(read_bytes(path)).splitlines(keepends=True)
            kept = [line for number, line in enumerate(lines, 1) if number not in dropped]
            with atomic(path) as part:
                part.write_text("".join(kept), encoding="utf-8", newline="")
    return len(undone)


def decided_classes(decisions: "pd.DataFrame") -> list[str]:
    """The classes that accepted and relabelled sounds have, which annotations may not name yet; sorted."""
    accepted = decisions.loc[decisions["decision"] == "accept", "class"]
    return sorted({*accepted, *decisions.loc[decisions["decision"] == "relabel", "new_class"]})


def apply_decisions(
    annotations: "pd.DataFrame", decisions: "pd.DataFrame", classes: ClassList, annotated: Iterable[str]
) -> "tuple[pd.DataFrame, dict[str, Decided], list[Problem]]":
    """Annotations after decisions.

    Args:
        annotations: the annotation table, with class names.
        decisions: as read_decisions returns them, about recordings of the data set.
        classes: of the data set.
        annotated: names of the recordings that people annotated, of which the whole is known.

    Returns the annotation table; what decisions say of each recording besides; and a Problem for each decision about a
    class that the data set does not have.
    """
    import pandas as pd

    known, problems = set(annotated), list[Problem]()
    by_recording: dict[str, list[Decision]] = {}
    for values in decisions.itertuples(index=False):
        *fields, line = values
        decision = Decision(*fields)
        name, new_name = classes.resolve(decision.class_name), classes.resolve(decision.new_class)
        for label, resolved in ((decision.class_name, name), (decision.new_class, new_name)):
            if label and resolved is None:
                fault = "several classes have this label" if label in classes.shared else "unknown class"
                shown = f"{decision.recording}, {label}"
                problems.append(Problem(line, f"{fault} ({shown})", "correct it or add it to classes.csv"))
                break
        else:
            decision = decision._replace(class_name=name or "", new_class=new_name or "")
            by_recording.setdefault(decision.recording, []).append(decision)
    if not by_recording:
        return annotations, {}, problems

    is_decided = annotations["recording"].isin(by_recording)
    rows = annotations[is_decided]
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in by_recording}
    for row in rows.to_dict("records"):
        tables[row["recording"]].append({str(column): value for column, value in row.items()} | {"is_added": False})
    for name, of_recording in by_recording.items():
        for decision in of_recording:
            tables[name] = APPLIED[decision.decision](tables[name], decision)
    decided = {
        name: Decided(
            [_stretch(each) for each in of_recording if each.decision == "reject"],
            None if name in known else [_stretch(each) for each in of_recording],
        )
        for name, of_recording in by_recording.items()
    }
    changed = pd.DataFrame([row for name in sorted(tables) for row in tables[name]])
    changed = changed.reindex(columns=annotations.columns)
    parts = [part for part in (annotations[~is_decided], changed) if len(part)]
    table = pd.concat(parts or [annotations[:0]], ignore_index=True)
    if "annotator" in table:
        table["annotator"] = table["annotator"].fillna("")
    order = ["recording", "class", "start_time", "end_time"]
    return table.sort_values(order, kind="stable", ignore_index=True), decided, problems


Rows = list[dict[str, Any]]
"""Annotations of a recording; `is_added`: whether a decision made it of its stretch."""


def _stretch(decision: Decision) -> Stretch:
    return float(decision.start_time), float(decision.end_time)


def _inside(row: Mapping[str, Any], start: float, end: float) -> float:
    """Seconds of an annotation in a stretch."""
    return min(row["end_time"], end) - max(row["start_time"], start)


def _accept(rows: Rows, decision: Decision) -> Rows:
    start, end, name = decision.start_time, decision.end_time, decision.class_name
    of_class = [row for row in rows if row["class"] == name and _inside(row, start, end) > 0]
    for row in of_class:
        needed = min(PRESENCE_SECONDS, end - start, row["end_time"] - row["start_time"])
        if not row["is_added"] and _inside(row, start, end) >= needed - SHORTEST:
            return rows
    merged = [row for row in of_class if row["is_added"]]
    start = min([start, *(row["start_time"] for row in merged)])
    end = max([end, *(row["end_time"] for row in merged)])
    added = {"recording": decision.recording, "class": name, "start_time": start, "end_time": end}
    rest = [row for row in rows if not any(row is other for other in merged)]
    return [*rest, added | {"annotator": decision.by, "is_added": True}]


def _without(row: dict[str, Any], start: float, end: float) -> Rows:
    """What remains of an annotation outside of a stretch."""
    parts = [(row["start_time"], min(row["end_time"], start)), (max(row["start_time"], end), row["end_time"])]
    return [row | {"start_time": first, "end_time": last} for first, last in parts if last - first > SHORTEST]


def _reject(rows: Rows, decision: Decision) -> Rows:
    start, end = decision.start_time, decision.end_time
    kept: Rows = []
    for row in rows:
        is_meant = row["class"] == decision.class_name and _inside(row, start, end) > 0
        kept += _without(row, start, end) if is_meant else [row]
    return kept


def _relabel(rows: Rows, decision: Decision) -> Rows:
    start, end = decision.start_time, decision.end_time
    renamed: Rows = []
    for row in rows:
        if row["class"] == decision.class_name and _inside(row, start, end) > SHORTEST:
            part = {"start_time": max(row["start_time"], start), "end_time": min(row["end_time"], end)}
            renamed.append(row | part | {"class": decision.new_class})
    rows = _reject(rows, decision)
    if not renamed:
        return _accept(rows, decision._replace(class_name=decision.new_class))
    is_known = [any(_covers(row, part) for row in rows) for part in renamed]
    return [*rows, *(part for part, known in zip(renamed, is_known, strict=True) if not known)]


def _covers(row: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    is_around = row["start_time"] <= part["start_time"] and row["end_time"] >= part["end_time"]
    return row["class"] == part["class"] and is_around


APPLIED = {"accept": _accept, "reject": _reject, "relabel": _relabel}
