"""Sounds that people choose to decide about: found by a model, annotated, or shown in pictures."""

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from getpass import getuser
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.config.schema import Settings
from lib.core.console import table_text
from lib.core.digests import digest_known_file
from lib.core.errors import EarshotError, SettingsError, reading
from lib.core.files import link_or_copy, printable
from lib.core.locks import sole_writer
from lib.curation.picture_names import read_about
from lib.curation.suggestion_table import read_suggestions
from lib.formats.data_sets import DataSet, read_test_set, read_training_set
from lib.results.results_store import ResultsStore
from lib.sound.classes import CLASSES_FILE, ClassList, resolved_class
from lib.sound.decisions import WAIT_SECONDS, Decision
from lib.sound.recordings import RecordingFinder, recordings_of
from lib.training_data.extractor import pictured_windows

SLACK = 1e-6
"""Seconds that rounding may add."""
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
        new_class: what it seems to be instead, as was suggested; "": nothing was.
    """

    recording: str
    path: Path | None
    start_time: float
    end_time: float
    class_name: str
    score: float | None = None
    new_class: str = ""


class Choice(NamedTuple):
    """Which sounds: those that infer found, unless `annotated`, `pictures`, `stretch` or `suggestions` is given.

    Args:
        class_name: any name or code of the class; None: that which pictures or suggestions name.
        labels: folder that infer wrote.
        annotated: annotations of both data sets.
        pictures: the windows that the pictures in this folder show, as plot and search write them.
        recordings: a folder or list of the recordings that the pictures are of, besides the data sets.
        recording: glob on names of recordings; with a stretch, the name of one.
        stretch: start and end, s.
        min_score, max_score: of what infer found.
        suggestions: table that suggest wrote.
        decision: of suggestions, those of which this or nothing is suggested.
    """

    class_name: str | None
    labels: str = "data/labels"
    annotated: bool = False
    pictures: str | None = None
    recordings: str | None = None
    recording: str | None = None
    stretch: tuple[float, float] | None = None
    min_score: float = 0.0
    max_score: float = 1.0
    suggestions: str | None = None
    decision: str = ""

    @property
    def named_class(self) -> str:
        """The class. Raises SettingsError if there is none."""
        if self.class_name is None:
            raise SettingsError("decide", "needs --class, to say what it is about")
        return self.class_name


def choose(choice: Choice, settings: Settings, decisions: pd.DataFrame, becomes: str | None) -> Iterator[ChosenSound]:
    """The sounds that a choice means, those that score best first, named as decisions name them.

    What infer found and what is annotated comes once, and is left out where more than half of it was decided about.

    Args:
        choice: which.
        settings: of the data sets, and the length of windows.
        decisions: the decisions table.
        becomes: the class that they become or are confirmed to be; None: none.

    Raises SettingsError if the choice means nothing, or if training has no such class; EarshotError if a recording is
    missing, or is called as another one.
    """
    sources = [name for name in ("annotated", "pictures", "stretch", "suggestions") if getattr(choice, name)]
    if len(sources) > 1:
        raise SettingsError(f"--{sources[0]}, --{sources[1]}", "exclude each other", "give one of them")
    train = read_training_set(settings.data, settings.extract.min_seconds)
    data_sets = train, read_test_set(settings.data, settings.evaluate.min_seconds)
    if becomes is not None:
        check_class(becomes, data_sets[0])
    files = {name: path for data_set in data_sets for name, path in data_set.recordings.items()}
    if choice.stretch is not None:
        return iter([_stretch(choice, files.keys())])
    if choice.pictures is not None:
        pictured = pictured_sounds(choice, files, settings.audio.spec_duration)
        return named_in_data_sets(_of_recordings(pictured, choice.recording), data_sets)
    if choice.suggestions is not None:
        sounds = suggested_sounds(choice, data_sets)
    else:
        sounds = annotated_sounds(data_sets, choice.named_class) if choice.annotated else found_sounds(choice)
    named = named_in_data_sets(_of_recordings(sounds, choice.recording), data_sets)
    return without_decided(named, decisions)


def found_sounds(choice: Choice) -> Iterator[ChosenSound]:
    """What a model found of a class, best first.

    Raises DataSetError if there are no results, SettingsError if they have no such class.
    """
    with ResultsStore(choice.labels) as store:
        classes = store.manifest.class_list
        name = resolved_class(classes, choice.named_class, f"the model of {choice.labels}")
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
    """What the pictures in a folder show: of the class of the choice, or without one each of the class that it names.

    Of pictures that name classes, only those of the choice's are taken.

    Args:
        choice: names the folder, and recordings besides those of the data sets.
        files: of the data sets.
        seconds: that a picture shows, unless it says so.

    Raises EarshotError if there are no pictures, or one names no recording that is known or no offset, and
    SettingsError if no class is named.
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
        about = read_about(origin)
        if choice.class_name and about.class_name not in ("", choice.class_name):
            continue
        start = float(offset)
        end = about.end_time if about.end_time > start else start + seconds
        yield ChosenSound(name, known[name], start, end, about.class_name or choice.named_class)


def suggested_sounds(choice: Choice, data_sets: Iterable[DataSet]) -> Iterator[ChosenSound]:
    """The suggestions of a table that are of the class of the choice, and of which its decision or none is suggested.

    Raises DataSetError if there is no such table, SettingsError if a row names no class and the choice none.
    """
    files = {name: path for data_set in data_sets for name, path in data_set.recordings.items()}
    for one in read_suggestions(str(choice.suggestions)):
        is_of_class = choice.class_name is None or one.class_name in ("", choice.class_name)
        if is_of_class and one.decision in ("", choice.decision):
            path = Path(one.path) if one.path else files.get(one.recording)
            if path is None:
                fault, remedy = "is in neither data set", "run suggest again"
                raise EarshotError(f"{choice.suggestions}: {one.recording}", fault, remedy)
            about = one.recording, path, one.start_time, one.end_time, one.class_name or choice.named_class
            yield ChosenSound(*about, one.score if 0 <= one.score <= 1 else None, one.new_class)


def _stretch(choice: Choice, names: Iterable[str]) -> ChosenSound:
    start, end = choice.stretch or (0.0, 0.0)
    if choice.recording is None or not 0 <= start < end:
        fault = "must be from 0 on, with the end after the start, and go with --recording"
        raise SettingsError(f"--start {start:g} --end {end:g}", fault)
    if choice.recording not in names:
        remedy = "correct the name, or decide about what infer found in it, or about pictures"
        raise SettingsError(f"--recording {choice.recording}", "is in neither data set", remedy)
    return ChosenSound(choice.recording, None, start, end, choice.named_class)


def _of_recordings(sounds: Iterable[ChosenSound], include: str | None) -> Iterator[ChosenSound]:
    return (sound for sound in sounds if include is None or fnmatchcase(sound.recording, include))


def _classes_of(data_set: DataSet) -> ClassList:
    return ClassList(data_set.classes.to_dict("records"))  # type: ignore[arg-type]


def check_class(label: str, training_set: DataSet) -> None:
    """Raise SettingsError if training cannot have such a class: its classes.csv does not list it."""
    listed = training_set.folder / CLASSES_FILE
    if _classes_of(training_set).resolve(label) is None and listed.is_file():
        raise SettingsError(label, f"is not in {listed}", "correct it, or add it there")


def without_decided(sounds: Iterable[ChosenSound], decisions: pd.DataFrame) -> Iterator[ChosenSound]:
    """Those of the sounds of which at most half was decided about, as of a neighbouring window, each once.

    decisions: the decisions table.
    """
    decided: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, start, end, label in decisions[["recording", "start_time", "end_time", "class"]].itertuples(index=False):
        decided.setdefault((name, label), []).append((start, end))
    yielded = set[tuple]()
    for sound in sounds:
        key = sound.recording, sound.class_name
        half = min(sound.end_time - sound.start_time, 2**40) / 2 + SLACK
        stretches = decided.get(key, ())
        is_decided = any(min(sound.end_time, end) - max(sound.start_time, start) > half for start, end in stretches)
        if not is_decided and (*key, sound.start_time, sound.end_time) not in yielded:
            yielded.add((*key, sound.start_time, sound.end_time))
            yield sound


class DecisionNames:
    """What recordings are called in decisions.

    Recordings are the same where their content is, whatever they are called and wherever they lie. One that is in none
    of the sets and is called by its folders, too, gets a name without a slash.
    """

    def __init__(self, data_sets: Sequence[DataSet]) -> None:
        self._names, self._known = dict[str, str](), dict[Path, tuple[str, Path | None]]()
        self._contents: dict[str, str] = {}
        """Content of each recording that a name means, by name; "" where it means several."""
        for data_set in data_sets:
            for name, content in data_set.contents.items():
                self._names.setdefault(content, name)
                self._add(data_set.recordings[name], content, name, None)

    def _add(self, path: Path, content: str, name: str, outside: Path | None) -> None:
        self._known[path] = name, outside
        self._contents[name] = content if self._contents.get(name, content) == content else ""

    def of(self, recording: str, path: Path) -> tuple[str, Path | None]:
        """The name of a recording, and its path if it is in none of the data sets.

        Args:
            recording: what it is called where it was found.
            path: its file.

        Raises EarshotError if its name is that of another recording, or if it is no longer there.
        """
        if path not in self._known:
            with reading(path):
                content = digest_known_file(path)
            name = self._names.get(content) or recording.replace("/", "_")
            self._add(path, content, name, None if content in self._names else path)
        name, outside = self._known[path]
        if not self._contents[name]:
            fault, remedy = f"another recording is called {name}, too", "rename one of them, and run infer again"
            raise EarshotError(printable(str(path)), fault, remedy)
        return name, outside


def named_in_data_sets(sounds: Iterable[ChosenSound], data_sets: Sequence[DataSet]) -> Iterator[ChosenSound]:
    """Sounds named as decisions name them, with a path only where their recording is in none of the data sets.

    Raises EarshotError as DecisionNames.of does.
    """
    names = DecisionNames(data_sets)
    for sound in sounds:
        if sound.path is not None:
            name, outside = names.of(sound.recording, sound.path)
            sound = sound._replace(recording=name, path=outside)
        yield sound


def as_decision(sound: ChosenSound, kind: str, becomes: str | None, by: str, reason: str) -> Decision:
    """What is decided about a sound, with a moment still to come.

    becomes: with relabel, the class that it is, None: the suggested one; with accept, one that sounds there, too.
    Raises SettingsError if a sound is to be relabelled as nothing.
    """
    label = becomes if kind == "accept" and becomes else sound.class_name
    new_class = becomes or sound.new_class if kind == "relabel" else ""
    if kind == "relabel" and not new_class:
        raise SettingsError("decide relabel", f"needs --to, for {sound.recording} at {sound.start_time:g} s")
    return Decision(sound.recording, sound.start_time, sound.end_time, label, kind, new_class, by, "", reason)


def sounds_text(sounds: list[ChosenSound], most: int = SHOWN) -> str:
    """Sounds as a table for a terminal, the first ones."""
    shown = sounds[:most]
    columns: dict[str, list] = {"recording": [sound.recording for sound in shown]}
    columns |= {"start": [f"{sound.start_time:.2f}" for sound in shown]}
    columns |= {"end": [f"{sound.end_time:.2f}" for sound in shown], "class": [sound.class_name for sound in shown]}
    if any(sound.new_class for sound in shown):
        columns["new class"] = [sound.new_class for sound in shown]
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
        target.parent.mkdir(parents=True, exist_ok=True)
        with sole_writer(target, WAIT_SECONDS):  # two people may decide about the same recording
            if not target.exists():
                with reading(path):
                    link_or_copy(Path(os.path.realpath(path)), target)
                copies.append(target)
            elif digest_known_file(target) != digest_known_file(path):
                raise EarshotError(printable(str(path)), f"{target} is another recording", "rename one of them")
    return copies


def current_user() -> str:
    """Name of the user who runs this, by which decisions are signed; "" if it is not known."""
    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
