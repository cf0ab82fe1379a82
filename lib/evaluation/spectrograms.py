"""Spectrograms of many sounds as picture files: of recordings, of a class, of a test's errors.

Each function is a generator that draws one picture after the other and yields its path. Windows are named
`<recording>-<start in seconds>.png`, errors `<rank>~<recording>-<start>~<score>.png`, as Extractor.extract_by_image
reads them back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from lib.audio.plots import ANNOTATED, FOUND, Span, SpectrogramPlot, overview
from lib.audio.reader import probe, stream
from lib.audio.spectrogram import level_frames, recording_windows
from lib.audio.windows import n_windows
from lib.config import Audio, DataSet, Settings
from lib.database.codec import decode
from lib.database.training_database import TrainingDatabase
from lib.datasets.contents import Contents, read_data_set
from lib.errors import AudioError, DataSetError, EarshotError, Problem
from lib.inference.inputs import recordings_of
from lib.inference.output import label_table, read_labels

HEIGHT, SECOND = 320, 140  # pixels of a spectrogram: its height, and a second's width
WIDTHS = 640, 4000  # the least and the most
ERROR_COLUMNS = ["kind", "recording", "class", "start_time", "end_time", "score"]
BATCH = 16


@dataclass(frozen=True)
class Style:
    """What all pictures of a run share: settings of the spectrograms, exponent of the values, and without axes."""

    audio: Audio
    power: float = 1.0
    bare: bool = False

    def plot(self, seconds: float, columns: int | None = None) -> SpectrogramPlot:
        """For spectrograms of that many seconds; bare ones have a pixel for each value."""
        if self.bare:
            size = columns or self.audio.spec_width, self.audio.spec_height
        else:
            size = int(np.clip(round(seconds * SECOND), *WIDTHS)), HEIGHT
        return SpectrogramPlot(self.audio, size, self.power, self.bare)


@dataclass(frozen=True)
class Marks:
    """Where spans to draw come from: annotations, a table (see Contents), and labels, a folder that infer wrote."""

    annotations: pd.DataFrame | None = None
    labels: Path | None = None
    _spans: dict[str, list[Span]] = field(default_factory=dict, repr=False)

    def of(self, recording: str) -> list[Span]:
        if recording not in self._spans:
            self._spans.clear()  # recordings come one after the other: one is enough to hold
            self._spans[recording] = [*self._annotated(recording), *self._found(recording)]
        return self._spans[recording]

    def _annotated(self, recording: str) -> list[Span]:
        return [] if self.annotations is None else annotation_spans(self.annotations, recording)

    def _found(self, recording: str) -> list[Span]:
        if self.labels is None or not label_table(self.labels, recording).is_file():
            return []
        return [
            Span(start, end, f"{name} {score:.2f}", FOUND)
            for name, start, end, score in read_labels(self.labels, recording)
        ]


def pictures(
    settings: Settings,
    style: Style,
    output: Path,
    problems: list[Problem],
    limit: int | None = None,
    *,
    errors: str | None = None,
    context: float = 3.0,
    class_name: str | None = None,
    database: str = "data/training.db",
    spec_group: str = "default",
    recordings: str | None = None,
    whole: bool = False,
    overlap: float = 0.0,
    annotations: str | None = None,
    labels: str | None = None,
) -> tuple[int, Iterator[Path]]:
    """How many pictures there are to draw, and the generator that draws them: of errors, of a class, or of recordings,
    whichever is given.

    limit: of pictures, or of errors of each kind. Other arguments are those of the plot stage and of the functions
    below. Raises EarshotError if there is nothing to draw.
    """
    if errors is not None:
        table, contents = read_errors(errors, limit), read_data_set(settings.data.test)
        least = settings.evaluate.min_seconds
        return len(table), draw_errors(table, contents, style, output, problems, context, least)
    if class_name is not None:
        return draw_class(database, class_name, spec_group, output, style, limit)
    found, odd = recordings_of(str(recordings))
    problems += odd
    table = read_data_set(DataSet(path=annotations)).annotations if annotations else None
    marks = Marks(table, Path(labels) if labels else None)
    if whole:
        total, drawn = len(found), draw_whole(found, style, output, marks, problems)
    else:
        hop = style.audio.spec_duration - overlap
        total, drawn = count_windows(found, style.audio, hop), draw_windows(found, style, hop, output, marks, problems)
    return min(total, limit or total), islice(drawn, limit)


def annotation_spans(annotations: pd.DataFrame, recording: str) -> list[Span]:
    """The annotations of a recording. annotations: the table."""
    rows = annotations[annotations["recording"] == recording]
    columns = [rows["start_time"], rows["end_time"], rows["class"]]
    columns += [
        pd.to_numeric(rows[name], errors="coerce") if name in rows else pd.Series(np.nan, rows.index)
        for name in ("low_freq", "high_freq")
    ]
    return [
        Span(start, end, name, ANNOTATED, *((None, None) if np.isnan(low) or np.isnan(high) else (low, high)))
        for start, end, name, low, high in zip(*columns, strict=True)
    ]


def count_windows(recordings: dict[str, Path], audio: Audio, hop: float) -> int:
    """How many pictures draw_windows makes, by what the files' headers say."""
    total = 0
    for path in recordings.values():
        try:
            total += n_windows(probe(path).seconds, audio.spec_duration, hop)
        except AudioError:
            continue  # drawing it will say so
    return total


def draw_windows(
    recordings: dict[str, Path], style: Style, hop: float, output: Path, marks: Marks, problems: list[Problem]
) -> Iterator[Path]:
    """Each window of each recording, one every `hop` s. Adds a problem for each recording that cannot be read."""
    plot = style.plot(style.audio.spec_duration)
    for name, path in recordings.items():
        try:
            for starts, spectrograms, _ in recording_windows(path, style.audio, hop, BATCH):
                for start, spectrogram in zip(starts, spectrograms, strict=True):
                    file = output / f"{name}-{_offset(start)}.png"
                    plot.save(file, spectrogram, start, title=name, spans=marks.of(name))
                    yield file
        except AudioError as error:
            problems.append(error.problem(path))


def draw_whole(
    recordings: dict[str, Path], style: Style, output: Path, marks: Marks, problems: list[Problem]
) -> Iterator[Path]:
    """Each recording in one picture; of long ones, each column shows the loudest of its time."""
    for name, path in recordings.items():
        try:
            blocks = stream(path, style.audio.sampling_rate, style.audio.channel)
            spectrogram, seconds = overview(level_frames(blocks, style.audio), style.audio)
        except AudioError as error:
            problems.append(error.problem(path))
            continue
        plot = style.plot(spectrogram.shape[1] / SECOND, spectrogram.shape[1])
        file = output / f"{name}.png"
        plot.save(file, spectrogram, 0.0, seconds, title=name, spans=marks.of(name))
        yield file


def draw_class(
    database: str | Path, class_name: str, group: str, output: Path, style: Style, limit: int | None = None
) -> tuple[int, Iterator[Path]]:
    """The training database's windows with a class: how many, and the generator that draws them.

    class_name: a name or a code. style: its audio settings are replaced by those that the windows were made with.
    Raises EarshotError if there are none.
    """
    db = TrainingDatabase(database, create=False)
    classes = db.get_class()
    known = {entry.code: entry.name for entry in classes if entry.code} | {entry.name: entry.name for entry in classes}
    groups = {entry.name: entry.settings for entry in db.get_specgroup()}
    if class_name not in known:
        raise EarshotError(f"{database}: has no class {class_name}; it has {', '.join(sorted(known.values())[:10])}")
    if groups.get(group) is None:
        raise EarshotError(f"{database}: has no spectrogram group {group} whose settings are known; give --spec_group")
    name = known[class_name]
    rows = db.get_spectrogram_by_class(name, include_value=False, spec_group=group, limit=limit)
    audio = Audio.model_validate_json(groups[group])
    return len(rows), _drawn_class(db, rows, name, output, Style(audio, style.power, style.bare))


def _drawn_class(db: TrainingDatabase, rows: list, name: str, output: Path, style: Style) -> Iterator[Path]:
    plot = style.plot(style.audio.spec_duration)
    with db:
        for row in rows:
            value = db.get_specvalue({"ID": row.specvalue_id})[0].value
            spectrogram = decode(value, style.audio.spec_height) / np.float32(255)
            stem = Path(row.filename).stem
            file = output / f"{stem}-{_offset(row.offset)}.png"
            plot.save(file, spectrogram, row.offset, title=f"{name}: {stem}")
            yield file


def read_errors(path: str | Path, limit: int | None = None) -> pd.DataFrame:
    """errors.csv of an evaluation, at most `limit` of each kind, with the rank of each. Raises DataSetError."""
    try:
        table = pd.read_csv(path, usecols=ERROR_COLUMNS, dtype={"recording": str, "class": str}, keep_default_na=False)
    except FileNotFoundError:
        raise DataSetError(f"{path}: no such file; run the evaluate stage first") from None
    except ValueError as error:
        raise DataSetError(f"{path}: {str(error).splitlines()[0]}; run the evaluate stage again") from None
    table["rank"] = table.groupby("kind").cumcount() + 1
    return table if limit is None else table[table["rank"] <= limit]


def draw_errors(
    errors: pd.DataFrame,
    contents: Contents,
    style: Style,
    output: Path,
    problems: list[Problem],
    context: float = 3.0,
    min_seconds: float = 0.3,
) -> Iterator[Path]:
    """What was found though it is not there, and what was missed, each with what is annotated around it.

    errors: table that read_errors gives. contents: the test set. context: seconds before and after the window.
    min_seconds: of an event that must lie in the window for the title to name it.
    """
    plots: dict[float, SpectrogramPlot] = {}
    for error in errors.rename(columns={"class": "name"}).itertuples(index=False):
        if error.recording not in contents.recordings:
            reason = "is in the table of errors but not in the test set"
            problems.append(Problem(error.recording, reason, "run the evaluate stage again"))
            continue
        path = contents.recordings[error.recording]
        begin = max(0.0, error.start_time - context)
        seconds = round(error.end_time + context - begin, 6)
        audio = style.audio.model_copy(update={"spec_duration": seconds})
        try:
            spectrogram = next(recording_windows(path, audio, seconds, 1, begin)).spectrograms[0]
        except AudioError as fault:
            problems.append(fault.problem(path))
            continue
        plot = plots.setdefault(seconds, style.plot(seconds, audio.spec_width))
        spans = annotation_spans(contents.annotations, error.recording)
        here = {span.text for span in spans if _counts(span, error.start_time, error.end_time, min_seconds)}
        there = ", ".join(sorted(here)) or "nothing annotated"
        title = f"{error.kind}: {error.name}, score {error.score:.2f}    in the window: {there}"
        file = f"{error.rank:03}~{error.recording}-{_offset(error.start_time)}~{error.score:.3f}.png"
        target = output / error.kind.replace(" ", "-") / file
        plot.save(target, spectrogram, begin, seconds, title, spans, (error.start_time, error.end_time))
        yield target


def _counts(span: Span, start_time: float, end_time: float, min_seconds: float) -> bool:
    inside = min(span.end_time, end_time) - max(span.start_time, start_time)
    return inside >= min(min_seconds, span.end_time - span.start_time)


def _offset(seconds: float) -> str:
    """Hundredths of a second, or thousandths where it takes them."""
    return f"{seconds:.3f}".removesuffix("0")
