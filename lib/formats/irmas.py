"""Formats `irmastrain` and `irmastest`: clips laid out like the two parts of IRMAS (Bosch et al. 2012, ISMIR).

irmastrain: a clip's class stands in brackets in its file name, `[cel][dru][cla]0004__2.wav`, perhaps behind other text.
Further brackets tell whether there are drums (dru, nod) and which genre it is; they are classes, too, if classes.csv
lists them.

irmastest: beside a clip lies a text file of its name, which lists the classes of the clip, one a line. Clips whose text
cannot be read are left out: nobody knows what they hold. The format is recognized if there is such a text for each clip
and each of their lines is a single word, such as IRMAS's codes; otherwise it must be asked for, since texts beside
recordings may be labels with times, or notes.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lib.core.errors import DataSetError, Problem
from lib.core.files import printable, walk_files
from lib.formats import READERS, Annotated, Reader
from lib.formats.annotation_files import lines_of
from lib.sound.annotations import AnnotationRow, annotation_table, whole_recording
from lib.sound.classes import ClassList, read_class_table
from lib.sound.recordings import SUFFIXES, find_recordings

BRACKETS = re.compile(r"\[([^\[\]]+)\]")
WORD = re.compile(r"[^\W\d][\w-]*")


def _all_clips(folder: Path, is_of_format: Callable[[Path], bool]) -> bool:
    """Whether a folder has clips, all of a format; the first that is not ends the search."""
    answers = (is_of_format(file) for file in walk_files(folder) if file.suffix.lower() in SUFFIXES)
    return next(answers, False) and all(answers)


def _recognizes_train(folder: Path) -> bool:
    return _all_clips(folder, lambda clip: len(BRACKETS.findall(clip.stem)) > 1)


def _read_train(folder: Path, include: str | None) -> Annotated:
    recordings, problems = find_recordings(folder, include)
    listed = ClassList(read_class_table(folder, [])[0].to_dict("records"))  # type: ignore[arg-type]
    rows: list[AnnotationRow] = []
    for name, file in list(recordings.items()):
        names = [printable(text) for text in BRACKETS.findall(file.stem)]
        if not names:
            del recordings[name]
            remedy = "name it like [cel][dru][cla]0004__2.wav"
            problems.append(Problem(printable(str(file)), "has no class in brackets in its name", remedy))
        for position, text in enumerate(names):
            if position == 0 or listed.resolve(text):
                rows.append(whole_recording(name, text, str(file)))
    return Annotated(recordings, annotation_table(rows), problems)


def _recognizes_test(folder: Path) -> bool:
    return _all_clips(folder, _has_list_of_words)


def _has_list_of_words(clip: Path) -> bool:
    with suppress(DataSetError):
        lines = [line.strip() for _, line in lines_of(clip.with_suffix(".txt"))]
        return bool(lines) and all(map(WORD.fullmatch, lines))
    return False


def _read_test(folder: Path, include: str | None) -> Annotated:
    recordings, problems = find_recordings(folder, include)
    rows: list[AnnotationRow] = []
    for name, file in list(recordings.items()):
        text = file.with_suffix(".txt")
        try:
            lines = [(number, line.strip()) for number, line in lines_of(text)]
        except DataSetError as error:
            del recordings[name]
            problems.append(error.problem())
            continue
        rows += [whole_recording(name, line, f"{text}:{number}") for number, line in lines]
    return Annotated(recordings, annotation_table(rows), problems)


READERS.register("irmastrain", Reader(7, "clips with classes in brackets", _recognizes_train, _read_train))
READERS.register(
    "irmastest", Reader(8, "clips with a list of classes, a word each, beside them", _recognizes_test, _read_test)
)
