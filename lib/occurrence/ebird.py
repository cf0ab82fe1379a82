"""eBird bar charts: the tab-separated file behind "Download Histogram Data" on the bar chart page of a region.

Its name tells the region: `ebird_CA-ON-OT__2000_2024_1_12_barchart.txt`. It holds a title, the number of taxa, the
months, `Sample Size:` with the number of checklists in each of 48 weeks (four a month), and a row for each taxon with
the share of those checklists that report it. The taxon is a common name, in newer files followed by the scientific name
in parentheses and `<em class="sci">`; the common name becomes the class. Blank lines mean nothing.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lib.files import printable
from lib.occurrence import OccurrenceError
from lib.occurrence.season import WEEKS

NAME = re.compile(r"ebird_([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)__\d{4}_\d{4}_\d{1,2}_\d{1,2}_barchart")
SAMPLE_SIZE = "sample size:"
SCIENTIFIC_NAME = re.compile(r"\s*\(?\s*<em\b.*")


def is_bar_chart(file: Path) -> bool:
    return file.suffix.lower() == ".txt" and "barchart" in file.name.lower()


def region_of(file: Path) -> str:
    """The region code in the name of a bar chart. Raises OccurrenceError."""
    if match := NAME.match(file.name):
        return match[1]
    example = "name it as eBird does, for example ebird_CA-ON-OT__2000_2024_1_12_barchart.txt"
    raise OccurrenceError(f"{printable(str(file))}: the name tells no region; {example}")


def bar_chart_rows(text: str, name: str) -> Iterator[tuple[int, str, np.ndarray | ValueError]]:
    """Line, class name and values, float64 (48,), 0..1, of each taxon in a bar chart; or what is wrong with the row.

    A week without a checklist says nothing about a taxon: its value lies on the line between those of the nearest weeks
    that have some, across the end of the year. Raises OccurrenceError for a file that is no bar chart of a whole year.
    """
    sizes: np.ndarray | None = None
    for number, line in enumerate(text.splitlines(), 1):
        title, *cells = line.rstrip().split("\t")
        if sizes is None:
            if title.strip().lower() == SAMPLE_SIZE:
                sizes = _sample_sizes(cells, f"{name}:{number}")
        elif title.strip():
            taxon = " ".join(html.unescape(SCIENTIFIC_NAME.sub("", title)).split())
            yield number, taxon, _filled(cells, sizes)
    if sizes is None:
        raise OccurrenceError(f"{name}: has no row 'Sample Size:'; give a bar chart as eBird makes it")


def _sample_sizes(cells: list[str], where: str) -> np.ndarray:
    try:
        sizes = _numbers(cells)
    except ValueError as fault:
        raise OccurrenceError(f"{where}: {fault}; give a bar chart of all twelve months") from None
    if not np.any(sizes > 0):
        raise OccurrenceError(f"{where}: there was no checklist in any week; take more years or a larger region")
    return sizes


def _filled(cells: list[str], sizes: np.ndarray) -> np.ndarray | ValueError:
    try:
        values = _numbers(cells)
    except ValueError as fault:
        return fault
    if values.max() > 1:
        return ValueError(f"{values.max():g} is not within 0..1")
    weeks = np.arange(WEEKS)
    known = sizes > 0
    return np.interp(weeks, weeks[known], values[known], period=WEEKS)


def _numbers(cells: list[str]) -> np.ndarray:
    """Float64 (48,), none below 0. Raises ValueError."""
    if len(cells) != WEEKS:
        raise ValueError(f"has {len(cells)} values instead of {WEEKS}")
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise ValueError(f"{error}") from None
    if not np.all((values >= 0) & (values < np.inf)):
        raise ValueError("a value is not a number from 0 on")
    return values
