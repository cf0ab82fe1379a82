import json
import sqlite3
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.errors import EarshotError
from lib.results.external_recordings import ExternalRecordings
from lib.results.manifest import ExternalRun, manifest_of_predictions
from lib.results.prediction_reader import PredictionReader
from lib.results.prediction_writer import PredictionWriter, WriteCounts
from lib.results.predictions import Prediction
from lib.results.results_store import PartialResult, ResultsStore, earlier_results
from lib.sound.labels import RESULTS_FILE, Label
from tests.results.builders import make_manifest

CLASSES = [{"name": "a", "code": "A"}, {"name": "b"}]
SECONDS = {"r": 30.0, "s": 20.0}


def external_store(folder):
    store = ResultsStore(folder, manifest_of_predictions(CLASSES, ExternalRun(model_id="m", name="batdetect")))
    for name, seconds in SECONDS.items():
        if name not in store.recordings():
            ExternalRecordings(store).upsert(name, f"{name}.wav", seconds, f"content of {name}")
    store.commit()
    return store


def prediction(recording="r", annotation_id=None, confidence=0.5, **values):
    return Prediction("a", recording, 1.0, 2.0, confidence, annotation_id)._replace(**values)


def test_predictions_are_read_as_they_were_written(tmp_path):
    full = Prediction("b", "r", 0.5, 1.5, 0.25, "x", 300.0, 900.0, {"a": 0.25, "c": 0.75}, {"by": ["me", None]})
    with external_store(tmp_path) as store:
        given = [full, prediction(), prediction("s", label="A", start_time=np.float32(0.5), low_freq=5)]
        assert PredictionWriter(store).write(given, overwrite=False) == WriteCounts(3, 0)
    with ResultsStore(tmp_path) as store:
        reader = PredictionReader(store)
        assert reader.predictions("r") == [full, prediction(annotation_id="1")]
        assert reader.predictions("s") == [prediction("s", annotation_id="0", start_time=0.5, low_freq=5.0)]
        assert reader.prediction("r", "x") == full and reader.prediction("r", "1") == prediction(annotation_id="1")
        assert reader.prediction("r", "0") is None and reader.prediction("s", "x") is None
        assert list(store.labels("r")) == [Label("b", 0.5, 1.5, 0.25), Label("a", 1.0, 2.0, 0.5)]
        assert [result.n_labels for result in store.recordings().values()] == [2, 1]


def test_labels_of_infer_have_their_numbers_as_ids(tmp_path):
    with ResultsStore(tmp_path, make_manifest()) as store:
        parts = [
            PartialResult(np.zeros((2, 3), np.float32), [Label("b", 3.0, 6.0, 0.5), Label("a", 0.0, 3.0, 0.7)], 6.0)
        ]
        store.write("r", "r.wav", "key", parts, [], [])
        reader = PredictionReader(store)
        assert reader.predictions("r") == [
            Prediction("a", "r", 0.0, 3.0, 0.7, "1"),
            Prediction("b", "r", 3.0, 6.0, 0.5, "0"),
        ]
        assert reader.prediction("r", "0") == Prediction("b", "r", 3.0, 6.0, 0.5, "0")
        assert reader.prediction("r", "00") is None and reader.prediction("r", "2") is None


IDS = st.none() | st.sampled_from(["0", "1", "2", "3", "01", "x", "y"])
GIVEN = st.lists(st.tuples(st.sampled_from("rs"), IDS), max_size=12)


def stored(store):
    """Confidence by recording and id."""
    rows = [each for name in SECONDS for each in PredictionReader(store).predictions(name)]
    assert {name: result.n_labels for name, result in store.recordings().items()} == {
        name: sum(each.reference_id == name for each in rows) for name in SECONDS
    }
    by_id = {(each.reference_id, each.annotation_id): each.confidence for each in rows}
    assert len(by_id) == len(rows)
    return by_id


@settings(deadline=None, max_examples=60)
@given(GIVEN, st.booleans())
def test_an_id_is_new_or_exists_and_a_prediction_without_gets_a_new_one(tmp_path_factory, given, overwrite):
    with external_store(tmp_path_factory.mktemp("run")) as store:
        writer, expected = PredictionWriter(store), {}
        for number, (recording, annotation_id) in enumerate(given):
            exists = (recording, annotation_id) in expected
            written = writer.write([prediction(recording, annotation_id, number / 20)], overwrite)
            assert written == (WriteCounts(0, 1) if exists and not overwrite else WriteCounts(1, 0))
            now = stored(store)
            if annotation_id is None:
                ((_, annotation_id),) = now.keys() - expected.keys()
            if not exists or overwrite:
                expected[recording, annotation_id] = number / 20
            assert now == expected
            assert (
                PredictionReader(store).prediction(recording, annotation_id).confidence
                == expected[recording, annotation_id]
            )


@settings(deadline=None, max_examples=60)
@given(GIVEN, st.booleans(), st.lists(st.integers(0, 12), max_size=3), st.booleans())
def test_batch_sizes_do_not_change_what_is_stored(tmp_path_factory, given, overwrite, cuts, is_fresh):
    predictions = [prediction(*each, number / 20) for number, each in enumerate(given)]
    with (
        external_store(tmp_path_factory.mktemp("whole")) as whole,
        external_store(tmp_path_factory.mktemp("cut")) as cut,
    ):
        expected = PredictionWriter(whole).write(predictions, overwrite)
        writer, edges = PredictionWriter(cut), [0, *sorted(cuts), len(predictions)]
        written = []
        for start, stop in pairwise(edges):
            writer = PredictionWriter(cut) if is_fresh else writer
            written.append(writer.write(predictions[start:stop], overwrite))
        assert tuple(map(sum, zip(*written, strict=True))) == expected
        assert stored(cut) == stored(whole)


def test_an_id_that_is_a_number_is_not_given_to_another_label(tmp_path):
    with external_store(tmp_path) as store:
        writer = PredictionWriter(store)
        writer.write([prediction(annotation_id="1"), prediction(annotation_id="2")], False)
        writer.write([prediction(confidence=0.1), prediction(confidence=0.2), prediction(annotation_id="5")], False)
        writer.write([prediction(confidence=0.3), prediction(confidence=0.4)], False)
        ids = [each.annotation_id for each in PredictionReader(store).predictions("r")]
        assert len(set(ids)) == len(ids) == 7


def test_an_id_that_is_the_number_of_a_label_means_that_label(tmp_path):
    with external_store(tmp_path) as store:
        writer = PredictionWriter(store)
        writer.write([prediction(confidence=0.1)], False)
        again = [prediction(annotation_id="0", confidence=0.9)]
        assert writer.write(again, False) == WriteCounts(0, 1)
        assert writer.write(again, True) == WriteCounts(1, 0)
        assert PredictionReader(store).predictions("r") == again


def test_ids_are_looked_up_by_indexes(tmp_path):
    with external_store(tmp_path) as store:
        statements = []
        store.connection.connection.dbapi_connection.set_trace_callback(statements.append)
        PredictionWriter(store).write([prediction(annotation_id="7")], False)
        lookups = [statement for statement in statements if "json_extract" in statement]
        with sqlite3.connect(store.path) as connection:
            plans = [" ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")) for each in lookups]
    assert len(plans) == 2
    assert all("SEARCH" in plan and "Recording=? AND" in plan for plan in plans), plans


def test_a_failing_batch_leaves_the_batches_before_it(tmp_path):
    with external_store(tmp_path) as store:
        writer = PredictionWriter(store)
        writer.write([prediction(), prediction("s")], False)
        with sqlite3.connect(store.path) as connection:  # as a full disk would end it
            stop = (
                "CREATE TRIGGER stop BEFORE INSERT ON Label WHEN NEW.Score = 1 BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
            connection.execute(stop)
        with pytest.raises(EarshotError, match="full"):
            writer.write([prediction("s", confidence=0.1), prediction(confidence=1.0)], False)
    with ResultsStore(tmp_path) as store:
        assert [len(PredictionReader(store).predictions(name)) for name in "rs"] == [1, 1]
        assert [result.n_labels for result in store.recordings().values()] == [1, 1]


def test_each_batch_changes_the_digest_of_the_store(tmp_path):
    with external_store(tmp_path) as store:
        digests = [store.digest()]
        for overwrite, each in ((False, prediction()), (True, prediction(annotation_id="0", confidence=0.6))):
            PredictionWriter(store).write([each], overwrite)
            digests.append(store.digest())
    assert len(set(digests)) == 3


def test_scores_of_an_external_run_are_an_error(tmp_path):
    with external_store(tmp_path) as store:
        assert store.scores("r").shape == (0, 2)
        with pytest.raises(EarshotError, match=r"results\.db: holds an external model run, without scores"):
            store.check_scores()
        assert store.manifest.external_run == ExternalRun(model_id="m", name="batdetect")
    assert earlier_results(tmp_path).manifests[0].external_run


def test_a_label_of_infer_takes_a_few_bytes_more_than_its_values(tmp_path):
    n = 20_000
    labels = [Label("a", float(i), i + 3.0, 0.5) for i in range(n)]
    with ResultsStore(tmp_path, make_manifest()) as store:
        store.write("r", "r.wav", "key", [PartialResult(np.zeros((1, 3), np.float32), labels, 9.0)], [], [])
        store.finish(pack=True)
    assert (tmp_path / RESULTS_FILE).stat().st_size / n < 50
    with ResultsStore(tmp_path) as store:
        assert json.loads(store.manifest.model_dump_json())["brought"] is None


def test_a_batch_costs_by_its_own_size_whatever_is_there(tmp_path):
    batch = [prediction(annotation_id=f"7{number}" if number % 2 else None) for number in range(10)]
    steps, n_steps = {}, 0

    def count() -> None:
        nonlocal n_steps
        n_steps += 1

    with external_store(tmp_path) as store:
        store.connection.connection.dbapi_connection.set_progress_handler(count, 10)
        for n_before in (100, 20_000):
            PredictionWriter(store).write([prediction(annotation_id=f"{i}") for i in range(n_before)], False)
            n_steps = 0
            PredictionWriter(store).write(batch, True)
            steps[n_before] = n_steps
    assert steps[20_000] < 1.5 * steps[100]
