"""eBird bar charts: the tab-separated file behind "Download Histogram Data" on the bar chart page of a region.

Named after the region: `ebird_CA-ON-OT__2000_2024_1_12_barchart.txt`. It holds a title, the number of taxa, the
months, `Sample Size:` with the number of checklists in each of 48 weeks (four a month), and a row for each taxon with
the share of those checklists that report it. The taxon is a common name, in newer files followed by the scientific name
in parentheses and `<em class="sci">`; the common name becomes the class. Blank lines are skipped.
"""

import html
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.core.errors import EarshotError
from lib.occurrence.season import WEEKS

NAME = re.compile(r"ebird_([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)__\d{4}_\d{4}_\d{1,2}_\d{1,2}_barchart")
SAMPLE_SIZE = "sample size:"
SCIENTIFIC_NAME = re.compile(r"\s*\(?\s*<em\b.*")


def is_bar_chart(file: Path) -> bool:
    return file.suffix.lower() == ".txt" and "barchart" in file.name.lower()


def region_of(file: Path) -> str:
    """The region code in the name of a bar chart. Raises EarshotError."""
    if match := NAME.match(file.name):
        return match[1]
    example = "name it as eBird does, for example ebird_CA-ON-OT__2000_2024_1_12_barchart.txt"
    raise EarshotError(file, "the name tells no region", example)


class Taxon(NamedTuple):
    """A row of a bar chart: its line, the common name, and its cells, among them those of weeks without a checklist.

    Args:
        sizes: checklists of each week, float64 (48,).
    """

    line: int
    name: str
    cells: list[str]
    sizes: np.ndarray

    def weeks(self) -> np.ndarray:
        """Values, float64 (48,), 0..1.

        A week without a checklist says nothing about a taxon: its value is interpolated between the nearest weeks that
        have some, across the end of the year. Raises ValueError for cells that are no such values.
        """
        values = _numbers(self.cells)
        if values.max() > 1:
            raise ValueError(f"{values.max():g} is not within 0..1")
        weeks = np.arange(WEEKS)
        known = self.sizes > 0
        return np.interp(weeks, weeks[known], values[known], period=WEEKS)


def read_bar_chart(text: str, name: str) -> list[Taxon]:
    """The taxa of a bar chart. name: of the file. Raises EarshotError if it is not a bar chart of a whole year."""
    sizes: np.ndarray | None = None
    taxa = []
    for number, line in enumerate(text.splitlines(), 1):
        title, *cells = line.rstrip().split("\t")
        if sizes is None:
            if title.strip().lower() == SAMPLE_SIZE:
                sizes = _sample_sizes(cells, f"{name}:{number}")
        elif title.strip():
            taxa.append(Taxon(number, " ".join(html.unescape(SCIENTIFIC_NAME.sub("", title)).split()), cells, sizes))
    if sizes is None:
        raise EarshotError(name, "has no row 'Sample Size:'", "give a bar chart as eBird makes it")
    return taxa


def _sample_sizes(cells: list[str], where: str) -> np.ndarray:
    try:
        sizes = _numbers(cells)
    except ValueError as fault:
        raise EarshotError(where, str(fault), "give a bar chart of all twelve months") from None
    if not np.any(sizes > 0):
        raise EarshotError(where, "there was no checklist in any week", "take more years or a larger region")
    return sizes


def _numbers(cells: list[str]) -> np.ndarray:
    """Float64 (48,), none below 0. Raises ValueError."""
    if len(cells) != WEEKS:
        raise ValueError(f"has {len(cells)} values instead of {WEEKS}")
    values = np.array([float(cell) for cell in cells])
    if not np.all((values >= 0) & (values < np.inf)):
        raise ValueError("a value is not a number from 0 on")
    return values
