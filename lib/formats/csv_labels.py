"""Format `csv`: a table of labels with recording, name, start_time, end_time, score."""

from collections.abc import Iterable
from pathlib import Path

from lib.core.csv_files import write_csv
from lib.formats import WRITERS, LabelScheme, Writer
from lib.sound.labels import Label, RecordingLabels


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    rows = (
        [labelled.recording, scheme.shown[name], f"{start:.3f}", f"{end:.3f}", f"{score:.6g}"]
        for labelled in recordings
        for name, start, end, score in labelled.labels
    )
    write_csv(path, ["recording", *Label._fields], rows, scheme.escape_formulas)


WRITERS.register("csv", Writer(_write, together="labels.csv"))
