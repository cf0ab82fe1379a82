"""Pictures of what a search found, named so that windows can be taken from them: `<recording>-<start>.png`.

Whoever removes the pictures of wrong matches can hand the folder to Extractor.extract_by_image.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lib.curation.embedding_store import Embeddings
from lib.curation.search import COLUMNS, Match
from lib.errors import AudioError, Problem

POINTS = 4
"""Height and width of a band and a frame in a picture."""
EXPONENT = 0.7
"""Below 1: faint sounds show better."""


def image_name(path: str, start: float) -> str:
    return f"{Path(path).stem}-{start:.2f}.png"


def write_images(matches: list[Match], embeddings: Embeddings, folder: Path) -> Iterator[Problem | None]:
    """Write a picture of each match; yields None, or a Problem where its recording cannot be read."""
    import matplotlib.image

    folder.mkdir(parents=True, exist_ok=True)
    for match in matches:
        try:
            spectrogram = embeddings.spectrogram(match.recording, match.start_time)
            shown = np.kron(spectrogram**EXPONENT, np.ones((POINTS, POINTS)))
        except AudioError as error:
            yield error.problem(match.recording.path)
            continue
        name = image_name(match.recording.path, match.start_time)
        matplotlib.image.imsave(folder / name, shown, vmin=0, vmax=1, cmap="magma", origin="lower")
        yield None


def remove_images(folder: Path, results: Path) -> None:
    """Remove the pictures of an earlier search, whose table of results is still there."""
    try:
        with results.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if set(row) == set(COLUMNS)]
            names = [image_name(row["path"], float(row["start_time"])) for row in rows]
    except (FileNotFoundError, UnicodeDecodeError, ValueError, csv.Error):
        return
    for name in names:
        (folder / name).unlink(missing_ok=True)
