"""A comparison of two model runs as files and as text."""

from collections.abc import Mapping
from pathlib import Path

from lib.core.console import table_text
from lib.core.csv_files import write_table
from lib.core.files import write_json
from lib.core.wording import counted
from lib.evaluation.comparison import METRICS, SIDES, Comparison
from lib.evaluation.comparison_plot import plot_comparison
from lib.evaluation.figures import interval
from lib.evaluation.metrics_plots import save

COUNTS = ("both", "only_first", "only_second", "neither")
LISTED_CLASSES = 20
"""In the text: those that differ most."""


def write_comparison(folder: str | Path, comparison: Comparison, names: tuple[str, str], iou: float) -> None:
    """Write sounds.csv, classes.csv, comparison.json and comparison.png into a folder.

    Args:
        folder: is made if it is missing.
        comparison: what to write.
        names: of the first and the second run.
        iou: that it was made with.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "sounds.csv", comparison.sounds)
    write_table(folder / "classes.csv", comparison.classes)
    save(plot_comparison(comparison.classes, names), folder / "comparison.png")
    classes = [
        {key: None if value != value else value for key, value in row.items()}
        for row in comparison.classes.to_dict("records")
    ]
    content = {"first": names[0], "second": names[1], "iou": iou} | comparison.figures | {"classes": classes}
    write_json(folder / "comparison.json", content)


def comparison_text(comparison: Comparison) -> str:
    """All classes together, and the classes that differ most, as text."""
    figures = comparison.figures
    sounds, recordings = (counted(int(figures[name]), name[:-1]) for name in ("sounds", "recordings"))
    found = ", ".join(f"{name.replace('_', ' ')} {figures[name]:,}" for name in COUNTS)
    false = ", ".join(f"{side} {figures[f'false_{side}']:,}" for side in SIDES)
    lines = [f"{sounds} in {recordings}, found by: {found}", f"labels that match no sound: {false}", ""]
    rows = [name for prefix in ("", "macro_") for metric in METRICS if f"{(name := prefix + metric)}_first" in figures]
    if rows:
        columns = {kind: [figures.get(f"{name}_{kind}") for name in rows] for kind in (*SIDES, "difference")}
        bounds = [_interval(f"{name}_difference", figures) for name in rows]
        lines += [table_text({"": [_title(name) for name in rows], **columns, "95 % interval": bounds}), ""]
    lines.append(table_text(_class_columns(comparison)))
    if len(comparison.classes) > LISTED_CLASSES:
        lines.append(f"the {LISTED_CLASSES} of {len(comparison.classes)} classes that differ most; classes.csv has all")
    return "\n".join(lines)


def _class_columns(comparison: Comparison) -> dict[str, list]:
    size = comparison.classes["recall_difference"].abs()
    table = comparison.classes.loc[size.sort_values(ascending=False, kind="stable").index[:LISTED_CLASSES]]
    bounds = [_interval("recall_difference", row) for row in table.to_dict("records")]
    columns = {name.replace("_", " "): table[name].tolist() for name in ("class", "annotated", *COUNTS)}
    return columns | {"recall difference": table["recall_difference"].tolist(), "95 % interval": bounds}


def _interval(name: str, figures: Mapping) -> str:
    """The interval of a figure, "" where it has none, as a table has NaN in its place."""
    low = figures.get(f"{name}_low")
    return "" if low is None or low != low else interval(name, figures)


def _title(name: str) -> str:
    return name.replace("f1", "F1").replace("_", " ")
