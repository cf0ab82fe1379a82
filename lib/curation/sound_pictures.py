"""Spectrograms of many sounds as picture files: of recordings, of a class, of a test's errors.

Windows are named `<recording>-<start in seconds>.png`, errors `<rank>~<recording>-<start>~<score>.png`.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.audio.reader import probe, stream
from lib.audio.spectrogram_plots import ANNOTATED, FOUND, Span, SpectrogramPlot, overview
from lib.audio.spectrograms import level_frames, recording_windows
from lib.config.schema import AudioSettings
from lib.core.csv_files import from_no_formula
from lib.core.errors import AudioError, DataSetError, EarshotError, Problem
from lib.curation.picture_names import PictureAbout, picture_name
from lib.formats.data_sets import DataSet
from lib.results.results_store import ResultsStore
from lib.sound.classes import ClassList
from lib.sound.grid import n_windows
from lib.sound.recordings import Recordings
from lib.training_data.spectrogram_codec import decode
from lib.training_data.training_database import TrainingDatabase

HEIGHT, SECOND = 320, 140  # pixels of a spectrogram: its height, and a second's width
WIDTHS = 640, 4000  # the least and the most
ERROR_COLUMNS = ["kind", "recording", "class", "start_time", "end_time", "score", "present"]
BATCH = 16


class Style(NamedTuple):
    """What all pictures of a run share.

    Args:
        audio: settings of the spectrograms.
        power: exponent of the values.
        bare: without axes, a pixel for each value.
    """

    audio: AudioSettings
    power: float = 1.0
    bare: bool = False


@lru_cache(maxsize=2)
def _plot(style: Style, width: int, columns: int) -> SpectrogramPlot:
    """For spectrograms of that many columns, to be drawn with that width (pixels) unless they are bare."""
    size = (columns, style.audio.spec_height) if style.bare else (int(np.clip(width, *WIDTHS)), HEIGHT)
    return SpectrogramPlot(style.audio, size, style.power, style.bare)


class Marks(NamedTuple):
    """Where spans to draw come from: annotations, a table (see DataSet), and results of infer."""

    annotations: pd.DataFrame | None = None
    results: ResultsStore | None = None

    def of(self, recording: str) -> list[Span]:
        spans = [] if self.annotations is None else annotation_spans(self.annotations, recording)
        labels = self.results.labels(recording) if self.results else ()
        return [*spans, *(Span(start, end, f"{name} {score:.2f}", FOUND) for name, start, end, score in labels)]


def annotation_spans(annotations: pd.DataFrame, recording: str) -> list[Span]:
    """The annotations of a recording. annotations: the table."""
    frequencies = ["low_freq", "high_freq"]
    rows = annotations[annotations["recording"] == recording]
    rows = rows.reindex(columns=["start_time", "end_time", "class", *frequencies])
    rows[frequencies] = rows[frequencies].apply(pd.to_numeric, errors="coerce")
    return [
        Span(start, end, name, ANNOTATED, *(() if np.isnan(low) or np.isnan(high) else (low, high)))
        for start, end, name, low, high in rows.itertuples(index=False)
    ]


def count_pictures(recordings: Recordings, hop: float | None, audio: AudioSettings) -> int:
    """How many pictures draw_recordings makes, by what the files' headers say."""
    if hop is None:
        return len(recordings)
    total = 0
    for path in recordings.values():
        with suppress(AudioError):  # drawing it will say so
            total += n_windows(probe(path).seconds, audio.spec_duration, hop)
    return total


def draw_recordings(
    recordings: Recordings, hop: float | None, style: Style, output: Path, marks: Marks, problems: list[Problem]
) -> Iterator[Path]:
    """Draw each window of each recording, one every `hop` s, or without a hop, each recording in one picture.

    Yields the path of each picture; adds a problem for each recording that cannot be read.
    """
    for name, path in recordings.items():
        spans = marks.of(name)
        try:
            for start, seconds, spectrogram in _spectrograms(path, style.audio, hop):
                columns = spectrogram.shape[1]
                plot = _plot(style, columns if hop is None else round(seconds * SECOND), columns)
                file = output / f"{name if hop is None else picture_name(name, start)}.png"
                plot.save(file, spectrogram, start, seconds, title=name, spans=spans)
                yield file
        except AudioError as error:
            problems.append(error.problem())


def _spectrograms(path: Path, audio: AudioSettings, hop: float | None) -> Iterator[tuple[float, float, np.ndarray]]:
    """Start (s), seconds and spectrogram of each window; without a hop, of the whole recording.

    In that of a long recording, each column shows the loudest of its time.
    """
    if hop is None:
        blocks = stream(path, audio.sampling_rate, audio.channel)
        spectrogram, seconds = overview(level_frames(blocks, audio), audio)
        yield 0.0, seconds, spectrogram
        return
    for starts, spectrograms, _ in recording_windows(path, audio, hop, BATCH):
        for start, spectrogram in zip(starts, spectrograms, strict=True):
            yield start, audio.spec_duration, spectrogram


def draw_class(
    database: str, class_name: str, group: str, style: Style, output: Path, limit: int | None
) -> tuple[int, Iterator[Path]]:
    """The training database's windows with a class: how many pictures there will be, and the paths of those drawn.

    Args:
        database: the file.
        class_name: a name or code.
        group: of spectrograms.
        style: its audio settings are replaced by those that the windows were made with.
        output: folder for the pictures.
        limit: of pictures, which are then spread evenly over the windows.

    Raises EarshotError if there are none.
    """
    db = TrainingDatabase(database, create=False)
    classes = ClassList(map(vars, db.get_class()))
    name = classes.resolve(class_name)
    groups = {entry.name: entry.settings for entry in db.get_specgroup()}
    if name is None:
        raise EarshotError(database, f"has no class {class_name}", f"it has {', '.join(classes.names[:10])}")
    if groups.get(group) is None:
        raise EarshotError(database, f"has no spectrogram group {group} whose settings are known", "give --spec_group")
    rows = db.get_spectrogram_by_class(name, include_value=False, spec_group=group, limit=limit)
    style = style._replace(audio=AudioSettings.model_validate_json(groups[group]))
    return len(rows), _draw_class(db, rows, name, style, output)


def _draw_class(db: TrainingDatabase, rows: list, name: str, style: Style, output: Path) -> Iterator[Path]:
    plot = _plot(style, round(style.audio.spec_duration * SECOND), style.audio.spec_width)
    with db:
        for row in rows:
            value = db.get_specvalue({"ID": row.specvalue_id})[0].value
            spectrogram = decode(value, style.audio.spec_height) / np.float32(255)
            stem = Path(row.filename).stem
            file = output / f"{picture_name(stem, row.offset)}.png"
            about = PictureAbout(name, row.offset, row.offset + style.audio.spec_duration)
            plot.save(file, spectrogram, row.offset, title=f"{name}: {stem}", about=about.texts())
            yield file


def read_errors(path: str | Path, limit: int | None = None) -> pd.DataFrame:
    """errors.csv of an evaluation, at most `limit` of each kind, with the rank of each. Raises DataSetError."""
    try:
        table = pd.read_csv(
            path, usecols=ERROR_COLUMNS, dtype={"recording": str, "class": str, "present": str}, keep_default_na=False
        )
    except FileNotFoundError:
        raise DataSetError(path, "no such file", "run the evaluate stage first") from None
    except ValueError as error:
        raise DataSetError(path, str(error).splitlines()[0], "run the evaluate stage again") from None
    for column in ("recording", "class", "present"):
        table[column] = table[column].map(from_no_formula)
    table["rank"] = table.groupby("kind").cumcount() + 1
    return table if limit is None else table[table["rank"] <= limit]


def draw_errors(
    errors: pd.DataFrame, data_set: DataSet, context: float, style: Style, output: Path, problems: list[Problem]
) -> Iterator[Path]:
    """Draw what was found though it is not there, and what was missed, each with what is annotated around it.

    Yields the path of each picture; adds a problem for each error that cannot be drawn.

    Args:
        errors: table that read_errors gives.
        data_set: the test set.
        context: seconds to show before and after the window.
        style, output, problems: as above.
    """
    for error in errors.rename(columns={"class": "name"}).itertuples(index=False):
        if error.recording not in data_set.recordings:
            fault = "is in the table of errors but not in the test set"
            problems.append(Problem(error.recording, fault, "run the evaluate stage again"))
            continue
        present = error.present.replace("; ", ", ") or "nothing annotated"
        title = f"{error.kind}: {error.name}, score {error.score:.2f}    in the window: {present}"
        stem = f"{error.rank:03}~{picture_name(error.recording, error.start_time)}~{error.score:.3f}"
        file = output / error.kind.replace(" ", "-") / f"{stem}.png"
        about = PictureAbout(error.name, error.start_time, error.end_time)
        spans = annotation_spans(data_set.annotations, error.recording)
        path = data_set.recordings[error.recording]
        if problem := draw_sound(path, about, context, title, spans, style, file):
            problems.append(problem)
        else:
            yield file


def draw_sound(
    path: Path, about: PictureAbout, context: float, title: str, spans: list[Span], style: Style, file: Path
) -> Problem | None:
    """Draw a stretch of a recording, with its bounds as dashed lines; returns a Problem if it cannot be read.

    Args:
        about: the stretch, which the picture then holds; an endless one is drawn as long as a window.
        context: seconds to show before and after it.
        spans: to draw around it.
        file: to write.
    """
    begin, end = max(0.0, about.start_time - context), about.end_time
    seconds = round((end if np.isfinite(end) else about.start_time + style.audio.spec_duration) + context - begin, 6)
    audio = style.audio.model_copy(update={"spec_duration": seconds})
    try:
        windows = next(recording_windows(path, audio, seconds, 1, begin))
    except AudioError as fault:
        return fault.problem()
    marks = [time for time in (about.start_time, end) if np.isfinite(time)]
    plot = _plot(style, round(seconds * SECOND), audio.spec_width)
    plot.save(file, windows.inputs[0], begin, seconds, title, spans, marks, about.texts())
    return None
