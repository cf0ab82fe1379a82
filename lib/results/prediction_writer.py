"""Writes predictions from elsewhere into a results store, batch by batch; each is there as a whole or not at all."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select, update

from lib.core.databases import insert_rows, usable, whole_or_nothing
from lib.core.digests import digest_of
from lib.results.predictions import Prediction, as_json, number_of
from lib.results.results_store import ResultsStore
from lib.results.results_tables import FILE, LABEL, RECORDING

_given = func.json_each(bindparam("given")).table_valued("value")
"""The values of a JSON array: one parameter, however many there are."""
_given_recording, _given_id = (func.json_extract(_given.c.value, f"$[{index}]") for index in range(2))


class WriteCounts(NamedTuple):
    """How many predictions were stored, and how many were ignored because their ids existed."""

    processed: int
    ignored: int


class _RecordingState:
    """What is known of a recording while predictions are written.

    Args:
        number: of the next label.
        key: of its results.
    """

    def __init__(self, number: int, key: str) -> None:
        self.number, self.key = number, key
        self.taken: set[int] | None = None
        """Numbers, from the next on, that are ids of other labels; None: not looked up yet."""


class PredictionWriter:
    """Writes to a store that nobody else writes to meanwhile; after an error it must not be used again."""

    def __init__(self, store: ResultsStore) -> None:
        self._store, self._connection = store, store.connection
        self._index = {name: index for index, name in enumerate(store.manifest.class_list.names)}
        self._states: dict[str, _RecordingState] = {}

    def write(self, predictions: Sequence[Prediction], overwrite: bool) -> WriteCounts:
        """Write and commit a batch.

        Args:
            predictions: in which lib.results.predictions.fault_of finds no fault.
            overwrite: replace a label of the same recording and id; False: ignore the prediction. Where two of the
                batch have one id, the last or the first counts accordingly.
        """
        with usable(self._store.path, FILE), whole_or_nothing(self._connection):
            written = self._write(predictions, overwrite)
        self._store.commit()
        return written

    def _write(self, predictions: Sequence[Prediction], overwrite: bool) -> WriteCounts:
        self._read_states({each.reference_id for each in predictions})
        self._read_taken({each.reference_id for each in predictions if each.annotation_id is None})
        numbers = self._numbers(predictions)
        rows, n_added = [], Counter[str]()
        for prediction in predictions:
            recording, annotation_id = prediction.reference_id, prediction.annotation_id
            number = None if annotation_id is None else numbers.get((recording, annotation_id))
            if number is None:
                number = self._next_number(recording, annotation_id)
                numbers[recording, str(number) if annotation_id is None else annotation_id] = number
                n_added[recording] += 1
            elif not overwrite:
                continue
            rows.append((recording, number, *self._values(prediction)))
        insert_rows(self._connection, LABEL, rows, replace=True)
        self._note(rows, n_added)
        return WriteCounts(len(rows), len(predictions) - len(rows))

    def _values(self, prediction: Prediction) -> tuple[Any, ...]:
        """What the table of labels holds of a prediction besides the recording and number, in its order."""
        label, _, start, end, confidence, annotation_id, low, high, pdf, metadata = prediction
        index = self._index.get(label)
        if index is None:
            index = self._index[label] = self._index[self._store.manifest.class_list.resolve(label) or ""]
        frequencies = (None if value is None else float(value) for value in (low, high))
        shares = as_json({name: float(share) for name, share in pdf.items()}) if pdf is not None else None
        more = as_json(metadata) if metadata is not None else None
        return index, float(start), float(end), float(confidence), *frequencies, annotation_id, shares, more

    def _next_number(self, recording: str, annotation_id: str | None) -> int:
        """The number of a new label. One without an id has its number as its id, which no other label may have."""
        state = self._states[recording]
        if annotation_id is None:
            while state.taken and state.number in state.taken:
                state.number += 1
        elif state.taken is not None and (number := number_of(annotation_id)) is not None:
            state.taken.add(number)
        state.number += 1
        return state.number - 1

    def _note(self, rows: Sequence[tuple], n_added: Counter[str]) -> None:
        """Note in the recordings how many labels they have, and that their results are other ones."""
        by_recording = defaultdict[str, list[list]](list)
        for name, *values in rows:
            by_recording[name].append(values)
        changes = []
        for name, values in by_recording.items():
            state = self._states[name]
            state.key = digest_of([state.key, values])
            changes.append({"name": name, "more": n_added[name], "key": state.key})
        statement = update(RECORDING).where(RECORDING.c.Name == bindparam("name"))
        statement = statement.values(Labels=RECORDING.c.Labels + bindparam("more"), Key=bindparam("key"))
        if changes:
            self._connection.execute(statement, changes)

    # What is there

    def _read_states(self, recordings: Collection[str]) -> None:
        new = [name for name in recordings if name not in self._states]
        highest = select(func.max(LABEL.c.Number)).where(LABEL.c.Recording == RECORDING.c.Name).scalar_subquery()
        query = select(RECORDING.c.Name, highest, RECORDING.c.Key).where(RECORDING.c.Name.in_(select(_given.c.value)))
        for name, number, key in self._connection.execute(query, {"given": _json(new)}):
            self._states[name] = _RecordingState(0 if number is None else number + 1, key)

    def _read_taken(self, recordings: Collection[str]) -> None:
        for name, state in ((name, self._states[name]) for name in recordings):
            if state.taken is None:
                is_numeric = LABEL.c.AnnotationId.op("GLOB")("[0-9]*")
                query = select(LABEL.c.AnnotationId).filter_by(Recording=name).where(is_numeric)
                numbers = map(number_of, self._connection.execute(query).scalars())
                state.taken = {number for number in numbers if number is not None and number >= state.number}

    def _numbers(self, predictions: Sequence[Prediction]) -> dict[tuple[str, str], int]:
        """Numbers of the labels that have the ids of these predictions, by recording and id."""
        ids = [(each.reference_id, each.annotation_id) for each in predictions if each.annotation_id is not None]
        in_text = ((name, number_of(annotation_id)) for name, annotation_id in ids)
        unnamed = [(name, number) for name, number in in_text if number is not None]
        is_recording, stored_id = LABEL.c.Recording == _given_recording, LABEL.c.AnnotationId
        query = select(LABEL.c.Recording, LABEL.c.AnnotationId, LABEL.c.Number).select_from(_given)
        by_id = query.join(LABEL, is_recording & (stored_id == _given_id) & stored_id.is_not(None))
        by_number = query.join(LABEL, is_recording & (LABEL.c.Number == _given_id) & stored_id.is_(None))
        numbers: dict[tuple[str, str], int] = {}
        for pairs, statement in ((unnamed, by_number), (ids, by_id)):
            if pairs:
                for name, annotation_id, number in self._connection.execute(statement, {"given": _json(pairs)}):
                    numbers[name, str(number) if annotation_id is None else annotation_id] = number
        return numbers


def _json(values: Sequence) -> str:
    return json.dumps(values, ensure_ascii=False)
