"""Format `scores`: a table of the scores of all windows, with recording, name, start_time, end_time, score.

Scores of 0, which stand for those below infer.csv_min_score, are left out.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from lib.core.csv_files import write_csv
from lib.formats import WRITERS, LabelScheme, Writer
from lib.sound.labels import Label, RecordingLabels


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    write_csv(path, ["recording", *Label._fields], _rows(recordings, scheme), scheme.escape_formulas)


def _rows(recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> Iterator[list[str]]:
    shown = [scheme.shown[name] for name in scheme.names]
    for labelled in recordings:
        for starts, scores in labelled.windows:
            window, column = scores.nonzero()
            hits = (starts[window], column, scores[window, column])
            for start, index, score in zip(*(values.tolist() for values in hits), strict=True):
                times = f"{start:.3f}", f"{start + scheme.window_seconds:.3f}"
                yield [labelled.recording, shown[index], *times, f"{score:.6g}"]


WRITERS.register("scores", Writer(_write, together="scores.csv"))
