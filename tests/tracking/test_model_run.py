"""ModelRun as its document describes it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from lib import ModelRun, UnknownItem
from lib.config.schema import DataSetSettings, TrackingSettings
from lib.core.digests import digest_file
from lib.core.errors import DataSetError, EarshotError, SettingsError
from lib.evaluation.matches_store import MATCHES_FILE
from lib.results.predictions import Prediction
from lib.results.results_store import ResultsStore
from lib.sound.labels import RESULTS_FILE
from lib.tracking.model_runs.async_job import AsyncJob
from lib.tracking.registry.registered_models import SHA256
from tests.evaluation.example import write_results
from tests.tracking.registry_store import RegistryStore

ROOT = Path(__file__).parents[2]
RATE = 8000
ANNOTATIONS = """recording,class,start_time,end_time,low_freq,high_freq
dawn,Moor Frog,0,4,,
dawn,Common Toad,10,12,,
dusk,Moor Frog,5,8,300,900
"""
FULL = Prediction("Moor Frog", "dawn", 0.5, 4.0, 0.9, "first", 250.0, 800.0, {"Moor Frog": 0.9}, {"by": "me"})


@pytest.fixture
def data_set(tmp_path) -> Path:
    """Recordings dawn (30 s), dusk (20 s) and noon (10 s), the latter without annotations."""
    folder = tmp_path / "set"
    (folder / "recordings").mkdir(parents=True)
    for name, seconds in {"dawn": 30, "dusk": 20, "noon": 10}.items():
        samples = np.random.default_rng(seconds).normal(0, 0.1, seconds * RATE)
        soundfile.write(folder / f"recordings/{name}.wav", samples, RATE)
    (folder / "annotations.csv").write_text(ANNOTATIONS)
    (folder / "classes.csv").write_text("name,code\nMoor Frog,MOFR\nCommon Toad,COTO\n")
    return folder


@pytest.fixture
def run(data_set, tmp_path):
    with ModelRun.create(
        tmp_path / "run", data_set, name="BatDetect", model_id="bd-2", metadata={"when": "May"}
    ) as run:
        yield run


def prediction(reference_id="dawn", annotation_id=None, **values) -> Prediction:
    return Prediction("Moor Frog", reference_id, 1.0, 2.0, 0.5, annotation_id)._replace(**values)


# predict


def test_predict_returns_the_documented_counts(run):
    counts = run.predict([FULL, prediction("dusk"), prediction("dawn", "first")])
    assert counts == {"model_run_id": run.model_run_id, "predictions_processed": 2, "predictions_ignored": 1}


@pytest.mark.parametrize(("update", "confidence", "counts"), [(False, 0.9, (1, 1)), (True, 0.1, (2, 0))])
def test_existing_predictions_are_skipped_or_overwritten(run, update, confidence, counts):
    run.predict([FULL])
    done = run.predict([FULL._replace(confidence=0.1), prediction("dusk", "first")], update=update)
    assert (done["predictions_processed"], done["predictions_ignored"]) == counts
    assert run.prediction_loc("dawn", "first").confidence == confidence
    assert run.prediction_loc("dusk", "first") == prediction("dusk", "first")


def test_predictions_of_any_batch_size_are_the_same(run, data_set, tmp_path):
    given = [prediction(name, start_time=float(i), end_time=i + 1.0) for i in range(9) for name in ("dawn", "dusk")]
    run.predict(given, batch_size=4)
    with ModelRun.create(tmp_path / "other", data_set) as other:
        other.predict(given)
        for name in ("dawn", "dusk"):
            assert run.refloc(name) == other.refloc(name) and len(run.refloc(name)) == 9


def test_one_faulty_prediction_rejects_the_call_with_a_line_for_each_fault(run):
    faulty = [prediction(), prediction(label="Wren"), prediction("midnight"), prediction(confidence=2)]
    with pytest.raises(EarshotError) as error:
        run.predict(faulty, batch_size=1)
    assert str(error.value).splitlines() == [
        "prediction 1: label 'Wren' is not a class of the model run",
        "prediction 2: reference_id 'midnight' is not a readable recording of the data set",
        "prediction 3: confidence 2 must be within 0..1",
        f"{run.model_run_id}: 3 of 4 predictions cannot be stored, so none was; correct them",
    ]
    assert run.refloc("dawn") == []


def test_a_batch_size_below_1_is_refused(run):
    with pytest.raises(SettingsError, match="batch_size = 0: must be 1 or more"):
        run.predict([], batch_size=0)


def test_a_label_given_by_its_code_is_returned_by_its_name(run):
    run.predict([prediction(label="COTO")])
    assert [each.label for each in run.refloc("dawn")] == ["Common Toad"]


def keys(run) -> dict[str, str]:
    with ResultsStore(run.model_run_id) as store:
        return {name: result.key for name, result in store.recordings().items()}


def test_keys_depend_on_what_is_stored_not_on_batches_or_calls(run, data_set, tmp_path):
    given = [prediction("dawn", f"call {i}", start_time=i / 2, end_time=9.0) for i in range(9)]
    given += [prediction("dusk", "a", start_time=-0.0, class_pdf={"Moor Frog": 0.5}, metadata={"by": "me"})]
    run.predict(given)
    with ModelRun.create(tmp_path / "other", data_set) as other:
        other.predict([each._replace(confidence=0.1) for each in given[:5]], batch_size=2)
        assert keys(other) != keys(run)
        for each in given:
            other.predict([each], update=True)
        other.predict(given, update=True, batch_size=3)
        assert keys(other) == keys(run)


def test_a_replaced_recording_has_another_duration_and_key_and_keeps_its_predictions(run, data_set):
    run.predict([FULL, prediction("dusk")])
    run.commit()
    before = keys(run)
    soundfile.write(data_set / "recordings/dawn.wav", np.zeros(3 * RATE), RATE)
    with ModelRun(run.model_run_id, data_set) as again:
        again.predict([])
        after = keys(again)
        assert {name for name in after if after[name] != before[name]} == {"dawn"}
        assert again.refloc("dawn") == [FULL] and again.info()["status"] == "uncommitted"
        with pytest.raises(EarshotError, match="is out of date for dawn; commit the model run again"):
            again.matches("dawn")
    with ResultsStore(run.model_run_id) as store:
        assert store.recordings()["dawn"].seconds == 3.0


def test_commit_notices_a_replaced_recording(run, data_set):
    run.predict([FULL])
    soundfile.write(data_set / "recordings/dawn.wav", np.zeros(2 * RATE), RATE)
    with ModelRun(run.model_run_id, data_set) as again:
        again.commit()
        assert again.matches("dawn")["iou"].tolist() == pytest.approx([0.75])  # both are cut at its end


def test_a_recording_that_became_unreadable_gives_a_warning_and_keeps_its_predictions(run, data_set, capsys):
    run.predict([FULL])
    (data_set / "recordings/dawn.wav").write_bytes(b"nothing")
    with ModelRun(run.model_run_id, data_set) as again:
        again.predict([prediction("dusk")])
        assert again.refloc("dawn") == [FULL] and len(again.refloc("dusk")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "dawn.wav" in line


def test_asynchronous_returns_a_job_with_status_and_errors(run, capsys):
    job = run.predict([FULL, prediction("dusk")], asynchronous=True, batch_size=1)
    assert isinstance(job, AsyncJob)
    job.sleep_until_complete()
    assert f"{job.job_id}: Completed, 2 of 2 steps" in capsys.readouterr().out
    counts = {"model_run_id": run.model_run_id, "predictions_processed": 2, "predictions_ignored": 0}
    assert job.status() == {
        "job_id": job.job_id,
        "status": "Completed",
        "message": counts,
        "job_progress": "1.00",
        "completed_steps": 2,
        "total_steps": 2,
    }
    assert job.errors() == [] and run.refloc("dawn") == [FULL]


def test_a_job_that_fails_tells_why(run):
    job = run.predict([prediction(label="Wren"), prediction("midnight")], asynchronous=True)
    with pytest.raises(EarshotError, match="2 of 2 predictions cannot be stored"):
        job.sleep_until_complete(verbose_std_out=False)
    assert job.status()["status"] == "Errored" and len(job.errors()) == 3
    assert job.errors()[0] == "prediction 0: label 'Wren' is not a class of the model run"


def test_jobs_run_one_after_another_and_closing_waits_for_them(run, data_set):
    jobs = [run.predict([prediction("dawn", "x", confidence=i / 9)], update=True, asynchronous=True) for i in range(9)]
    run.close()
    assert [job.status()["status"] for job in jobs] == ["Completed"] * 9
    with ModelRun(run.model_run_id, data_set) as again:
        assert again.refloc("dawn") == [prediction("dawn", "x", confidence=8 / 9)]


KILLED = """
import sys
from lib.results.predictions import Prediction
from lib.tracking.model_runs.model_run import ModelRun
given = [Prediction("Moor Frog", ("dawn", "dusk")[i % 2], 1.0, 2.0, 0.5) for i in range(300_000)]
run = ModelRun(sys.argv[1], sys.argv[2])
job = run.predict(given, asynchronous=True, batch_size=1000)
while not job.status()["completed_steps"]:
    pass
print("begun", flush=True)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1])
def test_a_process_that_is_killed_leaves_whole_batches(run, data_set, seconds):
    command = [sys.executable, "-c", KILLED, run.model_run_id, str(data_set)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
    with ResultsStore(run.model_run_id) as store:
        counts = {name: result.n_labels for name, result in store.recordings().items()}
        assert all(len(store.found_events(name)) == n for name, n in counts.items())
    assert 0 < sum(counts.values()) < 300_000 and sum(counts.values()) % 1000 == 0
    assert run.predict([prediction()])["predictions_processed"] == 1  # no lock stays


def test_a_run_that_infer_wrote_is_read_only(data_set, tmp_path):
    with write_results(tmp_path / "labels", {"dawn": 30}, labels={"dawn": [("a", 0, 3)]}):
        pass
    digest = digest_file(tmp_path / "labels" / RESULTS_FILE)
    with ModelRun(tmp_path / "labels", data_set) as run:
        with pytest.raises(EarshotError, match="was written by infer and cannot be changed; make a model run"):
            run.predict([prediction(label="a")])
        assert run.refloc("dawn") == [Prediction("a", "dawn", 0.0, 3.0, 0.7, "0")]
        run.commit()
        assert [path.name for path in (tmp_path / "labels").iterdir()] == [RESULTS_FILE]
        assert run.matches("dawn")["iou"].notna().sum() == 1
    assert digest_file(tmp_path / "labels" / RESULTS_FILE) == digest


# create and info


def test_info_returns_the_model_the_metadata_and_the_status(run, data_set):
    info = {"model_id": "bd-2", "name": "BatDetect", "metadata": {"when": "May"}}
    info |= {"status": "uncommitted", "payload": None}
    assert run.info() == info
    run.predict([FULL])
    run.commit()
    rules = {"class_agnostic": True, "allowed_label_matches": [], "iou": 0.5}
    assert run.info() == info | {"status": "committed", "payload": rules}
    run.predict([prediction("noon")])
    assert run.info() == info
    run.commit({"iou": 0.3})
    (data_set / "annotations.csv").write_text(ANNOTATIONS + "noon,Moor Frog,1,2,,\n")
    with ModelRun(run.model_run_id, data_set) as again:
        assert again.info() == info


def test_info_returns_the_payload_of_the_last_commit(run, tmp_path):
    run.predict([FULL])
    allowed = [{"ground_truth_label": "Moor Frog", "model_prediction_label": "Common Toad"}]
    run.commit({"iou": 0.3, "allowed_label_matches": allowed})
    rules = {"class_agnostic": False, "allowed_label_matches": allowed, "iou": 0.3}
    assert run.info()["payload"] == rules
    run.commit({"iou": 0.7}, folder=tmp_path / "strict")
    assert run.info()["payload"] == rules and run.info(tmp_path / "strict")["payload"]["iou"] == 0.7
    run.commit(run.info()["payload"], folder=tmp_path / "again")
    assert run.info(tmp_path / "again")["payload"] == rules


def test_info_of_a_run_of_infer_returns_its_manifest(data_set, tmp_path):
    with write_results(tmp_path / "labels", {"dawn": 30}):
        pass
    tracking = TrackingSettings(uri=f"sqlite:///{tmp_path}/mlflow.db")
    with ModelRun(tmp_path / "labels", data_set, tracking=tracking) as run:
        info = run.info()
    assert (info["name"], info["status"], info["metadata"]["models"]) == ("labels", "uncommitted", {"model.pt": "1"})
    assert info["model_id"] is None and not (tmp_path / "mlflow.db").exists()


def test_info_of_a_run_of_infer_finds_the_registered_model_by_its_weights(data_set, tmp_path, mlflow_uri, request):
    store = RegistryStore(mlflow_uri, request.node.name, tmp_path)
    weights = {"a.pt": request.node.name.encode(), "b.pt": b"b"}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in weights.items()}
    files = {f"weights/{name}": content for name, content in weights.items()}
    ensemble = store.add(files=files | {"earshot/files.json": json.dumps(digests).encode()})
    alone = {"weights/a.pt": weights["a.pt"], "earshot/files.json": json.dumps({"a.pt": digests["a.pt"]}).encode()}
    store.add(files=alone)
    store.add(files={"weights/other.bin": b"of other software"})
    for name in weights:
        (tmp_path / name).write_bytes(weights[name])
    used = {f"renamed {name}": digest_file(tmp_path / name) for name in weights}
    models = {"both": (used, ensemble.id), "one": ({"b.pt": used["renamed b.pt"]}, None)}
    for name, (digests_of_run, model_id) in models.items():
        assert model_id_of(tmp_path / name, data_set, store, digests_of_run) == model_id


def model_id_of(folder, data_set, store, checkpoints) -> str | None:
    """The model id of a run that infer wrote with these checkpoints."""
    with write_results(folder, {"dawn": 30}, models=checkpoints):
        pass
    with ModelRun(folder, data_set, tracking=store.tracking) as run:
        return run.info()["model_id"]


@pytest.mark.parametrize("tag", ["valid", "{", "[1]", "{}"])
def test_the_stored_digests_of_a_model_are_read_only_where_its_tag_lacks_them(
    data_set, tmp_path, mlflow_uri, request, tag
):
    store = RegistryStore(mlflow_uri, request.node.name, tmp_path)
    digest = hashlib.sha256(request.node.name.encode()).hexdigest()
    kept = b"{}" if tag == "valid" else json.dumps({"a.pt": digest}).encode()  # so the files tell where the tag doesn't
    tags = {SHA256: json.dumps({"a.pt": digest}) if tag == "valid" else tag}
    model = store.add(files={"weights/a.pt": b"", "earshot/files.json": kept}, facts=tags)
    assert model_id_of(tmp_path / "run", data_set, store, {"a.pt": digest[:32]}) == model.id


def test_a_run_may_have_other_classes_than_its_data_set(data_set, tmp_path):
    classes = ["frog", {"name": "toad", "code": "T"}]
    with ModelRun.create(tmp_path / "run", data_set, classes=classes) as run:
        run.predict([prediction(label="frog"), prediction("dusk", label="T")])
        assert [run.refloc(name)[0].label for name in ("dawn", "dusk")] == ["frog", "toad"]
        assert run.info()["name"] == run.info()["model_id"] == "run"


@pytest.mark.parametrize("classes", [[], ["a", "a"], [""], [3], [{"code": "a"}]])
def test_classes_need_unique_names(data_set, tmp_path, classes):
    with pytest.raises(SettingsError, match="class"):
        ModelRun.create(tmp_path / "run", data_set, classes=classes)
    assert not (tmp_path / "run").exists()


def test_create_refuses_a_folder_with_results(run, data_set):
    with pytest.raises(EarshotError, match="holds results already; give another folder, or remove it"):
        ModelRun.create(run.model_run_id, data_set)


def test_recordings_added_later_join_the_run_once_they_can_be_read(run, data_set):
    soundfile.write(data_set / "recordings/night.wav", np.zeros(RATE), RATE)
    (data_set / "recordings/broken.wav").write_bytes(b"nothing")
    with ModelRun(run.model_run_id, data_set) as later:
        assert later.predict([prediction("night", start_time=0, end_time=0.5)])["predictions_processed"] == 1
        with pytest.raises(EarshotError, match="reference_id 'broken' is not a readable recording of the data set"):
            later.predict([prediction("broken")])
        assert len(later.refloc("night")) == 1 and later.refloc("broken") == []
        soundfile.write(data_set / "recordings/broken.wav", np.zeros(RATE), RATE)  # it is repaired
        assert later.predict([prediction("broken", start_time=0, end_time=0.5)])["predictions_processed"] == 1


def test_only_recordings_that_were_named_or_predicted_count_as_analyzed(data_set, tmp_path):
    with ModelRun.create(tmp_path / "run", data_set, recordings=["dawn"]) as run:
        run.commit()
        assert len(run.matches("dawn")) == 2
        with pytest.raises(EarshotError, match="is out of date for dusk"):
            run.matches("dusk")
        run.predict([prediction("noon")])
    with ModelRun(tmp_path / "run", data_set) as again:
        again.predict([])
    assert keys(again).keys() == {"dawn", "noon"}


def test_create_refuses_recordings_outside_the_data_set(data_set, tmp_path):
    with pytest.raises(SettingsError, match="recordings: are not in the data set: midnight; correct them"):
        ModelRun.create(tmp_path / "run", data_set, recordings=["dawn", "midnight"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"metadata": {1: 2}}, "metadata: must be a mapping that JSON can hold, with texts as keys"),
        ({"metadata": {"a": [{None: 1}]}}, "metadata: must be a mapping"),
        ({"metadata": "text"}, "metadata: must be a mapping"),
        ({"name": 3}, "name = 3: must be a text"),
        ({"model_id": "a\nb"}, r"model_id = 'a\\nb': must be a text"),
    ],
)
def test_invalid_arguments_of_create_give_one_line(data_set, tmp_path, arguments, fault):
    with pytest.raises(SettingsError, match=fault) as error:
        ModelRun.create(tmp_path / "run", data_set, **arguments)
    assert len(str(error.value).splitlines()) == 1 and not (tmp_path / "run").exists()


def test_a_data_set_may_be_given_with_a_format_and_an_include(data_set, tmp_path):
    chosen = DataSetSettings(path=str(data_set), format="segments", include="d*")
    with ModelRun.create(tmp_path / "run", chosen) as run:
        assert run.dataset_id == str(data_set) and run.dataset_item_ids().keys() == {"dawn", "dusk"}
        with pytest.raises(UnknownItem, match=f"has no recording 'noon'; {data_set} has no file"):
            run.refloc("noon")


def test_create_warns_of_an_unreadable_recording_and_uses_the_others(data_set, tmp_path, capsys):
    (data_set / "recordings/broken.wav").write_bytes(b"nothing")
    with ModelRun.create(tmp_path / "run", data_set) as run:
        assert {name for name, key in keys(run).items() if key} == {"dawn", "dusk", "noon"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "broken.wav" in line


# Several at once


PREDICTS = """
import sys
from lib import ModelRun, Prediction
run = ModelRun(*sys.argv[1:3])
print("ready", flush=True)
input()
for i in range(40):
    run.predict([Prediction("Moor Frog", name, i, i + 1, 0.5, f"{sys.argv[3]} {i}") for name in ("dawn", "dusk")])
run.close()
"""


def test_processes_that_predict_into_a_run_at_the_same_time_wait_for_each_other(run, data_set):
    commands = [[sys.executable, "-c", PREDICTS, run.model_run_id, str(data_set), name] for name in ("a", "b")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for command in commands]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    with ModelRun(run.model_run_id, data_set) as again:
        for name in ("dawn", "dusk"):
            assert {each.annotation_id for each in again.refloc(name)} == {f"{a} {i}" for a in "ab" for i in range(40)}


def test_a_run_can_be_used_by_threads(run):
    def work(thread: int) -> None:
        for i in range(10):
            run.predict([prediction("dawn", f"{thread} {i}"), prediction("dusk")])
            assert run.prediction_loc("dawn", f"{thread} {i}").annotation_id == f"{thread} {i}"
            run.commit()
            assert len(run.iloc(0)) > i

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(run.refloc("dawn")) == len(run.refloc("dusk")) == 40
    run.commit()
    assert run.info()["status"] == "committed"


def test_a_run_may_be_copied_to_another_folder(run, data_set, tmp_path):
    run.predict([FULL])
    run.commit()
    run.close()
    shutil.copytree(run.model_run_id, tmp_path / "elsewhere/copy")
    with ModelRun(tmp_path / "elsewhere/copy", data_set) as copy:
        assert copy.refloc("dawn") == [FULL] and len(copy.matches("dawn")) == 2
        assert copy.info()["status"] == "committed"
        copy.predict([prediction("dusk")])
    with ModelRun(run.model_run_id, data_set) as again:
        assert again.refloc("dusk") == []


# Items


def test_iloc_gives_the_predictions_of_the_recording_of_that_number(run):
    run.predict([FULL, prediction("noon", start_time=3, end_time=4), prediction("noon")])
    assert run.iloc(0) == [FULL] and run.iloc(1) == []
    assert run.iloc(2) == [prediction("noon", "1"), prediction("noon", "0", start_time=3.0, end_time=4.0)]
    for number in (3, -1):
        with pytest.raises(UnknownItem, match=f"has no recording number {number}; it has 3 recordings"):
            run.iloc(number)


def test_loc_gives_the_predictions_of_the_recording_with_that_content(run, data_set):
    run.predict([FULL])
    ids = run.dataset_item_ids()
    assert run.loc(ids["dawn"]) == {"annotations": [FULL]} and run.loc(ids["dusk"]) == {"annotations": []}
    with pytest.raises(UnknownItem, match="has no recordings with the id nothing"):
        run.loc("nothing")
    (data_set / "recordings/copy.wav").write_bytes((data_set / "recordings/dawn.wav").read_bytes())
    with (
        ModelRun(run.model_run_id, data_set) as again,
        pytest.raises(UnknownItem, match=r"2 recordings .*: copy, dawn"),
    ):
        again.loc(ids["dawn"])


def test_refloc_gives_the_predictions_of_a_recording(run):
    run.predict([prediction(start_time=5, end_time=6), FULL])
    assert run.refloc("dawn") == [FULL, prediction("dawn", "0", start_time=5.0, end_time=6.0)]
    assert run.refloc("noon") == []
    with pytest.raises(UnknownItem, match="has no recording 'midnight'"):
        run.refloc("midnight")


def test_prediction_loc_gives_a_prediction_by_its_id(run):
    run.predict([FULL, prediction()])
    assert run.prediction_loc("dawn", "first") == FULL
    assert run.prediction_loc("dawn", "1") == prediction("dawn", "1")
    for reference_id, annotation_id, fault in (
        ("dawn", "second", "has no prediction 'second' of dawn"),
        ("dusk", "first", "has no prediction 'first' of dusk"),
        ("midnight", "first", "has no recording 'midnight'"),
    ):
        with pytest.raises(UnknownItem, match=fault):
            run.prediction_loc(reference_id, annotation_id)


def test_a_folder_without_results_is_not_a_model_run(data_set, tmp_path):
    with pytest.raises(UnknownItem, match=r"is not a model run; give a folder that infer or ModelRun\.create wrote"):
        ModelRun(tmp_path / "nothing", data_set)


def test_a_missing_data_set_is_an_error(run, tmp_path):
    with ModelRun(run.model_run_id, tmp_path / "nothing") as other, pytest.raises(DataSetError, match="nothing"):
        other.refloc("dawn")


# commit and matches


def test_commit_returns_the_id_and_stores_what_matches(run):
    run.predict([FULL._replace(low_freq=None), prediction(label="Common Toad", start_time=9.5, end_time=12)])
    run.predict([prediction("dusk", "box", start_time=5, end_time=8, low_freq=300, high_freq=600), prediction("noon")])
    digest = digest_file(Path(run.model_run_id) / RESULTS_FILE)
    assert run.commit({"iou": 0.5}) == {"model_run_id": run.model_run_id}
    assert digest_file(Path(run.model_run_id) / RESULTS_FILE) == digest
    table = run.matches("dawn")
    assert list(table.columns) == [
        *("iou", "annotation", "ground_truth_label", "ground_truth_start", "ground_truth_end"),
        *("annotation_id", "label", "start_time", "end_time", "confidence"),
    ]
    assert table["iou"].tolist() == pytest.approx([0.8, 0.875])  # annotations by class: the toad is first
    assert table["annotation_id"].tolist() == ["1", "first"] and table["annotation"].tolist() == [0, 1]
    assert table["ground_truth_label"].tolist() == ["Common Toad", "Moor Frog"]
    assert run.matches("dusk")["iou"].tolist() == [0.5]  # of boxes
    alone = run.matches("noon").iloc[0]
    assert pd.isna(alone["annotation"]) and pd.isna(alone["ground_truth_label"]) and alone["label"] == "Moor Frog"
    with pytest.raises(UnknownItem, match="has no recording 'midnight'"):
        run.matches("midnight")


def test_matching_is_class_agnostic_unless_the_payload_says_otherwise(run):
    run.predict([prediction(label="Common Toad", start_time=0, end_time=4)])
    pairs = {}
    for name, payload in {
        "default": None,
        "agnostic": {"class_agnostic": True},
        "by class": {"class_agnostic": False},
        "allowed": {
            "class_agnostic": True,
            "allowed_label_matches": [{"ground_truth_label": "MOFR", "model_prediction_label": "COTO"}],
        },
        "other": {"allowed_label_matches": [{"ground_truth_label": "Common Toad", "model_prediction_label": "MOFR"}]},
    }.items():
        run.commit(payload)
        pairs[name] = int(run.matches("dawn")["iou"].notna().sum())
    assert pairs == {"default": 1, "agnostic": 1, "by class": 0, "allowed": 1, "other": 0}


def test_matches_may_lie_in_another_folder_and_have_the_same_bytes_each_time(run, tmp_path):
    run.predict([FULL])
    run.commit(folder=tmp_path / "a")
    run.commit(folder=tmp_path / "b")
    run.commit({"iou": 0.4}, folder=tmp_path / "c")
    content = {name: (tmp_path / name / MATCHES_FILE).read_bytes() for name in "abc"}
    run.commit(folder=tmp_path / "a")
    assert (tmp_path / "a" / MATCHES_FILE).read_bytes() == content["a"] == content["b"]
    assert content["c"][24:28] != content["a"][24:28]
    assert len(run.matches("dawn", tmp_path / "a")) == 2
    with pytest.raises(EarshotError, match=r"matches\.db: no such file; commit the model run first"):
        run.matches("dawn")


BY_CLASS = {"class_agnostic": False}


@pytest.fixture
def pipeline_run(data_set, tmp_path):
    """A run that infer wrote and evaluate committed; DVC has recorded its matches."""
    with write_results(tmp_path / "data/labels", {"dawn": 30}, labels={"dawn": [("a", 0, 3)]}):
        pass
    with ModelRun(tmp_path / "data/labels", data_set) as run:
        run.commit(BY_CLASS)
        out = {"path": "data/labels.matches", "md5": "0.dir"}
        (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"evaluate": {"outs": [out]}}}))
        yield run


@pytest.mark.parametrize("payload", [None, {"iou": 0.3} | BY_CLASS])
def test_commit_by_other_rules_does_not_replace_matches_that_the_pipeline_made(pipeline_run, tmp_path, payload):
    file = tmp_path / "data/labels.matches" / MATCHES_FILE
    digest = digest_file(file)
    fault = r"labels\.matches: is an output of the pipeline, which only evaluate writes; run `dvc repro evaluate`"
    for folder in (None, tmp_path / "data/labels.matches"):
        with pytest.raises(EarshotError, match=fault) as error:
            pipeline_run.commit(payload, folder)
        assert "\n" not in str(error.value) and digest_file(file) == digest
    pipeline_run.commit(payload, tmp_path / "data/mine")
    assert len(pipeline_run.matches("dawn", tmp_path / "data/mine")) and digest_file(file) == digest


def test_commit_by_the_rules_of_the_pipeline_changes_nothing(pipeline_run, data_set, tmp_path):
    file = tmp_path / "data/labels.matches" / MATCHES_FILE
    state = file.stat().st_mtime_ns
    assert pipeline_run.commit(BY_CLASS) == {"model_run_id": pipeline_run.model_run_id}
    assert file.stat().st_mtime_ns == state
    (data_set / "annotations.csv").write_text(ANNOTATIONS.replace("0,4,", "0,3,"))
    with (
        ModelRun(pipeline_run.model_run_id, data_set) as again,
        pytest.raises(EarshotError, match="dvc repro evaluate"),
    ):
        again.commit(BY_CLASS)


def test_commit_replaces_matches_that_no_pipeline_made(pipeline_run, tmp_path):
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {}}))
    pipeline_run.commit({"iou": 0.3})
    assert pipeline_run.info(tmp_path / "data/labels.matches")["payload"]["iou"] == 0.3


def test_outdated_matches_are_an_error(run, data_set):
    run.predict([FULL])
    run.commit()
    run.predict([prediction("dusk")])
    assert len(run.matches("dawn")) == 2
    with pytest.raises(EarshotError, match="is out of date for dusk; commit the model run again"):
        run.matches("dusk")
    (data_set / "annotations.csv").write_text(ANNOTATIONS.replace("0,4,", "0,3,"))
    with ModelRun(run.model_run_id, data_set) as again, pytest.raises(EarshotError, match="is out of date for dawn"):
        again.matches("dawn")


def test_an_invalid_payload_writes_nothing(run):
    with pytest.raises(SettingsError, match=r"payload\.class_agnostic"):
        run.commit({"class_agnostic": 3})
    with pytest.raises(SettingsError, match="'Wren' is not a class of the model run"):
        run.commit({"allowed_label_matches": [{"ground_truth_label": "MOFR", "model_prediction_label": "Wren"}]})
    assert not (Path(run.model_run_id) / MATCHES_FILE).exists()
