"""Recordings and data sets that requests name by their paths below serve.data_dir."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lib.config.schema import DataSetSettings
from lib.core.errors import EarshotError
from lib.formats import READERS
from lib.formats.data_sets import DataSet, read_data_set
from lib.server.answers import unprocessable
from lib.server.deadlines import in_time
from lib.server.public_text import public_line, shown_name
from lib.server.served_folder import ServedFolder
from lib.sound.classes import ClassList
from lib.sound.recordings import Recordings, recordings_of

LISTED_AT_A_TIME = 4
Listed = TypeVar("Listed")


class TypedDataSetPath(BaseModel):
    """A data set below serve.data_dir, and how its labels are stored (see GET /dataset-types)."""

    dataset_type: str = Field(max_length=100)
    dataset_path: str = Field(max_length=4096)


class LabelledRecordings(NamedTuple):
    """Recordings by name, and which classes of a model are present in each, bool (n_classes,)."""

    recordings: Recordings
    truths: dict[str, np.ndarray]


class ServedData:
    """What is below a folder. What is not there, or cannot be used, is an HTTPException.

    Recordings that links to folders elsewhere lead to are left out: even their names are not for clients.

    Args:
        folder: that is served.
        seconds: that listing recordings and reading labels may take.
    """

    def __init__(self, folder: ServedFolder, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        self._threads = ThreadPoolExecutor(LISTED_AT_A_TIME, "listing")  # a slow disk must not stop uploads, too

    async def _listed(self, list_what: Callable[[Path], Listed], path: str) -> Listed:
        """What that makes of the folder or table at a path."""
        place = self._place(path)
        loop = asyncio.get_running_loop()
        try:
            return await in_time(loop.run_in_executor(self._threads, list_what, place), self._seconds)
        except EarshotError as error:
            raise unprocessable([], self.line(error, path)) from None
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            raise unprocessable([], self.line(EarshotError("", reason, "tell who runs the server"), path)) from None

    def _ours(self, recordings: Recordings) -> Recordings:
        """Without those in folders elsewhere that links lead to; what a table names itself may be told of."""
        return {
            name: file
            for name, file in recordings.items()
            if not file.is_relative_to(self._folder.root) or self._folder.holds(file.parent)
        }

    def _place(self, path: str) -> Path:
        place = self._folder.find(path)
        if place is None or not (place.is_dir() or place.suffix == ".csv"):
            raise HTTPException(404, "no such folder")
        return place

    def line(self, error: EarshotError, name: str) -> str:
        """What a client is told of an error about something that it calls by that name."""
        return public_line(error, name, [self._folder.path])

    async def recordings(self, paths: list[str]) -> Recordings:
        """Those below folders, or listed in tables (.csv), by name."""
        parts = list[tuple[str, Recordings]]()
        for path in paths:
            parts.append((path, await self._listed(lambda place: self._ours(recordings_of(place)[0]), path)))
        return _named_apart(parts)

    async def labelled_recordings(self, data_sets: list[TypedDataSetPath], classes: ClassList) -> LabelledRecordings:
        """Those of data sets, with the classes of a model that are annotated somewhere in each."""
        parts, truths = list[tuple[str, Recordings]](), dict[Path, np.ndarray]()
        for entry in data_sets:
            if entry.dataset_type not in READERS:
                known = ", ".join(READERS)
                raise unprocessable([], f"{shown_name(entry.dataset_type)}: must be a type with labels: {known}")

            def truths_of(place: Path, kind: str = entry.dataset_type) -> tuple[Recordings, dict[Path, np.ndarray]]:
                data_set = read_data_set(DataSetSettings(path=str(place), format=kind))
                return self._ours(data_set.recordings), _clip_truths(data_set, classes)

            found, known_truths = await self._listed(truths_of, entry.dataset_path)
            parts.append((entry.dataset_path, found))
            truths |= known_truths
        recordings = _named_apart(parts)
        return LabelledRecordings(recordings, {name: truths[file] for name, file in recordings.items()})

    def split(self, recordings: Recordings) -> tuple[Recordings, list[str]]:
        """Those that lie below the folder, and the names of the others, to which links or tables lead."""
        inside = {name: file for name, file in recordings.items() if self._folder.holds(file)}
        return inside, [name for name in recordings if name not in inside]


def _named_apart(parts: list[tuple[str, Recordings]]) -> Recordings:
    """Recordings of several places by name, and by place, too, where names would be the same; each of them once."""
    named: Recordings = {}
    seen = set[Path]()
    for place, recordings in parts:
        for name, file in recordings.items():
            if file in seen:
                continue
            seen.add(file)
            named[name if name not in named else f"{place.rstrip('/')}/{name}"] = file
    return named


def _clip_truths(data_set: DataSet, classes: ClassList) -> dict[Path, np.ndarray]:
    """Which classes are present in each recording, bool (n_classes,): those that are annotated anywhere in it."""
    truths = {name: np.zeros(len(classes), bool) for name in data_set.recordings}
    rows = data_set.annotations
    for recording, column in zip(rows["recording"], classes.indices(rows["class"]), strict=True):
        if column >= 0:
            truths[recording][column] = True
    return {file: truths[name] for name, file in data_set.recordings.items()}
