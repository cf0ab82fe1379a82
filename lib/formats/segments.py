"""Format `segments`: `recordings/` beside `annotations.csv` (or .tsv) with recording, class, start_time, end_time.

Columns may have other usual names, see SYNONYMS, and recordings may be given by their file names.
"""

from pathlib import Path

from lib.core.csv_files import read_csv
from lib.core.files import printable
from lib.formats import READERS, Annotated, Reader
from lib.sound.annotations import ANNOTATION_COLUMNS
from lib.sound.recordings import RecordingFinder, find_recordings

TABLES = ("annotations.csv", "annotations.tsv")
SYNONYMS = {
    "recording": ("file", "filename", "file_name", "begin file", "path", "filepath"),
    "class": ("label", "species", "annotation", "name", "common name", "common_name"),
    "start_time": ("start", "begin", "onset", "start (s)", "start_s", "begin time (s)"),
    "end_time": ("end", "stop", "offset", "end (s)", "end_s", "end time (s)"),
    "low_freq": ("low freq (hz)", "freq_low", "min_freq"),
    "high_freq": ("high freq (hz)", "freq_high", "max_freq"),
    "confidence": ("score",),
}


def _recognizes(folder: Path) -> bool:
    return _table(folder).is_file()


def _table(folder: Path) -> Path:
    return next((file for file in map(folder.joinpath, TABLES) if file.is_file()), folder / TABLES[0])


def _read(folder: Path, include: str | None) -> Annotated:
    recordings, problems = find_recordings(folder / "recordings", include)
    path = _table(folder)
    rows = read_csv(path, ANNOTATION_COLUMNS, SYNONYMS)
    finder = RecordingFinder(recordings)
    names = rows["recording"].unique()
    rows["recording"] = rows["recording"].map(
        {name: name if name in recordings else finder.named(name, path) for name in names}
    )
    rows["line"] = [printable(f"{path}:{line}") for line in rows.index]
    return Annotated(recordings, rows, problems)


READERS.register("segments", Reader(1, "recordings/ and annotations.csv", _recognizes, _read))
