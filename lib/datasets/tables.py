"""The annotation and class tables: read from CSV, checked row by row."""

import csv
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from lib.errors import DataSetError, Problem

CLASS_COLUMNS = ["name", "code", "alt_name", "alt_code", "category", "color"]
ANNOTATION_COLUMNS = ["recording", "class", "start_time", "end_time"]
OPTIONAL_COLUMNS = ["low_freq", "high_freq", "annotator", "confidence"]
OPTIONAL_NUMBERS = ("low_freq", "high_freq", "confidence")


def read_csv(path: Path, columns: list[str], synonyms: dict[str, tuple[str, ...]] | None = None) -> pd.DataFrame:
    """A CSV file as text, with at least the given columns; its index tells the lines. Raises DataSetError.

    synonyms: other names of columns, in lower case, which are taken where a column itself is missing. Blank lines are
    skipped. What a row lacks is empty, what it has beyond the header is dropped.
    """
    header = f"its first line must be {','.join(columns)}" if columns else "its first line must name the columns"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader if "".join(row).strip()]
    except FileNotFoundError:
        raise DataSetError(f"{path}: no such file; add it, {header}") from None
    except UnicodeDecodeError as error:
        raise DataSetError(f"{path}: is not UTF-8 ({error.reason}); save it as comma-separated UTF-8 text") from None
    except csv.Error as error:
        raise DataSetError(f"{path}:{reader.line_num}: {error}; mend the quotes there, or save the file anew") from None
    if not rows:
        raise DataSetError(f"{path}: is empty; {header}")
    (_, names), *rows = rows
    names = _translated(names, synonyms or {})
    if missing := [column for column in columns if column not in names]:
        raise DataSetError(f"{path}: lacks the column {missing[0]}; {header}")
    lines, values = [line for line, _ in rows], [(row + len(names) * [""])[: len(names)] for _, row in rows]
    table = pd.DataFrame(values, index=lines, columns=names, dtype=str)
    return table.loc[:, ~table.columns.duplicated()]


def _translated(names: list[str], synonyms: dict[str, tuple[str, ...]]) -> list[str]:
    """Column names, with the first synonym of a missing one in its place."""
    names = list(names)
    for column, others in synonyms.items():
        known = [name.casefold() for name in names]
        found = next((known.index(other) for other in others if other in known), None)
        if column not in names and found is not None:
            names[found] = column
    return names


def class_table(folder: Path, annotations: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """The classes of a data set: of `classes.csv` in its folder, else those that the annotations name, sorted."""
    path = folder / "classes.csv"
    if not path.is_file():
        names = sorted(set(annotations["class"]) - {""})
        table = pd.DataFrame({"name": names, "code": names})
        return table.reindex(columns=CLASS_COLUMNS, fill_value="").astype(str), []
    table = read_csv(path, ["name"]).reindex(columns=CLASS_COLUMNS, fill_value="")
    table["code"] = table["code"].where(table["code"] != "", table["name"])
    problems = []
    twice = table["name"].duplicated() | table["code"].duplicated() | (table["name"] == "")
    for line in table.index[twice]:
        problems.append(Problem(f"{path}:{line}", "its name or code is empty or stands above already", "mend the row"))
    return table[~twice].reset_index(drop=True), problems


def checked_annotations(
    rows: pd.DataFrame, recordings: dict, classes: pd.DataFrame, include: str | None
) -> tuple[pd.DataFrame, list[Problem]]:
    """Annotation rows that can be used, typed and with class names, sorted; and a Problem for each that cannot.

    rows: text columns of the annotation table, and `line`, which says where a row stands. Rows of recordings that
    `include` leaves out are dropped without a word.
    """
    rows = rows.copy()
    if include is not None and len(rows):
        stems = rows["recording"].str.rpartition("/")[2]
        rows = rows[rows["recording"].isin(recordings) | stems.map(lambda stem: fnmatchcase(stem, include))]
    odd = _read_numbers(rows)
    names = _names_by_label(classes)
    label, rows["class"] = rows["class"], rows["class"].map(names)
    key = [*ANNOTATION_COLUMNS, *(column for column in ("low_freq", "high_freq") if column in rows)]

    faults = [
        (rows["start_time"].isna() | rows["end_time"].isna(), "a time is not a number", "give seconds"),
        (rows["start_time"] < 0, "starts before the recording", "start_time counts seconds from its start"),
        (rows["end_time"] == rows["start_time"], "has no duration", "give it one: an end_time behind its start_time"),
        (rows["end_time"] < rows["start_time"], "ends before it starts", "mend start_time or end_time"),
        (~rows["recording"].isin(recordings), "no such recording", "add the file or correct the name"),
        (rows["class"].isna(), "unknown class", "correct it or add it to classes.csv"),
        (rows.duplicated(key), "stands above already", "remove the repeated row"),
    ]
    problems: dict[int, Problem] = {}
    for wrong, reason, action in faults:
        for index in rows.index[wrong]:
            shown = f"{rows.at[index, 'recording']}, {label[index] or 'no class'}"
            problems.setdefault(index, Problem(rows.at[index, "line"], f"{reason} ({shown})", action))
    rows = rows.drop(index=list(problems))
    problems |= {index: problem for index, problem in odd.items() if index not in problems}
    kept = [column for column in (*ANNOTATION_COLUMNS, *OPTIONAL_COLUMNS) if column in rows]
    rows = rows[kept].sort_values(ANNOTATION_COLUMNS, kind="stable", ignore_index=True)
    return rows, [problems[index] for index in sorted(problems)]


def _read_numbers(rows: pd.DataFrame) -> dict[int, Problem]:
    """Make numbers of the columns that hold some, and name what is none in the optional ones, by row."""
    problems: dict[int, Problem] = {}
    for column in ("start_time", "end_time", *OPTIONAL_NUMBERS):
        if column not in rows:
            continue
        numbers = pd.to_numeric(rows[column], errors="coerce").astype(float)
        if column in OPTIONAL_NUMBERS:
            for index in rows.index[numbers.isna() & (rows[column].astype(str).str.strip() != "")]:
                fault = f"{column} = {rows.at[index, column]!r} is not a number"
                problems.setdefault(index, Problem(rows.at[index, "line"], fault, "left empty; give a number", False))
        rows[column] = numbers
    return problems


def _names_by_label(classes: pd.DataFrame) -> dict[str, str]:
    """Class names by each of the four labels that a class can be called by; a name wins over a code, and so on."""
    labels: dict[str, str] = {}
    for column in ("name", "code", "alt_name", "alt_code"):
        for label, name in zip(classes[column], classes["name"], strict=True):
            if label:
                labels.setdefault(label, name)
    return labels
