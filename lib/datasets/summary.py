"""What a data set's annotations hold: of each class, of each recording, and which classes occur together."""

from collections import Counter
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.audio import reader
from lib.datasets.contents import Contents
from lib.errors import AudioError, Problem
from lib.files import printable


class Summary(NamedTuple):
    """Tables of a data set's annotations. Durations are in seconds.

    classes: a row for each class, also those that are not annotated: class, events, recordings, seconds, and shortest,
    median and longest event. recordings: a row for each recording: recording, duration, classes (their number),
    events, annotated (seconds in which anything is). details: a row for each recording and class in it: recording,
    class, events, seconds. together: a row for each two classes that share a recording: class, other, recordings (that
    they share), seconds (in which both sound). Seconds of a class add up its events, also where these overlap.
    """

    classes: pd.DataFrame
    recordings: pd.DataFrame
    details: pd.DataFrame
    together: pd.DataFrame


def summarize(contents: Contents) -> tuple[Summary, list[Problem]]:
    """Summarize a data set; returns a Problem for each recording whose duration is not known.

    Durations come from the recordings' headers; an annotation that lasts to the end of its recording gets that.
    """
    durations, problems = _durations(contents)
    events = contents.annotations.copy()
    events["end_time"] = np.minimum(events["end_time"], events["recording"].map(durations).fillna(np.inf))
    events["seconds"] = (events["end_time"] - events["start_time"]).clip(lower=0).replace(np.inf, np.nan)
    by_class = events.groupby("class")
    seconds = by_class["seconds"].agg(["sum", "min", "median", "max"])
    counts = {"events": by_class.size(), "recordings": by_class["recording"].nunique()}
    counts |= {"seconds": seconds["sum"], "shortest": seconds["min"]}
    counts |= {"median": seconds["median"], "longest": seconds["max"]}
    names = pd.Index(sorted(contents.classes["name"]), name="class")
    classes = pd.DataFrame(counts).reindex(names).reset_index()
    absent = {"events": 0, "recordings": 0, "seconds": 0.0}
    classes = classes.fillna(absent).astype({"events": int, "recordings": int})
    details = events.groupby(["recording", "class"])["seconds"].agg(events="size", seconds="sum").reset_index()
    recordings = pd.DataFrame({"recording": sorted(contents.recordings)})
    recordings["duration"] = recordings["recording"].map(durations).astype(float)
    of_recording = details.groupby("recording")["events"].agg(classes="size", events="sum")
    recordings = recordings.join(of_recording, on="recording").fillna({"classes": 0, "events": 0})
    recordings = recordings.astype({"classes": int, "events": int})
    heard = {name: total_seconds(rows) for name, rows in events.groupby("recording")}
    recordings["annotated"] = recordings["recording"].map(heard).fillna(0.0)
    return Summary(classes, recordings, details, _together(events)), problems


def total_seconds(events: pd.DataFrame) -> float:
    """Seconds in which at least one of the events (start_time, end_time) sounds."""
    return sum(end - start for start, end in _merged(events))


def _durations(contents: Contents) -> tuple[dict[str, float], list[Problem]]:
    durations, problems = {}, []
    for name, path in contents.recordings.items():
        try:
            seconds = reader.probe(path).seconds
        except AudioError as error:
            problems.append(error.problem(path))
            continue
        except OSError as error:
            problems.append(Problem(printable(str(path)), f"cannot be read ({error.strerror})", "check the file"))
            continue
        if seconds > 0:
            durations[name] = seconds
        else:
            problems.append(Problem(printable(str(path)), "its header tells no duration", "convert it to WAV or FLAC"))
    return durations, problems


def _together(events: pd.DataFrame) -> pd.DataFrame:
    recordings: Counter[tuple[str, str]] = Counter()
    seconds: dict[tuple[str, str], float] = {}
    for _, rows in events.groupby("recording"):
        times = {name: _merged(part) for name, part in rows.groupby("class")}
        for pair in combinations(sorted(times), 2):
            recordings[pair] += 1
            seconds[pair] = seconds.get(pair, 0.0) + _shared(times[pair[0]], times[pair[1]])
    rows = [(*pair, recordings[pair], seconds[pair]) for pair in recordings]
    table = pd.DataFrame(rows, columns=["class", "other", "recordings", "seconds"])
    order = ["recordings", "seconds", "class", "other"]
    return table.sort_values(order, ascending=[False, False, True, True], ignore_index=True)


def _merged(events: pd.DataFrame) -> list[tuple[float, float]]:
    """Start and end times of the events, joined where they touch. Events of unknown end are left out."""
    merged: list[tuple[float, float]] = []
    known = events[np.isfinite(events["end_time"])]
    for start, end in sorted(zip(known["start_time"], known["end_time"], strict=True)):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif end > start:
            merged.append((start, end))
    return merged


def _shared(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> float:
    """Seconds that lie in times of both lists, each sorted and without overlap."""
    total, i, j = 0.0, 0, 0
    while i < len(first) and j < len(second):
        total += max(0.0, min(first[i][1], second[j][1]) - max(first[i][0], second[j][0]))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return total
