"""Writes predictions of an external model run, batch by batch; each batch is stored as a whole or not at all."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, bindparam, func, select, update

from lib.core.databases import insert_rows, usable, whole_or_nothing
from lib.results.prediction_keys import changed_key
from lib.results.predictions import Prediction, as_json, number_of
from lib.results.results_store import ResultsStore
from lib.results.results_tables import FILE, LABEL, RECORDING, json_values

ANNOTATION_ID = list(LABEL.c.keys()).index("AnnotationId") - 1
"""Place of the id in a row."""


class WriteCounts(NamedTuple):
    """How many predictions were stored, and how many were ignored because their ids existed."""

    processed: int
    ignored: int


Row = tuple[Any, ...]
"""What the table of labels holds of a prediction besides the recording, in its order: first the number."""


class PredictionWriter:
    """Writes to a store that nobody else writes to meanwhile; after an error it must not be used again.

    A batch costs time by its own size, whatever there is in the store.
    """

    def __init__(self, store: ResultsStore) -> None:
        self._store, self._connection = store, store.connection
        self._index = {name: index for index, name in enumerate(store.manifest.class_list.names)}
        self._next_numbers: dict[str, int] = {}
        self._keys: dict[str, str] = {}

    def write(self, predictions: Sequence[Prediction], overwrite: bool) -> WriteCounts:
        """Write and commit a batch.

        Args:
            predictions: in which lib.results.predictions.fault_of finds no fault.
            overwrite: replace a label of the same recording and id; False: ignore the prediction. Where two of the
                batch have one id, the last or the first counts accordingly.
        """
        with usable(self._store.path, FILE), whole_or_nothing(self._connection):
            counts = self._write(predictions, overwrite)
        self._store.commit()
        return counts

    def _write(self, predictions: Sequence[Prediction], overwrite: bool) -> WriteCounts:
        self._read_recordings({each.reference_id for each in predictions})
        stored, taken = self._stored_rows(predictions), self._taken_numbers(predictions)
        numbers = {(recording, _shown_id(row)): number for (recording, number), row in stored.items()}
        rows, n_written, n_added = dict[tuple[str, int], Row](), 0, Counter[str]()
        for prediction in predictions:
            recording, annotation_id = prediction.reference_id, prediction.annotation_id
            number = None if annotation_id is None else numbers.get((recording, annotation_id))
            if number is None:
                number = self._new_number(recording, annotation_id, taken)
                numbers[recording, str(number) if annotation_id is None else annotation_id] = number
                n_added[recording] += 1
            elif not overwrite:
                continue
            rows[recording, number] = (number, *self._values(prediction))
            n_written += 1
        insert_rows(self._connection, LABEL, [(name, *row) for (name, _), row in rows.items()], replace=True)
        self._update_recordings(rows, {key: row for key, row in stored.items() if key in rows}, n_added)
        return WriteCounts(n_written, len(predictions) - n_written)

    def _values(self, prediction: Prediction) -> Row:
        """The row of a prediction behind the number."""
        label, _, start, end, confidence, annotation_id, low, high, pdf, metadata = prediction
        index = self._index.get(label)
        if index is None:
            index = self._index[label] = self._index[self._store.manifest.class_list.resolve(label) or ""]
        # The database has no -0.0, and keys are of what it holds.
        times = float(start) + 0.0, float(end), float(confidence) + 0.0
        frequencies = (None if value is None else float(value) + 0.0 for value in (low, high))
        shares = as_json({name: float(share) for name, share in pdf.items()}) if pdf is not None else None
        more = as_json(metadata) if metadata is not None else None
        return index, *times, *frequencies, annotation_id, shares, more

    def _new_number(self, recording: str, annotation_id: str | None, taken: Mapping[str, set[int]]) -> int:
        """The number of a new label. One without an id has its number as its id, which no other label may have."""
        number = self._next_numbers[recording]
        if annotation_id is None:
            while number in taken[recording]:
                number += 1
        elif recording in taken and (same := number_of(annotation_id)) is not None:
            taken[recording].add(same)
        self._next_numbers[recording] = number + 1
        return number

    def _update_recordings(
        self, rows: Mapping[tuple[str, int], Row], replaced: Mapping[tuple[str, int], Row], n_added: Counter[str]
    ) -> None:
        """Update how many labels the recordings have, and their keys, which differ where labels do."""
        added, removed = defaultdict[str, list[Row]](list), defaultdict[str, list[Row]](list)
        for by_recording, table in ((added, rows), (removed, replaced)):
            for (name, _), row in table.items():
                by_recording[name].append(row)
        for name, new in added.items():
            self._keys[name] = changed_key(self._keys[name], removed[name], new)
        changes = [{"name": name, "more": n_added[name], "key": self._keys[name]} for name in added]
        statement = update(RECORDING).where(RECORDING.c.Name == bindparam("name"))
        statement = statement.values(Labels=RECORDING.c.Labels + bindparam("more"), Key=bindparam("key"))
        if changes:
            self._connection.execute(statement, changes)

    # What is there

    def _read_recordings(self, recordings: Collection[str]) -> None:
        new = json_values([name for name in recordings if name not in self._keys])
        highest = select(func.max(LABEL.c.Number)).where(LABEL.c.Recording == RECORDING.c.Name).scalar_subquery()
        query = select(RECORDING.c.Name, highest, RECORDING.c.Key).where(RECORDING.c.Name.in_(select(new.c.value)))
        for name, number, key in self._connection.execute(query):
            self._next_numbers[name], self._keys[name] = 0 if number is None else number + 1, key

    def _taken_numbers(self, predictions: Sequence[Prediction]) -> dict[str, set[int]]:
        """Numbers that new labels without an id must not get, since they are ids of other labels, by recording."""
        sizes = Counter(each.reference_id for each in predictions)
        taken = {each.reference_id: set[int]() for each in predictions if each.annotation_id is None}
        # As many as the batch has are looked up, twice since its own ids may be numbers; and again for those taken.
        spans = {name: range(self._next_numbers[name], self._next_numbers[name] + 2 * sizes[name]) for name in taken}
        while spans:
            found = Counter[str]()
            ids = [(name, str(number)) for name, span in spans.items() for number in span]
            for name, row in self._rows_with_ids(ids):
                taken[name].add(int(_shown_id(row)))
                found[name] += 1
            spans = {name: range(spans[name].stop, spans[name].stop + n) for name, n in found.items()}
        return taken

    def _stored_rows(self, predictions: Sequence[Prediction]) -> dict[tuple[str, int], Row]:
        """Rows of the labels that have the ids of these predictions, by recording and number."""
        ids = [(each.reference_id, each.annotation_id) for each in predictions if each.annotation_id is not None]
        in_text = ((name, number_of(annotation_id)) for name, annotation_id in ids)
        unnamed = [(name, number) for name, number in in_text if number is not None]
        found = [*self._rows_with_ids(ids), *self._unnamed_rows(unnamed)]
        return {(name, row[0]): row for name, row in found}

    def _rows_with_ids(self, ids: Sequence[tuple[str, str]]) -> list[tuple[str, Row]]:
        """Recording and row of the labels that were given these ids, each with its recording."""
        return self._matching(ids, LABEL.c.AnnotationId, LABEL.c.AnnotationId.is_not(None))

    def _unnamed_rows(self, numbers: Sequence[tuple[str, int]]) -> list[tuple[str, Row]]:
        """Recording and row of the labels without an id that have these numbers, each with its recording."""
        return self._matching(numbers, LABEL.c.Number, LABEL.c.AnnotationId.is_(None))

    def _matching(
        self, pairs: Sequence[tuple], column: Column, condition: ColumnElement[bool]
    ) -> list[tuple[str, Row]]:
        """Recording and row of labels that have one of these pairs of a recording and a value of the column."""
        if not pairs:
            return []
        given = json_values(pairs)
        recording, value = (func.json_extract(given.c.value, f"$[{index}]") for index in range(2))
        same = (LABEL.c.Recording == recording) & (column == value) & condition
        rows = self._connection.execute(select(*LABEL.c).select_from(given).join(LABEL, same))
        return [(name, tuple(row)) for name, *row in rows]


def _shown_id(row: Row) -> str:
    """The id of a label: that which was given, or its number."""
    annotation_id = row[ANNOTATION_ID]
    return str(row[0]) if annotation_id is None else annotation_id
