"""Suggestions as a table: on a terminal, as a CSV file that people edit and decide reads, and as pictures."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lib.core.console import table_text
from lib.core.csv_files import numbers_in, read_csv, write_csv
from lib.core.errors import DataSetError, Problem
from lib.core.files import printable
from lib.curation.picture_names import PictureAbout, picture_name
from lib.curation.sound_pictures import Style, draw_sound
from lib.curation.suggestion import Suggestion
from lib.sound.decisions import KINDS

NEEDED = ["recording", "start_time", "end_time", "class"]
COLUMNS = ["rank", *NEEDED, "score", "kind", "decision", "new_class", "why", "path"]
SHOWN = 20
"""Rows on a terminal."""


def suggestions_text(suggestions: list[Suggestion], most: int = SHOWN) -> str:
    """Suggestions as a table for a terminal, the first ones."""
    shown = suggestions[:most]
    columns: dict[str, list] = {"rank": list(range(1, len(shown) + 1))}
    columns |= {"recording": [one.recording for one in shown], "start": [f"{one.start_time:.2f}" for one in shown]}
    columns |= {"end": ["end" if one.end_time == float("inf") else f"{one.end_time:.2f}" for one in shown]}
    columns |= {"class": [one.class_name for one in shown], "score": [f"{one.score:.3f}" for one in shown]}
    if any(one.decision for one in shown):
        columns["decision"] = [f"{one.decision} {one.new_class}".strip() for one in shown]
    columns["why"] = [one.why for one in shown]
    more = f"\n... and {len(suggestions) - most} more" if len(suggestions) > most else ""
    return table_text(columns) + more


def write_suggestions(path: str | Path, suggestions: Iterable[Suggestion]) -> None:
    """Write suggestions as CSV with the columns COLUMNS."""
    rows = (
        [rank, one.recording, f"{one.start_time:.6f}", f"{one.end_time:.6f}", one.class_name, f"{one.score:.6f}", *rest]
        for rank, one in enumerate(suggestions, 1)
        for rest in [(one.kind, one.decision, one.new_class, one.why, one.path)]
    )
    write_csv(path, COLUMNS, ([printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows))


def read_suggestions(path: str | Path) -> list[Suggestion]:
    """What write_suggestions wrote, after people took rows away; columns besides NEEDED may be missing.

    Raises DataSetError if it cannot be read, or a row is wrong.
    """
    table = read_csv(path, NEEDED).reindex(columns=COLUMNS, fill_value="")
    for column in ("start_time", "end_time", "score"):
        table[column] = numbers_in(table[column])
    suggestions = []
    for line, row in table.iterrows():
        if not 0 <= row["start_time"] < row["end_time"]:
            raise DataSetError(f"{path}:{line}", "start_time and end_time must be seconds, in order", "correct them")
        if row["decision"] and row["decision"] not in KINDS:
            raise DataSetError(f"{path}:{line}", f"the decision must be one of {', '.join(KINDS)}", "correct it")
        about = row["recording"], row["path"], float(row["start_time"]), float(row["end_time"]), row["class"]
        suggestions.append(
            Suggestion(*about, float(row["score"]), row["kind"], row["decision"], row["new_class"], row["why"])
        )
    return suggestions


def draw_suggestions(
    suggestions: Iterable[Suggestion],
    files: Mapping[str, Path],
    context: float,
    style: Style,
    output: Path,
    problems: list[Problem],
) -> Iterator[Path]:
    """Draw each suggestion as `<rank>~<recording>-<start>~<score>.png`, which holds its class and stretch for decide.

    Yields the path of each picture; adds a problem for each that cannot be drawn.

    Args:
        files: recordings of the data sets, by name.
        context: seconds to show before and after it.
    """
    for rank, one in enumerate(suggestions, 1):
        path = Path(one.path) if one.path else files.get(one.recording)
        if path is None:
            problems.append(Problem(one.recording, "is in neither data set", "check data.train and data.test"))
            continue
        score = f"{min(max(one.score, 0.0), 1.0):.3f}"
        name = picture_name(Path(one.recording).name, one.start_time)
        file = output / Path(one.recording).parent / f"{rank:03}~{name}~{score}.png"
        about = PictureAbout(one.class_name, one.start_time, one.end_time)
        title = f"{one.class_name or one.recording}    {one.why}"
        if problem := draw_sound(path, about, context, title, [], style, file):
            problems.append(problem)
        else:
            yield file
