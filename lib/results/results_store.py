"""The results store: what models found in recordings, in one SQLite file that grows recording by recording.

Of each recording it holds the scores of its windows, as arrays, and its labels; a recording is there as a whole or not
at all. After an interrupted run with other settings, the store holds results by both settings; only those by the last
ones are read.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import ValidationError
from sqlalchemy import Column, ColumnElement, Connection, Row, Select, delete, insert, literal_column, select, update

from lib.core.databases import (
    engine_of,
    fix_header,
    has_much_free,
    header_of,
    is_as_fixed,
    open_database,
    readable,
    usable,
    vacuum,
    whole_or_nothing,
)
from lib.core.digests import digest_of
from lib.core.errors import DataSetError, EarshotError, Problem
from lib.core.files import atomic
from lib.core.incremental import key_to_keep
from lib.results.manifest import Manifest
from lib.results.results_tables import FILE, LABEL, LABEL_FILE, MANIFEST, RECORDING, SCORES, json_values
from lib.sound.labels import RESULTS_FILE, Label, RecordingLabels

WINDOWS_A_BLOCK = 256
AGAIN = "run the infer stage (`dvc repro infer`)"
BY_TIME = LABEL.c.StartTime, LABEL.c.Class, LABEL.c.Number


class PartialResult(NamedTuple):
    """What was found in a part of a recording.

    Args:
        scores: of the next windows, float32 (n, n_classes).
        labels: in any order.
        seconds: of the recording that have been read.
    """

    scores: np.ndarray
    labels: list[Label]
    seconds: float


class RecordingResult(NamedTuple):
    """What became of a recording.

    Args:
        seconds: its duration; None: it could not be analyzed.
        problems: why, or what is unusual about it.
        key: digest of all that its results depend on.
        label_files: digest of what its label files were made of; "": they are missing, or being replaced. Of one that
            failed, "" tells that it has none.
    """

    name: str
    path: str
    seconds: float | None
    problems: list[Problem]
    n_windows: int
    n_labels: int
    key: str
    label_files: str

    @property
    def is_ok(self) -> bool:
        return self.seconds is not None

    @property
    def reason(self) -> str:
        """The problems in a line."""
        return "; ".join(problem.fault for problem in self.problems)


class FoundEvent(NamedTuple):
    """A label by its number in its recording: index of its class, times (s) and frequencies (Hz; None: unknown)."""

    number: int
    column: int
    start_time: float
    end_time: float
    low_freq: float | None
    high_freq: float | None


class FoundSound(NamedTuple):
    """A label: name and path of its recording, start and end (s), score (0..1)."""

    recording: str
    path: str
    start_time: float
    end_time: float
    score: float


class EarlierResults(NamedTuple):
    """What a folder holds before a run.

    Args:
        recordings: path of each, and key of the manifest that it was analyzed by, by name.
        manifests: the last one, and before it those of runs that were interrupted.
    """

    recordings: dict[str, tuple[str, str]]
    manifests: list[Manifest]


class ResultsStore:
    """The results in a folder; it can be used in a `with` block.

    Args:
        folder: where infer wrote, or the file itself.
        manifest: to write: the file is made in the folder if it is missing, and its results are to be those of this
            manifest from the first commit on. None: to read the results of the last manifest.

    Raises DataSetError if there are no results to read, or the file cannot be opened.
    """

    def __init__(self, folder: str | Path, manifest: Manifest | None = None) -> None:
        path = Path(folder)
        is_file = manifest is None and path.suffix == ".db" and not path.is_dir()
        self.path = path if is_file else path / RESULTS_FILE
        try:
            self._engine = open_database(self.path, FILE, create=manifest is not None)
        except EarshotError as error:
            raise DataSetError(error.subject, error.fault, error.remedy) from None
        with readable(self.path, FILE):
            self._connection = self._engine.connect()
            manifests = _manifests(self._connection, self.path)
            if manifest is not None and manifests[-1:] != [manifest]:
                self._connection.execute(insert(MANIFEST).values(Content=manifest.model_dump_json()))
                manifests.append(manifest)
        if not manifests:
            self.close()
            raise DataSetError(self.path, "holds no results", AGAIN)
        self.manifest = manifests[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; what was not committed is lost."""
        self._connection.close()
        self._engine.dispose()

    @property
    def connection(self) -> Connection:
        """For what reads or writes many rows at once."""
        return self._connection

    # Reading

    def recordings(self, names: Collection[str] | None = None) -> dict[str, RecordingResult]:
        """What became of each recording, by name, sorted; names: only of these."""
        columns = ("Name", "Path", "Seconds", "Problems", "Windows", "Labels", "Key", "LabelFiles")
        query = select(*(RECORDING.c[name] for name in columns)).order_by(RECORDING.c.Name)
        if names is not None:
            query = query.where(RECORDING.c.Name.in_(select(json_values(names).c.value)))
        results: dict[str, RecordingResult] = {}
        with readable(self.path, FILE):
            for name, path, seconds, content, *others in self._rows(query.where(self._is_current)):
                problems = [Problem(str(a), str(b), str(c), *more) for a, b, c, *more in json.loads(content)]
                results[name] = RecordingResult(name, path, seconds, problems, *others)
        return results

    def keys(self) -> dict[str, str]:
        """Key of each recording, by whatever manifest it was analyzed; empty if it failed."""
        return dict(map(tuple, self._rows(select(RECORDING.c.Name, RECORDING.c.Key))))

    def key(self, name: str) -> str:
        """Digest of all that the results of a recording depend on; "": it failed, or there are none."""
        query = select(RECORDING.c.Key).filter_by(Name=name).where(self._is_current)
        return next((key for (key,) in self._rows(query)), "")

    def windows(self, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Start times float64 (n,), s, and scores float32 (n, n_classes) of a recording's windows, block by block.

        A score below infer.csv_min_score is 0. Raises EarshotError at the end if windows are missing.
        """
        manifest, n_classes, n_read = self.manifest, len(self.manifest.classes), 0
        n_written = select(RECORDING.c.Windows).filter_by(Name=name).where(self._is_current)
        query = select(SCORES.c.First, SCORES.c.Windows, SCORES.c.Value).join(RECORDING).filter_by(Name=name)
        with readable(self.path, FILE):
            for first, n, value in self._rows(query.where(self._is_current).order_by(SCORES.c.First)):
                if not 0 <= n <= WINDOWS_A_BLOCK:
                    raise ValueError(f"a block of {n} windows")
                starts = manifest.start_seconds + np.arange(first, first + n) * manifest.hop
                yield starts, unpack_scores(value, (n, n_classes))
                n_read += n
            for (n,) in self._rows(n_written):
                if n_read != n:
                    raise ValueError(f"{n_read} of {n} windows of {name}")

    def scores(self, name: str) -> np.ndarray:
        """Scores of all windows of a recording, float32 (n_windows, n_classes)."""
        nothing = np.zeros((0, len(self.manifest.classes)), np.float32)
        return np.concatenate([nothing, *(scores for _, scores in self.windows(name))])

    def labels(self, name: str) -> Iterator[Label]:
        """The labels of a recording, by start time and class, as label files show them."""
        columns = LABEL.c
        query = self._of(name, columns.Class, columns.StartTime, columns.EndTime, columns.Score)
        names = self.manifest.class_list.names
        with readable(self.path, FILE):
            for index, *values in self._rows(query.order_by(*BY_TIME)):
                yield Label(names[index], *values)

    def found_sounds(self, column: int, lowest: float, highest: float) -> Iterator[FoundSound]:
        """The labels of a class in all recordings, best first.

        Args:
            column: of the class.
            lowest, highest: scores.
        """
        columns = LABEL.c
        values = RECORDING.c.Name, RECORDING.c.Path, columns.StartTime, columns.EndTime, columns.Score
        query = select(*values).select_from(LABEL).join(RECORDING).where(self._is_current, columns.Class == column)
        query = query.where(columns.Score.between(lowest, highest))
        order = columns.Score.desc(), RECORDING.c.Name, columns.StartTime
        yield from (FoundSound(*row) for row in self._rows(query.order_by(*order)))

    def found_events(self, name: str) -> list[FoundEvent]:
        """The labels of a recording as matching needs them, by number."""
        columns = LABEL.c
        times = columns.StartTime, columns.EndTime, columns.LowFreq, columns.HighFreq
        query = self._of(name, columns.Number, columns.Class, *times)
        return [FoundEvent(*row) for row in self._rows(query.order_by(columns.Number))]

    def _of(self, name: str, *columns: Column) -> Select:
        """A query for columns of the labels of a recording."""
        return select(*columns).join(RECORDING).filter_by(Name=name).where(self._is_current)

    def recording_labels(self, result: RecordingResult) -> RecordingLabels:
        """What was found in a recording, for a writer of label files."""
        path, seconds = Path(result.path), result.seconds or 0.0
        return RecordingLabels(result.name, path, seconds, self.labels(result.name), self.windows(result.name))

    def occurrences(self, name: str) -> list[list]:
        """Why each class was kept or dropped in a recording; empty where no place was set."""
        rows = self._rows(select(RECORDING.c.Occurrences).filter_by(Name=name).where(self._is_current))
        with readable(self.path, FILE):
            return [reason for (content,) in rows for reason in json.loads(content)]

    def digest(self) -> str:
        """Digest of what the store holds."""
        rows = [[row.name, row.path, row.key, row.problems, row.label_files] for row in self.recordings().values()]
        return digest_of([self.manifest.model_dump(), rows])

    def check_scores(self) -> None:
        """Raise DataSetError if the store holds an external run, which has no scores of windows."""
        if self.manifest.external_run is not None:
            remedy = "compare them by stages.compare, or give a folder that the infer stage wrote"
            raise DataSetError(self.path, "holds an external model run, without scores of windows", remedy)

    @property
    def _is_current(self) -> ColumnElement[bool]:
        """The condition that a recording was analyzed by the manifest."""
        return RECORDING.c.Settings == self.manifest.key

    def _rows(self, query: Select) -> Iterator[Row]:
        with readable(self.path, FILE):
            yield from self._connection.execute(query)

    # Writing

    def write(
        self, name: str, path: str, key: str, parts: Iterable[PartialResult], problems: list[Problem], occurrences: list
    ) -> RecordingResult:
        """Put a recording's results in place of what is there of it; all of them or, if `parts` raises, none.

        Args:
            name, path: of the recording.
            key: digest of all that the results depend on.
            parts: of the results.
            problems: what is unusual about it, complete once all parts are taken.
            occurrences: plain data that tells why classes were kept or dropped.
        """
        parts, names, least = iter(parts), self.manifest.class_list.names, self.manifest.infer["csv_min_score"]
        first = list(islice(parts, 1))  # where this raises, the file is not touched
        with usable(self.path, FILE), whole_or_nothing(self._connection):
            self._replace(self.new_row(name, path, []) | {"Key": key, "Occurrences": json.dumps(occurrences)})
            n_windows, n_labels, seconds = insert_parts(self._connection, name, chain(first, parts), names, least)
            key, noted = key_to_keep(key, problems), json.dumps(problems)
            self._change(name, Seconds=seconds, Windows=n_windows, Labels=n_labels, Problems=noted, Key=key)
        return RecordingResult(name, path, seconds, problems, n_windows, n_labels, key, "")

    def write_failure(self, name: str, path: str, problem: Problem) -> None:
        """Note that a recording could not be analyzed, in place of what is there of it."""
        row = self.new_row(name, path, [problem])
        before = next(self._rows(select(RECORDING).filter_by(Name=name)), None)
        if before is not None and (before.Key or before.LabelFiles):
            row["LabelFiles"] = "to be removed"
        if before is None or row != before._asdict():
            self._replace(row)

    def new_row(self, name: str, path: str, problems: list[Problem]) -> dict[str, Any]:
        """The row of a recording of which nothing is known but its problems."""
        row = {"Name": name, "Path": path, "Problems": json.dumps(problems), "Settings": self.manifest.key}
        return row | {"Seconds": None, "Windows": 0, "Labels": 0, "Occurrences": "[]", "Key": "", "LabelFiles": ""}

    def _replace(self, row: dict[str, Any]) -> None:
        self.remove(row["Name"])
        self._execute(insert(RECORDING), row)

    def remove(self, name: str) -> None:
        self._execute(delete(RECORDING).filter_by(Name=name))

    def move(self, name: str, path: str) -> None:
        """Note where a recording lies now."""
        self._change(name, Path=path)

    def note_label_files(self, name: str, digest: str) -> None:
        """Note what a recording's label files were made of."""
        self._change(name, LabelFiles=digest)

    def digest_of_file(self, path: str) -> str | None:
        """Digest of the content of a label file, given by its path in the folder, as it was written; None: unknown."""
        return next((digest for (digest,) in self._rows(select(LABEL_FILE.c.Digest).filter_by(Path=path))), None)

    def note_file(self, path: str, digest: str | None) -> None:
        """Note the digest of a label file's content; None: it is removed, or being replaced."""
        self._execute(delete(LABEL_FILE).filter_by(Path=path))
        if digest is not None:
            self._execute(insert(LABEL_FILE), {"Path": path, "Digest": digest})

    def _change(self, name: str, **values: Any) -> None:
        self._execute(update(RECORDING).filter_by(Name=name).values(values))

    def commit(self) -> None:
        with usable(self.path, FILE):
            self._connection.commit()

    def _execute(self, statement: Any, values: dict[str, Any] | None = None) -> None:
        with usable(self.path, FILE):
            self._connection.execute(statement, values)

    def finish(self, pack: bool) -> None:
        """End a run, which replaced or removed the results of all earlier manifests, and close the store.

        Args:
            pack: rewrite a file that was changed, so that its bytes follow from what it holds, whatever was done
                before; else it is rewritten only if a quarter of it is free.
        """
        with usable(self.path, FILE):
            if len(_manifests(self._connection, self.path)) > 1:
                self._connection.execute(delete(MANIFEST))
                self._connection.execute(insert(MANIFEST).values(Content=self.manifest.model_dump_json()))
            self._connection.commit()
            if has_much_free(self._connection) or (pack and not is_as_fixed(self.path)):
                vacuum(self._connection)
        digest = self.digest()
        self.close()
        self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)  # of a run that was killed
        if pack:
            fix_header(self.path, digest)


def earlier_results(folder: Path) -> EarlierResults:
    """What a folder holds before a run. Raises EarshotError if that cannot be read."""
    path = folder / RESULTS_FILE
    if not path.is_file():
        return EarlierResults({}, [])
    try:
        _upgrade(path)
        engine = open_database(path, FILE, create=True)  # it is empty if a run was killed when it had just begun
    except EarshotError as error:
        raise EarshotError(path, error.fault, "remove it and run infer again, or give another --output") from None
    with usable(path, FILE), engine.connect() as connection:
        rows = connection.execute(select(RECORDING.c.Name, RECORDING.c.Path, RECORDING.c.Settings))
        return EarlierResults({name: (file, key) for name, file, key in rows}, _manifests(connection, path))


def _upgrade(path: Path) -> None:
    """Rewrite a file of version 1, which has fewer columns of labels, and perhaps fewer tables. What it holds stays."""
    header = header_of(engine_of(path), path, FILE)
    if not header.tables or not header.is_of(FILE) or header.version != 1:
        return
    with usable(path, FILE), atomic(path) as part:
        os.truncate(part, 0)
        with open_database(part, FILE, create=True).connect() as connection:
            connection.exec_driver_sql("ATTACH ? AS earlier", (str(path),))
            for table in FILE.metadata.sorted_tables:
                columns = connection.exec_driver_sql(f'PRAGMA earlier.table_info("{table.name}")').all()
                names = ", ".join(f'"{column.name}"' for column in columns)
                if names:
                    copied = f'INSERT INTO main."{table.name}" ({names}) SELECT {names} FROM earlier."{table.name}"'
                    connection.exec_driver_sql(copied)
            connection.commit()


def _manifests(connection: Connection, path: Path) -> list[Manifest]:
    query = select(MANIFEST.c.Content).order_by(literal_column("rowid"))
    try:
        return [Manifest.model_validate_json(content) for content in connection.execute(query).scalars()]
    except ValidationError:
        raise DataSetError(path, "holds no manifest that can be read", f"remove it and {AGAIN}") from None


def insert_parts(
    connection: Connection, recording: str, parts: Iterable[PartialResult], class_names: list[str], least: float
) -> tuple[int, int, float]:
    """Write a recording's windows and labels; returns how many there are, and the seconds of the recording.

    least: score below which scores of windows are not kept.
    """
    index = {name: number for number, name in enumerate(class_names)}
    n_windows = n_labels = 0
    seconds, pending = 0.0, np.zeros((0, len(index)), np.float32)

    def write_block(scores: np.ndarray) -> None:
        values = {"Recording": recording, "First": n_windows, "Windows": len(scores)}
        connection.execute(insert(SCORES), values | {"Value": pack_scores(scores, least)})

    for scores, labels, seconds in parts:  # noqa: B007
        pending = np.concatenate([pending, scores])
        while len(pending) >= WINDOWS_A_BLOCK:
            write_block(pending[:WINDOWS_A_BLOCK])
            n_windows, pending = n_windows + WINDOWS_A_BLOCK, pending[WINDOWS_A_BLOCK:]
        rows = [
            {"Recording": recording, "Number": number, "Class": index[name]}
            | {"StartTime": start_time, "EndTime": end_time, "Score": score}
            for number, (name, start_time, end_time, score) in enumerate(labels, n_labels)
        ]
        if rows:
            connection.execute(insert(LABEL), rows)
            n_labels += len(rows)
    if len(pending):
        write_block(pending)
    return n_windows + len(pending), n_labels, seconds


def pack_scores(scores: np.ndarray, least: float) -> bytes:
    """Scores float32 (n, c) as bytes: a bit for each that says whether it is at least `least` and above 0, then those
    that are, float32, little-endian. Not compressed, for the bytes would depend on the library's version.
    """
    is_kept = scores >= np.float32(least) if least > 0 else scores > 0
    return np.packbits(is_kept).tobytes() + scores[is_kept].astype("<f4").tobytes()


def unpack_scores(value: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The scores that pack_scores packed, float32 of that shape; those that were not kept are 0."""
    size = shape[0] * shape[1]
    n_bytes = (size + 7) // 8
    is_kept = np.unpackbits(np.frombuffer(value, np.uint8, n_bytes), count=size).astype(bool)
    scores = np.zeros(size, np.float32)
    scores[is_kept] = np.frombuffer(value, "<f4", offset=n_bytes)
    return scores.reshape(shape)
