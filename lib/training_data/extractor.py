"""Windows of recordings that hold one class, chosen by hand, into the training database.

lib.training_data.extraction takes whole data sets with annotations; this is for recordings of one class, and for
windows that somebody chose: listed in a CSV file, or as the pictures that remain in a folder.
"""

import filecmp
import logging
import math
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lib.audio import reader
from lib.config.load import get_config
from lib.config.schema import Settings
from lib.core.csv_files import number_in, read_csv
from lib.core.digests import digest_known_file
from lib.core.errors import AudioError, EarshotError, Problem, SettingsError, reading
from lib.core.files import atomic, printable
from lib.core.parallel import map_streams, n_workers
from lib.core.progress import progress
from lib.sound.grid import window_starts
from lib.sound.recordings import RecordingFinder, find_recordings, recording_files
from lib.training_data import training_tables as tables
from lib.training_data.extraction import short_recording
from lib.training_data.hand_picked import prefer_hand_picked, same_offset
from lib.training_data.sound_codec import encode_sound
from lib.training_data.spec_groups import claim_group
from lib.training_data.spectrogram_codec import encode
from lib.training_data.training_data_provider import TrainingDataProvider
from lib.training_data.training_database import TrainingDatabase
from lib.training_data.window_values import window_values

PICTURE = re.compile(r"(?:\d+~)?(.+)[-_](\d+(?:\.\d+)?)(?:-seg\d+)?(?:~\d+(?:\.\d+)?)?")
"""`NAME-OFFSET`, as plots and results of a search are called; `RANK~NAME-OFFSET~SCORE`, as errors are."""
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

logger = logging.getLogger(__name__)


class Extractor:
    """Cuts windows out of recordings and stores their spectrograms, and into the group `default` with
    cfg.extract.sound also their sound, with the label of a class.

    A segment that the database has already gets what it lacks of the class, the spectrogram and the sound; of a
    recording that the extract stage holds, the windows inserted here take the place of those of the stage. Recordings
    are read in threads, in constant memory; each is stored completely or not at all. Those that are left out, and other
    problems, are collected in `problems` and logged.

    Args:
        db: an open database.
        class_name: name of the class, which is inserted if missing.
        class_code: its code.
        cat_name: category of the class; None: `default`.
        src_name: source of the recordings; None: by their names, such as Xeno-Canto for XC123.mp3, else `default`.
        overlap: seconds that neighbouring windows share in extract_all; None: cfg.extract.overlap.
        spec_group: name of the spectrogram group; None: `default`.
        cfg: settings; None: get_config().

    Raises EarshotError if the group holds spectrograms of other audio settings.
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
        cfg: Settings | None = None,
    ) -> None:
        cfg = cfg or get_config()
        self.audio = cfg.audio.checked()
        self.overlap = cfg.extract.overlap if overlap is None else overlap
        if not 0 <= self.overlap < self.audio.spec_duration:
            name = "extract.overlap" if overlap is None else "overlap"
            raise SettingsError(f"{name} = {self.overlap:g}", f"must be from 0 to below {self.audio.spec_duration:g} s")
        self.db, self.class_name, self.class_code, self.src_name = db, class_name, class_code, src_name
        self.cat_name = cat_name or tables.DEFAULT
        self.spec_group = spec_group or tables.DEFAULT
        self.problems: list[Problem] = []
        self._hop = self.audio.spec_duration - self.overlap
        self._workers, self._sound = (
            n_workers(cfg.extract.workers),
            cfg.extract.sound and self.spec_group == tables.DEFAULT,
        )
        self._provider = TrainingDataProvider(db)
        with db.transaction():
            self._group_id = claim_group(db, self.spec_group, self.audio)
            self._class_id = self._provider.class_id(class_name, class_code, self._provider.category_id(self.cat_name))

    def extract_all(self, dir_path: str | Path) -> int:
        """Extract all windows of the recordings in a folder and its subfolders.

        Recordings whose windows are all in the group, with this class and, if it is wanted, sound, are skipped. Returns
        the number of spectrograms inserted. Raises EarshotError if there is no such folder.
        """
        stored: dict[int, _Segments] = defaultdict(self._segments)
        rows = self.db.get_spectrogram_by_class(self.class_name, include_value=False, spec_group=self.spec_group)
        for row in rows:
            stored[row.recording_id].add(row.offset, row.segment_id)
        complete = set()
        for row in self.db.get_recording_by_class(self.class_name):
            starts = window_starts(row.seconds, self.audio.spec_duration, self._hop)
            if self._sound and self.db.get_segment_count({"RecordingID": row.id, "Audio": None}):
                continue
            if len(starts) and all(stored[row.id].at(start) is not None for start in starts):
                complete.add(row.path)
        below, problems = recording_files(dir_path)
        self._report(problems)
        files = [file.resolve() for file in below]
        return self._insert_all([_Task(file, file, None) for file in files if printable(str(file)) not in complete])

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
        """Extract the windows that pictures in a folder show.

        The pictures (PNG or JPEG) are those that the verbs plot and search write, `NAME-OFFSET.png`, or plot --errors,
        `RANK~NAME-OFFSET~SCORE.png`; delete those that are not wanted first.

        Args:
            rec_dir: folder of the recordings.
            spec_dir: folder of the pictures, including its subfolders. If several recordings share a name, the
                picture's subfolder must have the name of the recording's folder.
            dest_dir: copy the recordings that are used to this folder, and let the database refer to them there.

        Returns the number of spectrograms inserted. Raises EarshotError if a folder is missing.
        """
        chosen = pictured_windows(spec_dir)
        if not chosen:
            self._report([Problem(str(spec_dir), "holds no pictures", "give the folder that plot or search wrote")])
        return self._insert_chosen(rec_dir, chosen, dest_dir)

    def insert_spectrograms(self, recording_path: str | Path, offsets: Iterable[float]) -> int:
        """Insert the windows of a recording that start at these offsets (s).

        Returns the number of spectrograms inserted. Raises AudioError if the recording cannot be read.
        """
        task = _Task(Path(recording_path), Path(recording_path).resolve(), sorted(set(map(float, offsets))))
        with self.db.transaction():
            return self._insert(task, self._windows(task))

    def _insert_chosen(
        self, rec_dir: str | Path, chosen: list[tuple[str, str, str]], dest_dir: str | Path | None
    ) -> int:
        """Insert windows, given by the name of a recording, an offset as text, and where both come from."""
        if not Path(rec_dir).is_dir():
            raise EarshotError(rec_dir, "no such folder", "give the one that holds the recordings")
        files, problems = find_recordings(rec_dir)
        finder = RecordingFinder(files)
        offsets: dict[str, set[float]] = defaultdict(set)
        for name, text, origin in chosen:
            name = name if name in files else finder.named(name, Path(origin))
            offset = _seconds(text)
            if offset is None:
                problems.append(Problem(origin, "names no offset", "give seconds from the start of the recording"))
            elif name in files:
                offsets[name].add(offset)
            elif finder.is_shared(name):
                problems.append(Problem(origin, f"several recordings are called {name}", "give the folder, too"))
            else:
                remedy = f"add it to {rec_dir} or correct the name"
                problems.append(Problem(origin, f"no such recording ({name})", remedy))
        self._report(problems)
        tasks = []
        for name in sorted(offsets):
            file = files[name].resolve()
            place = file if dest_dir is None else Path(dest_dir).resolve() / files[name].relative_to(rec_dir)
            tasks.append(_Task(file, place, sorted(offsets[name])))
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
                self._report([error.problem()])
        return n_inserted

    def _windows(self, task: "_Task") -> Iterator["_Window"]:
        """The windows of a recording, compressed. Raises AudioError."""
        duration = 0.0
        if task.offsets is not None:
            duration = reader.probe(task.source).seconds  # since reading stops after the last window
        windows = self._hop if task.offsets is None else task.offsets
        batches = window_values(task.source, self.audio, self._sound, windows)
        with reading(task.source):
            content = digest_known_file(task.source)
        for starts, spectrograms, sounds, seconds in batches:
            for start, spectrogram, sound in zip(starts.tolist(), spectrograms, sounds, strict=True):
                value = encode(spectrogram) if 0 <= start < seconds else None
                stored_sound = None if sound is None else encode_sound(sound)
                yield _Window(start, value, stored_sound, max(seconds, duration), content)

    def _insert(self, task: "_Task", windows: Iterable["_Window"]) -> int:
        """Insert what is missing of a recording's windows; returns the number of spectrograms inserted."""
        recording_id: int | None = None
        n_inserted = 0
        for offset, value, sound, seconds, content in windows:  # noqa: B007
            if value is None:
                fault = f"has no sound at {offset:g} s (it lasts {seconds:.2f} s)"
                self._report([Problem(printable(str(task.source)), fault, "correct the offset")])
                continue
            if recording_id is None:
                filename, path = printable(task.place.name), printable(str(task.place))
                source_id = self._provider.source_id(filename, self.src_name)
                recording_id = self._provider.recording_id(self.class_name, filename, path, source_id, seconds)
                segments = self._segments()
                for row in self.db.get_segment({"RecordingID": recording_id}):
                    segments.add(row.offset, row.id)
            n_inserted += self._insert_window(recording_id, segments, offset, value, sound)
        if recording_id is not None:
            self.db.update_recording(recording_id, "Seconds", seconds)
            self.db.update_recording(recording_id, "Content", content)
            if self.spec_group == tables.DEFAULT:
                self.db.change(partial(prefer_hand_picked, content=content, length=self.audio.spec_duration))
            _copy(task.source, task.place)
            self._report(short_recording(task.source, seconds, self.audio.spec_duration))
        return n_inserted

    def _insert_window(
        self, recording_id: int, segments: "_Segments", offset: float, value: bytes, sound: bytes | None
    ) -> bool:
        """Insert what is missing of a segment and what belongs to it; returns whether its spectrogram was."""
        segment = segments.at(offset)
        is_new = segment is None
        if segment is None:
            segment = self.db.insert_segment(recording_id, offset)
            segments.add(offset, segment)
        labels = [] if is_new else self.db.get_segment_class({"SegmentID": segment, "ClassID": self._class_id})
        if not labels:
            self.db.insert_segment_class(segment, self._class_id)
        elif labels[0].copied:  # from the annotations, and now by hand
            self.db.update_segment_class(labels[0].id, "Copied", None)
        if sound is not None and self.db.get_segment_count({"ID": segment, "Audio": None}):
            self.db.update_segment(segment, "Audio", sound)
            self.db.update_segment(segment, "SamplingRate", self.audio.sampling_rate)
        if not is_new and self.db.get_specvalue_count({"SegmentID": segment, "SpecGroupID": self._group_id}):
            return False
        self.db.insert_specvalue(value, self._group_id, segment)
        return True

    def _segments(self) -> "_Segments":
        return _Segments(same_offset(self.audio.spec_duration))

    def _report(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.problems.append(problem)
            logger.warning(str(problem))


def pictured_windows(folder: str | Path) -> list[tuple[str, str, str]]:
    """Of each picture in a folder and below, as extract_by_image takes them: the recording's name with that of the
    picture's subfolder, the offset as text, "" where the name has none, and the file.

    Raises EarshotError if there is no such folder.
    """
    if not Path(folder).is_dir():
        raise EarshotError(folder, "no such folder", "give the one that holds the pictures")
    chosen = []
    for file in sorted(Path(folder).rglob("*")):
        if file.suffix.lower() in PICTURE_SUFFIXES:
            match = PICTURE.fullmatch(file.stem)
            name, offset = match.groups() if match else (file.stem, "")
            name = (file.relative_to(folder).parent / name).as_posix()
            chosen.append((name, offset, printable(str(file))))
    return chosen


class _Task(NamedTuple):
    """A recording to extract: file to read, file that the database refers to, offsets (s; None: all windows)."""

    source: Path
    place: Path
    offsets: list[float] | None


class _Window(NamedTuple):
    """A window of a recording: start (s), compressed spectrogram (None: no sound there) and, if it is wanted, sound;
    seconds and digest of the recording."""

    offset: float
    value: bytes | None
    sound: bytes | None
    seconds: float
    content: str


class _Segments:
    """IDs of a recording's segments by their offsets (s), which are compared with a tolerance (s)."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._segments: dict[int, tuple[float, int]] = {}  # by offset in units of the tolerance

    def add(self, offset: float, segment: int) -> None:
        self._segments[round(offset / self._tolerance)] = offset, segment

    def at(self, offset: float) -> int | None:
        """ID of a segment at that offset, if there is one."""
        unit = round(offset / self._tolerance)
        for there, segment in filter(None, map(self._segments.get, (unit, unit - 1, unit + 1))):
            if abs(there - offset) <= self._tolerance:
                return segment
        return None


def _copy(source: Path, place: Path) -> None:
    """Copy a recording to a place, unless it is there. Raises AudioError if there is another file."""
    try:
        if not place.exists():
            with atomic(place) as part:
                shutil.copyfile(source, part)
        elif not (source.samefile(place) or filecmp.cmp(source, place, shallow=False)):
            remedy = "rename one of them, or choose another dest_dir"
            raise AudioError(source, f"{printable(str(place))} is another recording", remedy)
    except OSError as error:
        remedy = "check that dest_dir is a folder that you may write to, and that it has room"
        raise EarshotError(place, f"cannot be written ({error.strerror})", remedy) from None


def _seconds(text: str) -> float | None:
    """A time in seconds, None if the text is none."""
    value = number_in(text)
    return value if 0 <= value < math.inf else None
