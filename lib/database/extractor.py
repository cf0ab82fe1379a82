"""Windows of recordings that hold one class, chosen by hand, into the training database.

For whole data sets with annotations there is lib.database.extraction; this is for clips of one class, and for windows
that somebody picked: listed in a CSV file, or as pictures left over in a folder.
"""

import filecmp
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from lib import config
from lib.audio import reader
from lib.audio.spectrogram import recording_windows, recording_windows_at
from lib.audio.windows import window_starts
from lib.console import progress
from lib.database import schema
from lib.database.codec import encode
from lib.database.extraction import SHORT
from lib.database.provider import TrainingDataProvider
from lib.database.spec_groups import WINDOWS_AT_ONCE, claim_group, reading
from lib.database.training_database import TrainingDatabase
from lib.datasets.label_files import Finder
from lib.datasets.tables import read_csv
from lib.errors import AudioError, EarshotError, Problem, SettingsError
from lib.files import atomic, printable
from lib.parallel import map_streams, n_workers

SAME_OFFSET = 0.005
"""Seconds, at most, between the offsets of what counts as one segment: names of pictures are rounded to hundredths."""
PICTURE = re.compile(r"(?:\d+~)?(.+)[-_](\d+(?:\.\d+)?)(?:-seg\d+)?(?:~\d+(?:\.\d+)?)?")
"""`NAME-OFFSET`, as plots and results of a search are called; `RANK~NAME-OFFSET~SCORE`, as errors are."""
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

logger = logging.getLogger(__name__)


class Extractor:
    """Cuts windows out of recordings and stores their spectrograms as ones of a class.

    db: an open database. class_name: of the class, which is inserted if missing, with class_code and the category
    cat_name (None: `default`). src_name: source of the recordings; None: as their names tell, such as Xeno-Canto for
    XC123.mp3, else `default`. overlap: seconds that neighbouring windows share in extract_all; None:
    cfg.extract.overlap. spec_group: name of the spectrogram group; None: `default`. cfg: settings; None: get_config().

    problems: a Problem for each recording or window that was passed over; each is a line in the log, too.
    Raises EarshotError if the group holds spectrograms of other audio settings: choose another group for these.

    A segment that the database has already gets the class and the spectrogram that it lacks. Recordings are read in
    threads, in constant memory; each enters the database as a whole or not at all.
    """

    def __init__(
        self,
        db: TrainingDatabase,
        class_name: str,
        class_code: str | None = None,
        cat_name: str | None = None,
        src_name: str | None = None,
        overlap: float | None = None,
        spec_group: str | None = None,
        cfg: config.Settings | None = None,
    ) -> None:
        cfg = cfg or config.get_config()
        self.audio = cfg.audio.checked()
        self.overlap = cfg.extract.overlap if overlap is None else overlap
        if not 0 <= self.overlap < self.audio.spec_duration:
            name = "extract.overlap" if overlap is None else "overlap"
            raise SettingsError(f"{name} = {self.overlap:g}: must be from 0 to below {self.audio.spec_duration:g} s")
        self.db, self.class_name, self.class_code, self.src_name = db, class_name, class_code, src_name
        self.cat_name = cat_name or schema.DEFAULT
        self.spec_group = spec_group or schema.DEFAULT
        self.problems: list[Problem] = []
        self._workers = n_workers(cfg.extract.workers)
        self._provider = TrainingDataProvider(db)
        with db.transaction():
            self._group_id = claim_group(db, self.spec_group, self.audio)
            self._class_id = self._provider.class_id(class_name, class_code, self._provider.category_id(self.cat_name))

    def extract_all(self, dir_path: str | Path) -> int:
        """Extract all windows of the recordings in a folder and its subfolders.

        Recordings of which the group has all windows as ones of this class already are skipped. Returns the number of
        spectrograms inserted. Raises EarshotError if there is no such folder.
        """
        stored: dict[int, _Recording] = {}
        rows = self.db.get_spectrogram_by_class(self.class_name, include_value=False, spec_group=self.spec_group)
        for row in rows:
            if row.recording_id not in stored:
                stored[row.recording_id] = self._known(row.recording_id)
            stored[row.recording_id].add(row.offset, row.segment_id)
        recordings = self.db.get_recording_by_class(self.class_name)
        paths = {row.path for row in recordings if row.id in stored and self._is_whole(stored[row.id], row.seconds)}
        files = [file.resolve() for file in reader.recording_files(dir_path)]
        return self._insert_all([_Task(file, file, None) for file in files if printable(str(file)) not in paths])

    def extract_by_csv(self, rec_dir: str | Path, csv_path: str | Path, dest_dir: str | Path | None = None) -> int:
        """Extract the windows that a CSV file lists.

        Args:
            rec_dir: folder of the recordings.
            csv_path: file with the columns `recording` (name with or without suffix) and `offset` (s).
            dest_dir: copy the recordings that are used to this folder, and let the database refer to them there.

        Returns the number of spectrograms inserted. Raises EarshotError if the file or a column is missing.
        """
        rows = read_csv(Path(csv_path), ["recording", "offset"])
        chosen = zip(rows["recording"], rows["offset"], (f"{csv_path}:{line}" for line in rows.index), strict=True)
        return self._insert_chosen(rec_dir, list(chosen), dest_dir)

    def extract_by_image(self, rec_dir: str | Path, spec_dir: str | Path, dest_dir: str | Path | None = None) -> int:
        """Extract the windows of which there are pictures in a folder.

        The pictures (PNG or JPEG) are those that the verbs plot and search write, `NAME-OFFSET.png`, or plot --errors,
        `RANK~NAME-OFFSET~SCORE.png`; delete those that are not wanted first.

        Args:
            rec_dir: folder of the recordings.
            spec_dir: folder of the pictures. Those in its subfolders count, too; where several recordings share a name,
                the one is meant whose folder is called so.
            dest_dir: copy the recordings that are used to this folder, and let the database refer to them there.

        Returns the number of spectrograms inserted. Raises EarshotError if a folder is missing.
        """
        if not Path(spec_dir).is_dir():
            raise EarshotError(f"{spec_dir}: no such folder; give the one that holds the pictures")
        chosen = []
        for file in sorted(Path(spec_dir).rglob("*")):
            if file.suffix.lower() in PICTURE_SUFFIXES:
                match = PICTURE.fullmatch(file.stem)
                name, offset = match.groups() if match else (file.stem, "")
                name = (file.relative_to(spec_dir).parent / name).as_posix()
                chosen.append((name, offset, printable(str(file))))
        if not chosen:
            self._pass_over([Problem(str(spec_dir), "holds no pictures", "give the folder that plot or search wrote")])
        return self._insert_chosen(rec_dir, chosen, dest_dir)

    def insert_spectrograms(self, recording_path: str | Path, offsets: Iterable[float]) -> int:
        """Insert the windows of a recording that start at these offsets (s).

        Returns the number of spectrograms inserted. Raises AudioError if the recording cannot be read.
        """
        path = Path(recording_path).resolve()
        task = _Task(path, path, sorted(set(map(float, offsets))))
        try:
            with self.db.transaction():
                return self._insert(task, self._windows(task))
        except AudioError as error:
            raise AudioError(f"{recording_path}: {error}") from None

    def _insert_chosen(
        self, rec_dir: str | Path, chosen: list[tuple[str, str, str]], dest_dir: str | Path | None
    ) -> int:
        """Insert windows given by the name of a recording, an offset, and where both were found."""
        if not Path(rec_dir).is_dir():
            raise EarshotError(f"{rec_dir}: no such folder; give the one that holds the recordings")
        files, problems = reader.find_recordings(rec_dir)
        finder = Finder(files)
        offsets: dict[str, set[float]] = {}
        for name, text, place in chosen:
            name = name if name in files else finder.named(name, Path(place))
            offset = _seconds(text)
            if offset is None:
                problems.append(Problem(place, "names no offset", "give seconds from the start of the recording"))
            elif name not in files and finder.is_shared(name):
                problems.append(Problem(place, f"several recordings are called {name}", "give the folder, too"))
            elif name not in files:
                problems.append(
                    Problem(place, f"no such recording ({name})", f"add it to {rec_dir} or correct the name")
                )
            else:
                offsets.setdefault(name, set()).add(offset)
        self._pass_over(problems)
        tasks = []
        for name in sorted(offsets):
            file = files[name].resolve()
            copy = file if dest_dir is None else Path(dest_dir).resolve() / files[name].relative_to(rec_dir)
            tasks.append(_Task(file, copy, sorted(offsets[name])))
        return self._insert_all(tasks)

    def _insert_all(self, tasks: list["_Task"]) -> int:
        n_inserted = 0
        if not tasks:
            return n_inserted
        for task, windows in progress(map_streams(self._windows, tasks, self._workers), "extract", total=len(tasks)):
            try:
                with self.db.transaction():
                    n_inserted += self._insert(task, windows)
            except AudioError as error:
                self._pass_over([error.problem(task.source)])
        return n_inserted

    def _windows(self, task: "_Task") -> Iterator["_Window"]:
        """The windows of a recording, compressed. Raises AudioError."""
        with reading():
            yield from self._read(task)

    def _read(self, task: "_Task") -> Iterator["_Window"]:
        if task.offsets is None:
            hop, least = self.audio.spec_duration - self.overlap, 0.0
            batches = recording_windows(task.source, self.audio, hop, WINDOWS_AT_ONCE)
        else:
            least = reader.probe(task.source).seconds  # for reading stops behind the last window
            batches = recording_windows_at(task.source, self.audio, task.offsets, WINDOWS_AT_ONCE)
        for starts, spectrograms, seconds in batches:
            for start, spectrogram in zip(starts.tolist(), spectrograms, strict=True):
                value = encode(spectrogram) if 0 <= start < seconds else None
                yield _Window(start, value, max(seconds, least))

    def _insert(self, task: "_Task", windows: Iterable["_Window"]) -> int:
        """Insert what is not there yet; returns the number of spectrograms."""
        recording: _Recording | None = None
        n_inserted = 0
        for offset, value, seconds in windows:
            if value is None:
                where = f"has no sound at {offset:g} s (it lasts {seconds:.2f} s)"
                self._pass_over([Problem(printable(str(task.source)), where, "correct the offset")])
                continue
            recording = recording or self._recording(task.place, seconds)
            n_inserted += self._insert_window(recording, offset, value)
        if recording is not None:
            self.db.update_recording(recording.id, "Seconds", seconds)
            _copy(task.source, task.place)
            if seconds < SHORT * self.audio.spec_duration:
                reason = f"lasts {seconds:.2g} s only, less than a tenth of a window"
                self._pass_over([Problem(printable(str(task.source)), reason, "check the file", lost=False)])
        return n_inserted

    def _known(self, id: int) -> "_Recording":
        return _Recording(id, min(SAME_OFFSET, self.audio.spec_duration / 100))

    def _is_whole(self, recording: "_Recording", seconds: float) -> bool:
        """Whether the recording has all the windows that extract_all makes of it."""
        starts = window_starts(seconds, self.audio.spec_duration, self.audio.spec_duration - self.overlap)
        return len(starts) > 0 and all(recording.segment_at(start) is not None for start in starts)

    def _recording(self, place: Path, seconds: float) -> "_Recording":
        filename = printable(place.name)
        source = self._provider.source_id(filename, self.src_name)
        id = self._provider.recording_id(self.class_name, filename, printable(str(place)), source, seconds)
        recording = self._known(id)
        for segment in self.db.get_segment({"RecordingID": id}):
            recording.add(segment.offset, segment.id)
        return recording

    def _insert_window(self, recording: "_Recording", offset: float, value: bytes) -> bool:
        """Insert what is missing of a segment, its class and its spectrogram; returns whether the latter was."""
        known = recording.segment_at(offset)
        segment = self.db.insert_segment(recording.id, offset) if known is None else known
        if known is None:
            recording.add(offset, segment)
        if known is None or not self.db.get_segment_class_count({"SegmentID": segment, "ClassID": self._class_id}):
            self.db.insert_segment_class(segment, self._class_id)
        if known is not None and self.db.get_specvalue_count({"SegmentID": segment, "SpecGroupID": self._group_id}):
            return False
        self.db.insert_specvalue(value, self._group_id, segment)
        return True

    def _pass_over(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.problems.append(problem)
            logger.warning(str(problem))


class _Task(NamedTuple):
    """A recording to extract: file to read, file that the database refers to, offsets (s; None: all windows)."""

    source: Path
    place: Path
    offsets: list[float] | None


class _Window(NamedTuple):
    """A window of a recording: start (s), compressed spectrogram (None: no sound there), seconds of the recording."""

    offset: float
    value: bytes | None
    seconds: float


class _Recording:
    """A recording in the database, and the IDs of its segments by their offsets."""

    def __init__(self, id: int, tolerance: float) -> None:
        self.id = id
        self._tolerance = tolerance
        self._segments: dict[int, tuple[float, int]] = {}  # by offset in units of the tolerance

    def add(self, offset: float, segment: int) -> None:
        self._segments[round(offset / self._tolerance)] = offset, segment

    def segment_at(self, offset: float) -> int | None:
        """ID of a segment at that offset (s), within the tolerance."""
        unit = round(offset / self._tolerance)
        for there, segment in filter(None, map(self._segments.get, (unit, unit - 1, unit + 1))):
            if abs(there - offset) <= self._tolerance:
                return segment
        return None


def _copy(source: Path, place: Path) -> None:
    """Copy a recording to its place, if it is not there. Raises AudioError if the place is another's."""
    if source == place:
        return
    try:
        if not place.exists():
            with atomic(place) as part:
                shutil.copyfile(source, part)
        elif not filecmp.cmp(source, place, shallow=False):
            action = "rename one of them, or choose another dest_dir"
            raise AudioError(f"{printable(str(place))} is another recording; {action}")
    except OSError as error:
        action = "check that dest_dir is a folder that you may write to, and that it has room"
        raise EarshotError(f"{printable(str(place))}: cannot be written ({error.strerror}); {action}") from None


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
