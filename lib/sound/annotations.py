"""Annotations: which classes people heard where, as a table that is checked row by row."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from lib.core.csv_files import numbers_in
from lib.core.errors import Problem
from lib.core.files import printable, valid_text
from lib.sound.classes import ClassList, class_label
from lib.sound.recordings import Recordings

if TYPE_CHECKING:
    import pandas as pd

ANNOTATION_COLUMNS = ["recording", "class", "start_time", "end_time"]
OPTIONAL_COLUMNS = ["low_freq", "high_freq", "annotator", "confidence"]
OPTIONAL_NUMBERS = ("low_freq", "high_freq", "confidence")
AnnotationRow = dict[str, Any]
"""A row of the annotation table by column, whose numbers may be text, and `line`, its source: `annotations.csv:7`."""


def whole_recording(recording: str, class_name: str, line: str) -> AnnotationRow:
    """A row for a class that sounds in a recording from start to end, as far as is known."""
    return {"recording": recording, "class": class_name, "start_time": 0.0, "end_time": float("inf"), "line": line}


def annotation_table(rows: list[AnnotationRow]) -> "pd.DataFrame":
    """Rows as a table of the required columns, `line`, and those optional ones that some row has."""
    import pandas as pd

    optional = [column for column in OPTIONAL_COLUMNS if any(row.get(column) not in (None, "") for row in rows)]
    columns = [*ANNOTATION_COLUMNS, *optional, "line"]
    values = [[_cell(row.get(column, "")) for column in columns[:-1]] + [printable(row["line"])] for row in rows]
    return pd.DataFrame(values, columns=columns)


def _cell(value: Any) -> Any:
    return valid_text(value) if isinstance(value, str) else value


def checked_annotations(
    rows: "pd.DataFrame", recordings: Recordings, classes: ClassList, include: str | None
) -> "tuple[pd.DataFrame, list[Problem]]":
    """Annotation rows that can be used, typed and with class names, sorted; and a Problem for each that cannot.

    Args:
        rows: the annotation table as text, and `line`.
        recordings: of the data set.
        classes: of the data set.
        include: glob on names of recordings; rows of others are dropped silently.
    """
    rows = rows.copy()
    if include is not None and len(rows):
        stems = rows["recording"].str.rpartition("/")[2]
        rows = rows[rows["recording"].isin(recordings) | stems.map(lambda stem: fnmatchcase(stem, include))]
    problems = _read_numbers(rows)
    for column, cleaned in (("recording", printable), ("class", class_label)):
        rows[column] = rows[column].map({text: cleaned(text) for text in rows[column].unique()})
    label, rows["class"] = rows["class"], rows["class"].map(classes.resolve)
    key = [*ANNOTATION_COLUMNS, *(column for column in ("low_freq", "high_freq") if column in rows)]

    faults = [
        (rows["start_time"].isna() | rows["end_time"].isna(), "a time is not a number", "give seconds"),
        (rows["start_time"] < 0, "starts before the recording", "start_time counts seconds from its start"),
        (rows["end_time"] == rows["start_time"], "has no duration", "give it an end_time after its start_time"),
        (rows["end_time"] < rows["start_time"], "ends before it starts", "correct start_time or end_time"),
        (~rows["recording"].isin(recordings), "no such recording", "add the file or correct the name"),
        (label.isin(classes.shared), "several classes have this label", "give the name of one of them"),
        (rows["class"].isna(), "unknown class", "correct it or add it to classes.csv"),
        (rows.duplicated(key), "repeats an earlier row", "remove it"),
    ]
    unusable: dict[int, Problem] = {}
    for is_wrong, fault, remedy in faults:
        for index in rows.index[is_wrong]:
            shown = f"{rows.at[index, 'recording']}, {label[index] or 'no class'}"
            unusable.setdefault(index, Problem(rows.at[index, "line"], f"{fault} ({shown})", remedy))
    rows = rows.drop(index=list(unusable))
    problems |= unusable
    kept = [column for column in (*ANNOTATION_COLUMNS, *OPTIONAL_COLUMNS) if column in rows]
    rows = rows[kept].sort_values(ANNOTATION_COLUMNS, kind="stable", ignore_index=True)
    return rows, [problems[index] for index in sorted(problems)]


def _read_numbers(rows: "pd.DataFrame") -> dict[int, Problem]:
    """Convert the columns of numbers; a Problem by row for text in the optional ones, which is dropped."""
    problems: dict[int, Problem] = {}
    for column in ("start_time", "end_time", *OPTIONAL_NUMBERS):
        if column not in rows:
            continue
        numbers = numbers_in(rows[column])
        if column in OPTIONAL_NUMBERS:
            for index in rows.index[numbers.isna() & (rows[column].astype(str).str.strip() != "")]:
                line, fault = (
                    printable(rows.at[index, "line"]),
                    f"{column} = {rows.at[index, column]!r} is not a number",
                )
                problems.setdefault(index, Problem(line, fault, "left empty; give a number", lost=False))
        rows[column] = numbers
    return problems
