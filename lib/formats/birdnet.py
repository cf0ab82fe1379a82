"""Format `birdnet`: the columns of BirdNET-Analyzer's CSV result table; a class's scientific name is its alt_name."""

from collections.abc import Iterable
from pathlib import Path

from lib.core.csv_files import write_csv
from lib.core.files import printable
from lib.formats import WRITERS, LabelScheme, Writer
from lib.sound.labels import RecordingLabels


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    columns = ["Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File"]
    rows = (
        [f"{start:.3f}", f"{end:.3f}", scheme.scientific[name], scheme.shown[name], f"{score:.4f}", file]
        for labelled in recordings
        for file in [printable(str(labelled.path))]
        for name, start, end, score in labelled.labels
    )
    write_csv(path, columns, rows, scheme.escape_formulas)


WRITERS.register("birdnet", Writer(_write, "birdnet/{}.results.csv", "labels.birdnet.csv", has_paths=True))
