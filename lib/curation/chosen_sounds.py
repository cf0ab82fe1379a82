"""Sounds that people choose to decide about: found by a model, annotated, or shown in pictures."""

import os
from collections.abc import Iterable, Iterator, Sequence
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
from lib.sound.classes import CLASSES_FILE, ClassList
from lib.sound.decisions import Decision
from lib.sound.recordings import RecordingFinder, recordings_of
from lib.training_data.extractor import pictured_windows

SHOWN = 20
"""Rows of a table on a terminal."""
RECORDINGS = "recordings"
"""The folder in data.reviewed that recordings are brought to, which `dvc add` takes as a whole."""


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


class Choice(NamedTuple):
    """Which sounds: those that infer found, unless one of `annotated`, `pictures` and `stretch` is given.

    Args:
        class_name: any name or code of the class.
        labels: folder that infer wrote.
        annotated: annotations of both data sets.
        pictures: the windows that the pictures in this folder show, as plot and search write them.
        recordings: a folder or list of the recordings that the pictures are of, besides the data sets.
        recording: glob on names of recordings; with a stretch, the name of one.
        stretch: start and end, s.
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


def choose(choice: Choice, settings: Settings, decisions: pd.DataFrame, becomes: str | None) -> Iterator[ChosenSound]:
    """The sounds that a choice means, those that score best first, named as decisions name them.

    What infer found and what is annotated comes once: where something was decided about half of it, it is left out.

    Args:
        choice: which.
        settings: of the data sets, and the length of windows.
        decisions: the decisions table.
        becomes: the class that they become or are confirmed to be; None: none.

    Raises SettingsError if the choice means nothing, or if training has no such class; EarshotError if a recording is
    missing, or is called as another one.
    """
    sources = [name for name in ("annotated", "pictures", "stretch") if getattr(choice, name)]
    if len(sources) > 1:
        raise SettingsError(f"--{sources[0]}, --{sources[1]}", "exclude each other", "give one of them")
    data_sets = read_training_set(settings.data), read_test_set(settings.data)
    if becomes is not None:
        _check_class(becomes, data_sets[0])
    files = {name: path for data_set in data_sets for name, path in data_set.recordings.items()}
    if choice.stretch is not None:
        return iter([_stretch(choice, files.keys())])
    if choice.pictures is not None:
        pictured = pictured_sounds(choice, files, settings.audio.spec_duration)
        return named_in_data_sets(_of_recordings(pictured, choice.recording), data_sets)
    sounds = annotated_sounds(data_sets, choice.class_name) if choice.annotated else found_sounds(choice)
    named = named_in_data_sets(_of_recordings(sounds, choice.recording), data_sets)
    return without_decided(named, decisions)


def found_sounds(choice: Choice) -> Iterator[ChosenSound]:
    """What a model found of a class, best first.

    Raises DataSetError if there are no results, SettingsError if they have no such class.
    """
    with ResultsStore(choice.labels) as store:
        classes = store.manifest.class_list
        if (name := classes.resolve(choice.class_name)) is None:
            fault = f"is no class of the model of {choice.labels}"
            raise SettingsError(f"--class {choice.class_name}", fault, "correct it")
        for found in store.found_sounds(classes.names.index(name), choice.min_score, choice.max_score):
            yield ChosenSound(found.recording, Path(found.path), found.start_time, found.end_time, name, found.score)


def annotated_sounds(data_sets: Iterable[DataSet], label: str) -> Iterator[ChosenSound]:
    """The annotations of a class; label: any name or code of it. Raises SettingsError if no data set has it."""
    is_known = False
    for data_set in data_sets:
        if (name := _classes_of(data_set).resolve(label)) is not None:
            is_known = True
            rows = data_set.annotations[data_set.annotations["class"] == name]
            for recording, start, end in zip(rows["recording"], rows["start_time"], rows["end_time"], strict=True):
                yield ChosenSound(recording, data_set.recordings[recording], start, end, name)
    if not is_known:
        raise SettingsError(f"--class {label}", "is no class of the data sets", "correct it")


def pictured_sounds(choice: Choice, files: dict[str, Path], seconds: float) -> Iterator[ChosenSound]:
    """The windows that the pictures in a folder show, of the class of the choice.

    Args:
        choice: names the folder, and recordings besides those of the data sets.
        files: of the data sets.
        seconds: that a picture shows.

    Raises EarshotError if there are no pictures, or one names no recording that is known or no offset.
    """
    known = files | (recordings_of(choice.recordings)[0] if choice.recordings is not None else {})
    finder, pictures = RecordingFinder(known), pictured_windows(str(choice.pictures))
    if not pictures:
        raise EarshotError(choice.pictures, "holds no pictures", "give the folder that plot or search wrote")
    for text, offset, origin in pictures:
        name = text if text in known else finder.named(text, Path(origin))
        if name not in known:
            raise EarshotError(origin, f"no such recording ({name})", "give the folder of the recordings: --recordings")
        if not offset:
            raise EarshotError(origin, "names no offset", "call it RECORDING-SECONDS.png, as plot and search do")
        yield ChosenSound(name, known[name], float(offset), float(offset) + seconds, choice.class_name)


def _stretch(choice: Choice, names: Iterable[str]) -> ChosenSound:
    start, end = choice.stretch or (0.0, 0.0)
    if choice.recording is None or not 0 <= start < end:
        fault = "must be from 0 on, with the end after the start, and go with --recording"
        raise SettingsError(f"--start {start:g} --end {end:g}", fault)
    if choice.recording not in names:
        remedy = "correct the name, or decide about what infer found in it, or about pictures"
        raise SettingsError(f"--recording {choice.recording}", "is in neither data set", remedy)
    return ChosenSound(choice.recording, None, start, end, choice.class_name)


def _of_recordings(sounds: Iterable[ChosenSound], include: str | None) -> Iterator[ChosenSound]:
    return (sound for sound in sounds if include is None or fnmatchcase(sound.recording, include))


def _classes_of(data_set: DataSet) -> ClassList:
    return ClassList(data_set.classes.to_dict("records"))  # type: ignore[arg-type]


def _check_class(label: str, training_set: DataSet) -> None:
    """Raise SettingsError if training cannot have such a class: its classes.csv does not list it."""
    listed = training_set.folder / CLASSES_FILE
    if _classes_of(training_set).resolve(label) is None and listed.is_file():
        raise SettingsError(label, f"is not in {listed}", "correct it, or add it there")


def without_decided(sounds: Iterable[ChosenSound], decisions: pd.DataFrame) -> Iterator[ChosenSound]:
    """Those of the sounds of which less than half was decided about, each once.

    decisions: the decisions table.
    """
    decided: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, start, end, label in decisions[["recording", "start_time", "end_time", "class"]].itertuples(index=False):
        decided.setdefault((name, label), []).append((start, end))
    yielded = set[tuple]()
    for sound in sounds:
        key = sound.recording, sound.class_name
        half = min(sound.end_time - sound.start_time, 2**40) / 2
        stretches = decided.get(key, ())
        is_decided = any(min(sound.end_time, end) - max(sound.start_time, start) >= half for start, end in stretches)
        if not is_decided and (*key, sound.start_time, sound.end_time) not in yielded:
            yielded.add((*key, sound.start_time, sound.end_time))
            yield sound


def named_in_data_sets(sounds: Iterable[ChosenSound], data_sets: Sequence[DataSet]) -> Iterator[ChosenSound]:
    """Sounds named as decisions name them, with a path only where their recording is in none of the data sets.

    Recordings are the same where their content is, whatever they are called and wherever they lie. One that is in none
    of the sets and is called by its folders, too, gets a name without a slash.

    Raises EarshotError if its name is that of another recording, or if it is no longer there.
    """
    contents, known = dict[str, str](), dict[Path, tuple[str, Path | None]]()
    of_name: dict[str, str] = {}
    for data_set in data_sets:
        for name, content in data_set.contents.items():
            contents.setdefault(content, name)
            known[data_set.recordings[name]] = name, None
            of_name[name] = content if of_name.get(name, content) == content else ""
    for sound in sounds:
        path = sound.path
        if path is not None:
            if path not in known:
                with reading(path):
                    content = digest_known_file(path)
                name = contents.get(content) or sound.recording.replace("/", "_")
                known[path] = name, None if content in contents else path
                of_name[name] = content if of_name.get(name, content) == content else ""
            name, outside = known[path]
            if not of_name[name]:
                fault, remedy = f"another recording is called {name}, too", "rename one of them, and run infer again"
                raise EarshotError(printable(str(path)), fault, remedy)
            sound = sound._replace(recording=name, path=outside)
        yield sound


def as_decision(sound: ChosenSound, kind: str, becomes: str | None, by: str, reason: str) -> Decision:
    """What is decided about a sound, with a moment still to come.

    becomes: with relabel, the class that it is; with accept, one that sounds there, too.
    """
    label = becomes if kind == "accept" and becomes else sound.class_name
    about = sound.recording, sound.start_time, sound.end_time, label
    return Decision(*about, kind, becomes or "" if kind == "relabel" else "", by, "", reason)


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


def copy_recordings(sounds: Iterable[ChosenSound], reviewed: str | Path) -> list[Path]:
    """Bring the recordings of sounds that are in no data set to a folder in data.reviewed: links, or else copies.

    Returns the files that are new there. Raises EarshotError if one there has the name and another content.
    """
    copies = []
    for name, path in {sound.recording: sound.path for sound in sounds if sound.path is not None}.items():
        target = Path(reviewed) / RECORDINGS / f"{name}{path.suffix}"
        if target.exists():
            if digest_known_file(target) != digest_known_file(path):
                raise EarshotError(printable(str(path)), f"{target} is another recording", "rename one of them")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with reading(path):
            link_or_copy(Path(os.path.realpath(path)), target)
        copies.append(target)
    return copies
