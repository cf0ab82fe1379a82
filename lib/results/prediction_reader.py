"""Reads predictions from a results store: the labels of recordings with all that is known of them."""

import json

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.dialects import sqlite

from lib.core.databases import readable
from lib.results.predictions import Prediction, number_of
from lib.results.results_store import ResultsStore
from lib.results.results_tables import FILE, LABEL, RECORDING


def _query(*conditions: ColumnElement[bool]) -> str:
    """SQL for the labels of :recording by the manifest :settings that meet the conditions.

    It is text since building and compiling a statement for each call takes as long as reading 100 labels.
    """
    columns = LABEL.c
    keys = columns.StartTime, columns.Class, columns.Number  # so that sorted rows are in order of time
    values = columns.EndTime, columns.Score, columns.AnnotationId, columns.LowFreq, columns.HighFreq
    query = select(*keys, *values, columns.ClassPdf, columns.Metadata).join(RECORDING)
    is_current = (RECORDING.c.Name == bindparam("recording")) & (RECORDING.c.Settings == bindparam("settings"))
    return str(query.where(is_current, *conditions).compile(dialect=sqlite.dialect(paramstyle="named")))


ALL = _query()
WITH_ID = _query(LABEL.c.AnnotationId == bindparam("id"))
UNNAMED = _query(LABEL.c.AnnotationId.is_(None), LABEL.c.Number == bindparam("id"))


class PredictionReader:
    """Reads from a store, which must stay open; by one thread at a time."""

    def __init__(self, store: ResultsStore) -> None:
        self._store, self._class_names = store, store.manifest.class_list.names

    def predictions(self, recording: str) -> list[Prediction]:
        """The predictions of a recording, by start time and class."""
        return list(self.by_number(recording).values())

    def by_number(self, recording: str) -> dict[int, Prediction]:
        """The predictions of a recording by their numbers in it, in order of start time and class."""
        return self._read(ALL, recording)

    def prediction(self, recording: str, annotation_id: str) -> Prediction | None:
        """The prediction of a recording that has this id; None: there is none."""
        found, number = self._read(WITH_ID, recording, annotation_id), number_of(annotation_id)
        if not found and number is not None:
            found = self._read(UNNAMED, recording, number)
        return next(iter(found.values()), None)

    def _read(self, query: str, recording: str, annotation_id: str | int | None = None) -> dict[int, Prediction]:
        store, names, predictions = self._store, self._class_names, dict[int, Prediction]()
        values = {"recording": recording, "settings": store.manifest.key, "id": annotation_id}
        with readable(store.path, FILE):
            result = store.connection.exec_driver_sql(query, values)
            # Rows of SQLAlchemy, and SQLite's ORDER BY, would take half as long again.
            rows = sorted(result.cursor.fetchall())  # type: ignore[union-attr]
            result.close()
            for start, index, number, end, score, given_id, low, high, pdf, metadata in rows:
                shown_id = str(number) if given_id is None else given_id
                pdf, metadata = pdf and json.loads(pdf), metadata and json.loads(metadata)
                predictions[number] = Prediction(
                    names[index], recording, start, end, score, shown_id, low, high, pdf, metadata
                )
        return predictions
