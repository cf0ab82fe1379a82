"""Results of a search: a table for the terminal, results.csv, and pictures of the windows.

Whoever removes the pictures of wrong matches can hand the folder to Extractor.extract_by_image.
"""

import csv
from pathlib import Path

import numpy as np

from lib.core.console import table_text
from lib.core.csv_files import write_csv
from lib.core.errors import AudioError, Problem
from lib.core.progress import progress
from lib.curation.embedding_store import Embeddings
from lib.curation.nearest_windows import Match
from lib.curation.picture_names import picture_name

COLUMNS = ["rank", "recording", "path", "start_time", "end_time", "similarity"]
POINTS = 4
"""Height and width of a band and a frame in a picture."""
EXPONENT = 0.7
"""Below 1: faint sounds show better."""


def show_matches(matches: list[Match]) -> str:
    """The matches as a table for a terminal."""
    ranks, recordings, starts, ends, similarities = zip(*matches, strict=True) if matches else [()] * len(Match._fields)
    return table_text(
        {
            "rank": list(ranks),
            "similarity": [f"{similarity:.3f}" for similarity in similarities],
            "start": [_clock(start) for start in starts],
            "end": [_clock(end) for end in ends],
            "recording": [recording.path for recording in recordings],
        }
    )


def _clock(seconds: float) -> str:
    """A time as m:ss.s, or h:mm:ss.s."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def write_matches(matches: list[Match], embeddings: Embeddings, folder: Path, plot: bool) -> list[Problem]:
    """Write results.csv and, with `plot`, a picture of each match, in place of those of an earlier search.

    Returns a Problem for each recording that cannot be read.
    """
    _remove_pictures(folder)
    rows = (
        [rank, recording.name, recording.path, f"{start:.3f}", f"{end:.3f}", f"{similarity:.6f}"]
        for rank, recording, start, end, similarity in matches
    )
    write_csv(folder / "results.csv", COLUMNS, rows)
    return _draw(matches, embeddings, folder) if plot else []


def _draw(matches: list[Match], embeddings: Embeddings, folder: Path) -> list[Problem]:
    import matplotlib.image

    problems = []
    for match in progress(matches, "plot", len(matches), "pictures"):
        try:
            spectrogram = embeddings.spectrogram(match.recording, match.start_time)
        except AudioError as error:
            problems.append(error.problem())
            continue
        picture = np.kron(spectrogram**EXPONENT, np.ones((POINTS, POINTS)))
        path = folder / f"{picture_name(match.recording.name, match.start_time)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        matplotlib.image.imsave(path, picture, vmin=0, vmax=1, cmap="magma", origin="lower")
    return problems


def _remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier search, whose table of results is still there."""
    try:
        with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if set(row) == set(COLUMNS)]
            names = [picture_name(row["recording"], float(row["start_time"])) for row in rows]
    except (FileNotFoundError, UnicodeDecodeError, ValueError, csv.Error):
        return
    for name in names:
        (folder / f"{name}.png").unlink(missing_ok=True)
