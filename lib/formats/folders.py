"""Format `folders`: a folder for each class, of recordings that belong to the class from start to end."""

from pathlib import Path

from lib.core.errors import Problem
from lib.core.files import printable
from lib.formats import READERS, Annotated, Reader
from lib.sound.annotations import AnnotationRow, annotation_table, whole_recording
from lib.sound.recordings import find_recordings


def _recognizes(folder: Path) -> bool:
    if (folder / "recordings").is_dir():  # of format segments, without its annotations
        return False
    children = (child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    return any(find_recordings(child)[0] for child in children)


def _read(folder: Path, include: str | None) -> Annotated:
    recordings, problems = find_recordings(folder, include)
    rows: list[AnnotationRow] = []
    for name, file in list(recordings.items()):
        class_name, *others = file.relative_to(folder).parts
        if others:
            rows.append(whole_recording(name, printable(class_name), str(file)))
        else:
            del recordings[name]
            remedy = f"move it to {printable(str(folder))}/<class>/"
            problems.append(Problem(printable(str(file)), "is in no class folder, so it has no class", remedy))
    return Annotated(recordings, annotation_table(rows), problems)


READERS.register("folders", Reader(9, "a folder for each class", _recognizes, _read))
