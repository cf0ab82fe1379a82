"""What a training database or a data set holds, as tables and as text for a terminal."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.audio import reader
from lib.config.faults import validated
from lib.config.schema import DataSetSettings
from lib.core.console import table_text
from lib.core.errors import AudioError, Problem
from lib.core.files import printable
from lib.core.wording import counted
from lib.formats.data_sets import DataSet, read_data_set
from lib.training_data.training_data_provider import TrainingDataProvider
from lib.training_data.training_database import TrainingDatabase

MOST_ROWS, MOST_PAIRS = 60, 12
"""Rows of a table, and of one of pairs, that are shown."""

Tables = dict[str, pd.DataFrame]


def database_overview(path: str) -> tuple[str, Tables]:
    """Text, and tables class_summary, class_details and spec_groups, of a training database. Raises EarshotError."""
    with TrainingDatabase(path, create=False) as db:
        provider = TrainingDataProvider(db)
        summary, details = provider.class_info()
        groups = provider.spec_group_info()
        recordings = db.get_recording()
        n_segments, n_labelled = db.get_segment_count(), len(provider.segment_class_dict())
    hours = sum(recording.seconds for recording in recordings) / 3600
    lines = [
        f"{path}: {counted(len(recordings), 'recording')}, {hours:.2f} h",
        f"{counted(n_segments, 'segment')}, {n_segments - n_labelled} of them background, without any class\n",
        f"{_shown(summary)}\n",
        _shown(groups),
    ]
    return "\n".join(lines), {"class_summary": summary, "class_details": details, "spec_groups": groups}


def annotations_overview(
    path: str, format: str = "auto", decisions: str | None = None
) -> tuple[str, Tables, list[Problem]]:
    """Text, tables annotation_summary, annotation_recordings, annotation_details and annotation_together, and problems.

    path: folder of a data set, or the annotation file in it. decisions: file of those to apply. Raises EarshotError.
    """
    folder = Path(path).parent if Path(path).is_file() else Path(path)
    data_set = read_data_set(validated(DataSetSettings, {"path": str(folder), "format": format}), decisions)
    summary, problems = summarize(data_set)
    duration, annotated = summary.recordings[["duration", "annotated"]].sum()
    without = int((summary.recordings["events"] == 0).sum())
    n_events = summary.classes["events"].sum()
    recordings = counted(len(summary.recordings), "recording")
    decided = f", after decisions about {counted(n, 'recording')}" if (n := len(data_set.judgements)) else ""
    lines = [
        f"{folder}: {recordings}, {duration / 60:.1f} min, {without} without any event{decided}",
        f"{counted(n_events, 'event')}, {annotated / 60:.1f} min in which at least one class sounds\n",
        _shown(summary.classes),
    ]
    if len(summary.together):
        lines.append("\nClasses that share recordings, and seconds in which both sound:")
        lines.append(_shown(summary.together, MOST_PAIRS))
    tables = {
        "annotation_summary": summary.classes,
        "annotation_recordings": summary.recordings,
        "annotation_details": summary.details,
        "annotation_together": summary.together,
    }
    return "\n".join(lines), tables, [*data_set.problems, *problems]


def _shown(table: pd.DataFrame, most: int = MOST_ROWS) -> str:
    more = f"\n... and {len(table) - most} more" if len(table) > most else ""
    return table_text(table.head(most).to_dict("list")) + more


class DataSetSummary(NamedTuple):
    """Tables of a data set's annotations; times are in seconds. Seconds of a class add up those of its events.

    Args:
        classes: a row for each class, annotated or not: class, events, recordings, seconds, and shortest, median and
            longest event.
        recordings: a row for each recording: recording, duration, classes (their number), events, annotated (seconds
            in which at least one class sounds).
        details: a row for each recording and class in it: recording, class, events, seconds.
        together: a row for each two classes that share recordings: class, other, recordings, seconds (in which both
            sound).
    """

    classes: pd.DataFrame
    recordings: pd.DataFrame
    details: pd.DataFrame
    together: pd.DataFrame


def summarize(data_set: DataSet) -> tuple[DataSetSummary, list[Problem]]:
    """Summarize a data set; returns a Problem for each recording whose duration is not known.

    Durations come from the recordings' headers; an annotation that lasts to the end of its recording gets that.
    """
    durations, problems = _durations(data_set)
    events = data_set.annotations.copy()
    events["end_time"] = np.minimum(events["end_time"], events["recording"].map(durations).fillna(np.inf))
    events["seconds"] = (events["end_time"] - events["start_time"]).clip(lower=0).replace(np.inf, np.nan)
    seconds = ("seconds", "sum"), ("seconds", "min"), ("seconds", "median"), ("seconds", "max")
    columns = {"events": ("class", "size"), "recordings": ("recording", "nunique")}
    columns |= dict(zip(("seconds", "shortest", "median", "longest"), seconds, strict=True))
    names = pd.Index(sorted(data_set.classes["name"]), name="class")
    classes = events.groupby("class").agg(**columns).reindex(names).reset_index()
    classes = classes.fillna({"events": 0, "recordings": 0, "seconds": 0.0})
    details = events.groupby(["recording", "class"])["seconds"].agg(events="size", seconds="sum").reset_index()
    recordings = pd.DataFrame({"recording": sorted(data_set.recordings)})
    recordings["duration"] = recordings["recording"].map(durations).astype(float)
    counts = details.groupby("recording")["events"].agg(classes="size", events="sum")
    recordings = recordings.join(counts, on="recording").fillna({"classes": 0, "events": 0})
    annotated, together = _sounding_times(events)
    recordings["annotated"] = recordings["recording"].map(annotated).fillna(0.0)
    integers = {"classes": int, "events": int}
    return DataSetSummary(
        classes.astype({"events": int, "recordings": int}), recordings.astype(integers), details, together
    ), problems


def _durations(data_set: DataSet) -> tuple[dict[str, float], list[Problem]]:
    durations, problems = {}, []
    for name, path in data_set.recordings.items():
        try:
            seconds = reader.probe(path).seconds
        except AudioError as error:
            problems.append(error.problem())
            continue
        if seconds > 0:
            durations[name] = seconds
        else:
            problems.append(Problem(printable(str(path)), "its header tells no duration", "convert it to WAV or FLAC"))
    return durations, problems


def _sounding_times(events: pd.DataFrame) -> tuple[dict[str, float], pd.DataFrame]:
    """Seconds of each recording in which at least one class sounds, and the table `together`."""
    annotated: dict[str, float] = {}
    pairs: list[tuple[str, str, float]] = []
    for name, rows in events.groupby("recording"):
        classes, annotated[name], shared = seconds_together(rows)
        first, second = np.triu_indices(len(classes), 1)
        pairs += zip(classes[first], classes[second], shared[first, second], strict=True)
    by_pair = pd.DataFrame(pairs, columns=["class", "other", "seconds"]).groupby(["class", "other"])["seconds"]
    together = by_pair.agg(recordings="size", seconds="sum").reset_index()
    order = ["recordings", "seconds", "class", "other"]
    return annotated, together.sort_values(order, ascending=[False, False, True, True], ignore_index=True)


def seconds_together(events: pd.DataFrame) -> tuple[np.ndarray, float, np.ndarray]:
    """Classes of a recording's events, sorted; seconds in which any of them sounds; and in which two of them do.

    events: class, start_time, end_time; those of unknown end (inf) take no time. The last is (n_classes, n_classes).
    """
    classes, index = np.unique(events["class"], return_inverse=True)
    times = events[["start_time", "end_time"]].to_numpy(float)
    is_known = np.isfinite(times[:, 1]) & (times[:, 1] > times[:, 0])
    edges, position = np.unique(times[is_known], return_inverse=True)
    steps = np.zeros((len(classes), len(edges)))
    for step, at in zip((1, -1), position.reshape(-1, 2).T, strict=True):
        np.add.at(steps, (index[is_known], at), step)
    sounds = np.cumsum(steps, axis=1)[:, :-1] > 0  # between an edge and the next
    lengths = np.diff(edges)
    return classes, float(lengths[sounds.any(axis=0)].sum()), (sounds * lengths) @ sounds.T
