"""The matches of a model run with the annotations of its data set, in an SQLite file that is written as a whole.

The same predictions, annotations and rules give the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import pandas as pd
from sqlalchemy import Column, Float, ForeignKey, Integer, MetaData, Table, Text, insert, select, text

from lib.core.databases import Kind, fix_header, insert_rows, open_database, readable, usable
from lib.core.digests import digest_of
from lib.core.files import atomic
from lib.evaluation.run_matching import NONE, Matches, MatchingRules, RunMatching
from lib.evaluation.units import analyzed_recordings
from lib.results.predictions import Prediction
from lib.results.results_store import ResultsStore

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

MATCHES_FILE = "matches.db"

_metadata = MetaData()
_rules = Table(
    "Rules",
    _metadata,
    Column("Payload", Text, nullable=False),  # JSON
    Column("Digest", Text, nullable=False),
)
_recording = Table(
    "Recording",
    _metadata,
    Column("Name", Text, primary_key=True),
    Column("Results", Text, nullable=False),  # key of its results
    Column("Annotations", Text, nullable=False),  # digest of its annotations
    sqlite_with_rowid=False,
)
_match = Table(
    "Match",
    _metadata,
    Column("Recording", ForeignKey("Recording.Name"), primary_key=True),
    Column("Number", Integer, primary_key=True),  # of the row
    Column("Annotation", Integer),  # number among the recording's annotations; null: a label alone
    Column("Label", Integer),  # number in the recording's results; null: an annotation alone
    Column("IoU", Float),  # null: alone
    sqlite_with_rowid=False,
)
GROUND_TRUTH_COLUMNS = ["ground_truth_label", "ground_truth_start", "ground_truth_end"]
PREDICTION_COLUMNS = ["annotation_id", "label", "start_time", "end_time", "confidence"]
FILE = Kind("store of matches", _metadata, 0x4541524D, 1, "commit the model run")


class ItemMatches(NamedTuple):
    """What became of the events of a recording.

    Args:
        results: key of the results that were matched.
        annotations: digest of the annotations that were.
        table: `annotation` and `label`, their numbers in the recording, and `iou`; missing where one is alone.
    """

    results: str
    annotations: str
    table: pd.DataFrame


class MatchesStore:
    """Reads matches; it can be used in a `with` block.

    Args:
        folder: in which store_matches has written.

    Raises EarshotError if there is no such file, or it cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder, MATCHES_FILE)
        self._engine = open_database(self.path, FILE, create=False)
        self._connection = self._engine.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._connection.close()
        self._engine.dispose()

    def rules(self) -> MatchingRules:
        """The rules by which events were matched."""
        with readable(self.path, FILE):
            return MatchingRules.model_validate_json(self._connection.execute(select(_rules.c.Payload)).scalar_one())

    def matched(self) -> dict[str, tuple[str, str]]:
        """Key of the results and digest of the annotations that were matched, of each recording."""
        with readable(self.path, FILE):
            rows = self._connection.execute(select(_recording))
            return {name: (key, digest) for name, key, digest in rows}

    def item(self, recording: str) -> ItemMatches | None:
        """What became of the events of a recording; None if it was not matched."""
        columns = _match.c
        query = select(columns.Annotation, columns.Label, columns.IoU).filter_by(Recording=recording)
        with readable(self.path, FILE):
            recording_row = self._connection.execute(select(_recording).filter_by(Name=recording)).one_or_none()
            rows = self._connection.execute(query.order_by(columns.Number)).all()
        if recording_row is None:
            return None
        table = pd.DataFrame(list(map(tuple, rows)), columns=["annotation", "label", "iou"])
        table = table.astype({"annotation": "Int64", "label": "Int64", "iou": float})
        return ItemMatches(recording_row.Results, recording_row.Annotations, table)


def matches_folder(results: str | Path) -> Path:
    """The folder for the matches of what infer wrote: the one beside it whose name ends with .matches.

    So the results stay as DVC knows them.
    """
    folder = Path(results).absolute() if not Path(results).name else Path(results)
    return folder.with_name(f"{folder.name}.matches")


def store_matches(data_set: "DataSet", store: ResultsStore, folder: str | Path, rules: MatchingRules) -> Path:
    """Match the labels of a store with the annotations of a data set, and write matches.db into a folder.

    Recordings of the data set that were not analyzed are left out. Returns the path. Raises EarshotError if none was,
    or the file cannot be written.
    """
    results, _ = analyzed_recordings(data_set, store)
    names = [result.name for result in results]
    matching = RunMatching(data_set, store, names, rules)
    digests = annotation_digests(data_set.annotations)
    recordings = [
        {"Name": result.name, "Results": result.key, "Annotations": digests.get(result.name, "")} for result in results
    ]
    digest = hashlib.blake2b(digest_of([rules.digest, recordings]).encode(), digest_size=16)
    path = Path(folder, MATCHES_FILE)
    with atomic(path) as part:
        part.write_bytes(b"")  # a killed run may have left a part of one
        engine = open_database(part, FILE, create=True)
        with usable(path, FILE), engine.connect() as connection:
            connection.execute(text("PRAGMA synchronous = OFF"))  # the file counts only once it is whole
            payload = json.dumps(rules.model_dump(), sort_keys=True)
            connection.execute(insert(_rules), {"Payload": payload, "Digest": rules.digest})
            connection.execute(insert(_recording), recordings)
            for matches in matching.matches():
                insert_rows(connection, _match, _rows(matches, names))
                for values in (matches.recording, matches.annotation, matches.label, matches.iou):
                    digest.update(values.tobytes())
            connection.commit()
        engine.dispose()
        fix_header(part, digest.hexdigest())
    return path


def annotation_digests(annotations: pd.DataFrame) -> dict[str, str]:
    """Digest of the annotations of each recording that has any."""
    columns = [
        column for column in ("class", "start_time", "end_time", "low_freq", "high_freq") if column in annotations
    ]
    rows = zip(annotations["recording"], *(annotations[column].astype(str) for column in columns), strict=True)
    by_recording: dict[str, list] = {}
    for name, *values in rows:
        by_recording.setdefault(name, []).append(values)
    return {name: digest_of(values) for name, values in by_recording.items()}


def match_table(
    numbers: pd.DataFrame, annotations: pd.DataFrame, predictions: Mapping[int, Prediction]
) -> pd.DataFrame:
    """The table that ModelRun.matches returns.

    Args:
        numbers: of matches, as ItemMatches has them.
        annotations: of the recording, in their order in the data set.
        predictions: those of the recording, by number.
    """
    annotated = annotations[["class", "start_time", "end_time"]].set_axis(GROUND_TRUTH_COLUMNS, axis=1)
    found = pd.DataFrame(list(predictions.values()), columns=list(Prediction._fields))[PREDICTION_COLUMNS]
    found = found.set_axis(list(predictions), axis=0)
    numbers = numbers.rename(columns={"label": "number"})
    table = numbers.join(annotated.reset_index(drop=True), on="annotation").join(found, on="number")
    return table[["iou", "annotation", *GROUND_TRUTH_COLUMNS, *PREDICTION_COLUMNS]]


def _rows(matches: Matches, names: list[str]) -> list[tuple]:
    """The rows of the table, numbered in each recording; recordings follow one another."""
    first = np.searchsorted(matches.recording, matches.recording)
    columns = (
        [names[index] for index in matches.recording.tolist()],
        (np.arange(len(first)) - first).tolist(),
        *(
            [None if number == NONE else number for number in each.tolist()]
            for each in (matches.annotation, matches.label)
        ),
        [None if value != value else value for value in matches.iou.tolist()],
    )
    return list(zip(*columns, strict=True))
