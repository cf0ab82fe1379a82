"""Sounds that people choose to decide about: found by a model, annotated, or shown in pictures."""

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.config.schema import Settings
from lib.core.console import table_text
from lib.core.digests import digest_known_file
from lib.core.errors import EarshotError, SettingsError, reading
from lib.core.files import link_or_copy, printable
from lib.formats.data_sets import DataSet, read_test_set, read_training_set
from lib.results.results_store import ResultsStore
from lib.sound.classes import ClassList
from lib.sound.decisions import Decision, Kind
from lib.sound.recordings import RecordingFinder, recordings_of
from lib.training_data.extractor import pictured_windows

SHOWN = 20
"""Rows of a table on a terminal."""


class ChosenSound(NamedTuple):
    """A class in a stretch of a recording.

    Args:
        recording: its name.
        path: its file; None: that of a data set.
        start_time, end_time: s.
        class_name: its class.
        score: 0..1; None: no model found it.
    """

    recording: str
    path: Path | None
    start_time: float
    end_time: float
    class_name: str
    score: float | None = None

    def decision(self, kind: Kind, new_class: str, by: str, reason: str) -> Decision:
        """What is decided about it, with a moment still to come."""
        about = self.recording, self.start_time, self.end_time, self.class_name
        return Decision(*about, kind, new_class, by, "", reason)


class Choice(NamedTuple):
    """Which sounds: those that infer found, unless one of the others is given.

    Args:
        class_name: any name or code of the class.
        labels: folder that infer wrote.
        annotated: annotations of both data sets instead.
        pictures: instead, the windows that the pictures in this folder show, as plot and search write them.
        recordings: a folder or list of the recordings that the pictures are of, besides the data sets.
        recording: glob on names of recordings; with a stretch, the name of one.
        stretch: instead, this stretch of a recording, s.
        min_score, max_score: of what infer found.
    """

    class_name: str
    labels: str = "data/labels"
    annotated: bool = False
    pictures: str | None = None
    recordings: str | None = None
    recording: str | None = None
    stretch: tuple[float, float] | None = None
    min_score: float = 0.0
    max_score: float = 1.0


def choose(
    choice: Choice, settings: Settings, decisions: pd.DataFrame, new_class: str | None = None
) -> Iterator[ChosenSound]:
    """The sounds about which nothing was decided yet, those that score best first, as decisions call them.

    Args:
        choice: which.
        settings: of the data sets, and the length of windows.
        decisions: the decisions table.
        new_class: what they are to be called; None: as they are.

    Raises SettingsError if the class is unknown, EarshotError as the sources of the sounds and placed.
    """
    data_sets = read_training_set(settings.data), read_test_set(settings.data)
    _check_class(new_class or choice.class_name, data_sets[0])
    if choice.stretch is not None:
        sounds = iter([_stretch(choice.recording, choice.class_name, *choice.stretch)])
    elif choice.pictures is not None:
        seconds = settings.audio.spec_duration
        sounds = pictured_sounds(choice.pictures, choice.class_name, choice.recordings, data_sets, seconds)
    elif choice.annotated:
        sounds = annotated_sounds(data_sets, choice.class_name)
    else:
        sounds = found_sounds(choice.labels, choice.class_name, choice.min_score, choice.max_score)
    return undecided(placed(sounds, data_sets), decisions, choice.recording)


def found_sounds(labels: str | Path, label: str, lowest: float, highest: float) -> Iterator[ChosenSound]:
    """What a model found of a class, best first.

    Args:
        labels: folder that infer wrote.
        label: any name or code of the class.
        lowest, highest: scores.

    Raises DataSetError if there are no results, SettingsError if they have no such class.
    """
    with ResultsStore(labels) as store:
        classes = store.manifest.class_list
        if (name := classes.resolve(label)) is None:
            raise SettingsError(f"--class {label}", f"is no class of the model of {labels}", "correct it")
        for found in store.found_sounds(classes.names.index(name), lowest, highest):
            yield ChosenSound(found.recording, Path(found.path), found.start_time, found.end_time, name, found.score)


def annotated_sounds(data_sets: Iterable[DataSet], label: str) -> Iterator[ChosenSound]:
    """The annotations of a class; label: any name or code of it. Raises SettingsError if no data set has it."""
    known = False
    for data_set in data_sets:
        classes = ClassList(data_set.classes.to_dict("records"))  # type: ignore[arg-type]
        if (name := classes.resolve(label)) is not None:
            known = True
            rows = data_set.annotations[data_set.annotations["class"] == name]
            for recording, start, end in zip(rows["recording"], rows["start_time"], rows["end_time"], strict=True):
                yield ChosenSound(recording, None, start, end, name)
    if not known:
        raise SettingsError(f"--class {label}", "is no class of the data sets", "correct it")


def pictured_sounds(
    folder: str | Path, label: str, recordings: str | Path | None, data_sets: Iterable[DataSet], seconds: float
) -> Iterator[ChosenSound]:
    """The windows that the pictures in a folder show, as plot and search write them.

    Args:
        folder: of the pictures.
        label: the class that they show.
        recordings: a folder or list of the recordings that they are of, besides the data sets.
        seconds: that a picture shows.

    Raises EarshotError if there are no pictures, or one names no recording that is known or no offset.
    """
    files = {name: path for data_set in data_sets for name, path in data_set.recordings.items()}
    files |= recordings_of(recordings)[0] if recordings is not None else {}
    finder, pictures = RecordingFinder(files), pictured_windows(folder)
    if not pictures:
        raise EarshotError(folder, "holds no pictures", "give the folder that plot or search wrote")
    for text, offset, origin in pictures:
        name = text if text in files else finder.named(text, Path(origin))
        if name not in files:
            raise EarshotError(origin, f"no such recording ({name})", "give the folder of the recordings: --recordings")
        if not offset:
            raise EarshotError(origin, "names no offset", "call it RECORDING-SECONDS.png, as plot and search do")
        yield ChosenSound(name, files[name], float(offset), float(offset) + seconds, label)


def _stretch(recording: str | None, label: str, start: float, end: float) -> ChosenSound:
    if recording is None or not 0 <= start < end:
        fault = "must be from 0 on, with the end after the start, and go with --recording"
        raise SettingsError(f"--start {start:g} --end {end:g}", fault)
    return ChosenSound(recording, None, start, end, label)


def _check_class(label: str, training_set: DataSet) -> None:
    """Raise SettingsError if training cannot have such a class: its classes.csv does not list it."""
    classes = ClassList(training_set.classes.to_dict("records"))  # type: ignore[arg-type]
    listed = training_set.folder / "classes.csv"
    if classes.resolve(label) is None and listed.is_file():
        raise SettingsError(label, f"is not in {listed}", "correct it, or add it there")


def undecided(sounds: Iterable[ChosenSound], decisions: pd.DataFrame, include: str | None) -> Iterator[ChosenSound]:
    """Those of the sounds about which nothing was decided yet, each once.

    Args:
        sounds: of any kind.
        decisions: the decisions table.
        include: glob on names of recordings; None: all.
    """
    times = decisions[["start_time", "end_time"]].round(3)
    known = set(zip(decisions["recording"], times["start_time"], times["end_time"], decisions["class"], strict=True))
    for sound in sounds:
        is_wanted = include is None or fnmatchcase(sound.recording, include)
        key = sound.recording, round(sound.start_time, 3), round(sound.end_time, 3), sound.class_name
        if is_wanted and key not in known:
            known.add(key)
            yield sound


def placed(sounds: Iterable[ChosenSound], data_sets: Iterable[DataSet]) -> Iterator[ChosenSound]:
    """Sounds as decisions call them, with a path only where their recording is in none of the data sets.

    A recording outside of the sets that is called by its folders, too, gets a name without them, since these depend on
    which other recordings there are. Raises EarshotError if another recording has the name of one of them.
    """
    files = {name: path for data_set in data_sets for name, path in data_set.recordings.items()}
    others: dict[str, Path] = {}
    for sound in sounds:
        path = sound.path
        if path is not None:
            name = sound.recording if sound.recording in files else _flat(sound.recording)
            known = files.get(name) or others.setdefault(name, path)
            if known != path and not _is_same(known, path):
                fault, remedy = f"{known} has the same name and another content", "rename one, and run infer again"
                raise EarshotError(printable(str(path)), fault, remedy)
            sound = sound._replace(recording=name, path=others.get(name))
        yield sound


def _flat(name: str) -> str:
    return name.replace("/", "_")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other) or digest_known_file(one) == digest_known_file(other)
    except OSError:  # one of them is gone, and so is what would speak against it
        return True


def sounds_text(sounds: list[ChosenSound], most: int = SHOWN) -> str:
    """Sounds as a table for a terminal, the first ones."""
    shown = sounds[:most]
    columns: dict[str, list] = {"recording": [sound.recording for sound in shown]}
    columns |= {"start": [f"{sound.start_time:.2f}" for sound in shown]}
    columns |= {"end": [f"{sound.end_time:.2f}" for sound in shown], "class": [sound.class_name for sound in shown]}
    if any(sound.score is not None for sound in shown):
        columns["score"] = [sound.score for sound in shown]
    more = f"\n... and {len(sounds) - most} more" if len(sounds) > most else ""
    return table_text(columns) + more


def copy_recordings(sounds: Iterable[ChosenSound], folder: str | Path) -> None:
    """Bring the recordings of sounds that are in no data set into a folder, under their names: links, or else copies.

    Raises EarshotError if a file there has the name and another content.
    """
    for name, path in {sound.recording: sound.path for sound in sounds if sound.path is not None}.items():
        target = Path(folder) / f"{name}{path.suffix}"
        if target.exists():
            if not _is_same(target, path):
                raise EarshotError(printable(str(path)), f"{target} is another recording", "rename one of them")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with reading(path):
            link_or_copy(Path(os.path.realpath(path)), target)
