import csv
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from lib import Analyzer
from lib.audio import reader
from lib.config.schema import InferSettings, Settings
from lib.core import code_digest, incremental, progress
from lib.core.digests import digest_file
from lib.core.errors import EarshotError, SettingsError
from lib.formats import WRITERS, parquet
from lib.inference.analyzer import analyze
from lib.inference.predictor import Predictor
from lib.models.description import Calibration
from lib.occurrence.occurrence_database import write_database
from lib.occurrence.occurrence_filter import Reason, occurrence_filter
from lib.occurrence.occurrence_pickler import OccurrencePickler
from lib.occurrence.occurrence_table import COLUMNS, read_occurrences
from lib.results.external_recordings import ExternalRecordings
from lib.results.manifest import ExternalRun, manifest_of_predictions
from lib.results.results_store import ResultsStore
from lib.sound.grid import window_starts
from lib.sound.labels import RESULTS_FILE
from lib.sound.recordings import recordings_of
from stages.infer import infer
from tests.memory import peak_memory
from tests.models.builders import save_random_model
from tests.recordings import noise
from tests.training_data.builders import AUDIO, PITCHES, RATE, tones, write_data_set, write_params

SETTINGS = InferSettings(overlap=0.25, csv_min_score=0.0, workers=1, batch_size=8, device="cpu", precision="32")
FPS = 16.0
SECONDS = {"long": 7.3, "r00": 3.0, "r01": 3.0, "short": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`field`, recordings of some lengths; `pool` and `sed`, three models each; `calibrated`, one."""
    folder = tmp_path_factory.mktemp("analyzer")
    (write_data_set(folder / "set", 2) / "recordings").rename(folder / "field")
    soundfile.write(folder / "field/long.wav", tones(7, SECONDS["long"], tuple(PITCHES))[0], RATE)
    soundfile.write(folder / "field/short.wav", noise(SECONDS["short"], RATE, seed=2), RATE)
    for seed in (1, 2, 3):
        save_random_model(folder / f"pool/{seed}.pt", AUDIO, seed=seed)
        save_random_model(folder / f"sed/{seed}.pt", AUDIO, seed=seed, head="sed", sed_fps=FPS)
    calibration = Calibration(coefficient=0.5, intercept=0.2, thresholds={"a": 0.0, "b": 1.0})
    save_random_model(folder / "calibrated/1.pt", AUDIO, calibration=calibration)
    return folder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Results of the ensemble without frames, made in one go."""
    output = tmp_path_factory.mktemp("whole")
    run(folder / "field", folder / "pool", output)
    return output


@pytest.fixture
def field(folder, tmp_path):
    return shutil.copytree(folder / "field", tmp_path / "field")


def run(recordings, model, output, occurrences=None, keep_others=False, pack=True, **settings):
    chosen, _ = recordings_of(recordings)
    settings = Settings(infer=InferSettings.model_validate(SETTINGS.model_dump() | settings))
    return analyze(chosen, model, settings, output, occurrences, keep_others, pack)


def predictor_of(model, **infer):
    return Predictor(model, "cpu", Settings().model_copy(update={"infer": SETTINGS.model_copy(update=infer)}))


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores_of(output, recording="long"):
    """Scores (n_windows, 3) and start times."""
    with ResultsStore(output) as store:
        starts = [start for starts, _ in store.windows(recording) for start in starts.tolist()]
        return store.scores(recording), starts


def labels_of(output, recording="long"):
    lines = (output / f"{recording}.txt").read_text().splitlines()
    return [(text.split(";")[0], float(start), float(end)) for start, end, text in (line.split("\t") for line in lines)]


def flat(by_name):
    """Labels of a predictor as labels_of gives them."""
    labels = [label for labels in by_name.values() for label in labels]
    return sorted((label.name, round(label.start_time, 3), round(label.end_time, 3)) for label in labels)


def files_of(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


# What there is


def test_store_label_files_and_tables_agree(whole, folder):
    rows = table(whole / "recordings.csv")
    assert [(row["recording"], row["status"]) for row in rows] == [(name, "ok") for name in SECONDS]
    with ResultsStore(whole) as store:
        for row, result in zip(rows, store.recordings().values(), strict=True):
            labels = [(name, round(start, 3), round(end, 3)) for name, start, end, _ in store.labels(result.name)]
            assert labels == labels_of(whole, result.name) and len(labels) == int(row["labels"]) == result.n_labels
            assert row["path"] == str(folder / f"field/{result.name}.wav")
            assert result.seconds == pytest.approx(SECONDS[result.name], abs=1 / AUDIO.frame_rate)
            starts, scores = scores_of(whole, result.name)[1], store.scores(result.name)
            assert starts == window_starts(result.seconds, 0.5, 0.25).tolist() and len(starts) == result.n_windows
            assert {label[0] for label in labels} == {"abc"[column] for column in np.flatnonzero(scores.max(0) >= 0.5)}
    manifest = yaml.safe_load((whole / "manifest.yaml").read_text())
    assert (manifest["segment_len"], manifest["overlap"]) == (0.5, 0.25)
    assert [(entry["name"], entry["code"]) for entry in manifest["classes"]] == [("a", "A"), ("b", "B"), ("c", "C")]
    assert manifest["models"] == {f"{i}.pt": digest_file(folder / f"pool/{i}.pt") for i in (1, 2, 3)}
    assert set(files_of(whole)) == {
        *(f"{name}.txt" for name in SECONDS),
        RESULTS_FILE,
        "manifest.yaml",
        "recordings.csv",
    }


@pytest.mark.parametrize("start", [0.0, 1.1])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("pool", {}),
        ("calibrated", {}),
        ("sed", {}),
        ("sed", {"segment_len": 0.5}),
        ("sed", {"segment_len": 0.5, "quantile": 0.25, "min_score": 0.3}),
    ],
)
def test_scores_and_labels_are_those_of_the_predictor(folder, tmp_path, kind, changes, start):
    run(folder / "field", folder / kind, tmp_path, start_seconds=start, merge_labels=False, **changes)
    predictor = predictor_of(folder / kind, **changes)
    scores, frame_map, starts = predictor.get_recording_scores(folder / "field/long.wav", start)
    seconds = soundfile.info(folder / "field/long.wav").duration
    if frame_map is None:
        expected = predictor.get_segment_labels(scores, starts, seconds)
    else:
        expected = predictor.get_frame_labels(frame_map, seconds)
    labels = labels_of(tmp_path)
    assert sorted(labels) == flat(expected) and len(labels) > 3
    table = predictor.get_dataframe(scores, frame_map, starts, "long", seconds)
    assert len(table) == len(labels) and table["end_time"].max() <= seconds
    assert [label[1] for label in labels] == sorted(label[1] for label in labels)
    stored, stored_starts = scores_of(tmp_path)
    np.testing.assert_allclose(stored, scores, atol=1e-5)
    np.testing.assert_allclose(stored_starts, starts)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_frame_labels_do_not_depend_on_how_the_recording_is_cut(folder, tmp_path, batch):
    run(folder / "field", folder / "sed", tmp_path / "a")
    run(folder / "field", folder / "sed", tmp_path / "b", batch_size=batch)
    assert labels_of(tmp_path / "a") == labels_of(tmp_path / "b")


def test_frames_of_models_that_score_none_are_as_many_as_the_settings_say(folder, tmp_path):
    settings = Settings(infer=SETTINGS.model_copy(update={"initial_offsets": [0.0, 0.125, 0.25]}))
    settings.train.sed_fps = 25.0
    recordings, _ = recordings_of(folder / "field/long.wav")
    analyze(recordings, folder / "pool", settings, tmp_path)
    predictor = Predictor(folder / "pool", "cpu", settings)
    frame_map = predictor.get_overlapping_scores(folder / "field/long.wav", AUDIO.spec_duration, [0.0, 0.125, 0.25])
    assert sorted(labels_of(tmp_path)) == flat(predictor.get_frame_labels(frame_map))
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text())["sed_fps"] == 25.0
    settings.train.sed_fps = 10.0
    assert analyze(recordings, folder / "pool", settings, tmp_path).n_new == 1
    settings.infer.initial_offsets = None
    analyze(recordings, folder / "pool", settings, tmp_path)
    settings.train.sed_fps = 25.0  # which labels of windows do not depend on
    assert analyze(recordings, folder / "pool", settings, tmp_path).n_new == 0


@pytest.mark.parametrize("kind", ["pool", "sed"])
def test_offsets_give_each_model_its_own_windows(folder, tmp_path, kind):
    offsets = [0.0, 0.125, 0.25]
    run(folder / "field", folder / kind, tmp_path, initial_offsets=offsets, batch_size=4)
    predictor = predictor_of(folder / kind)
    frame_map = predictor.get_overlapping_scores(folder / "field/long.wav", AUDIO.spec_duration, offsets)
    seconds = soundfile.info(folder / "field/long.wav").duration
    assert sorted(labels_of(tmp_path)) == flat(predictor.get_frame_labels(frame_map, seconds))
    fps = predictor.sed_fps
    for recording in ("long", "short"):
        scores, starts = scores_of(tmp_path, recording)
        assert starts == window_starts(SECONDS[recording], 0.5, 0.25).tolist()
    scores, starts = scores_of(tmp_path)
    for k, start in enumerate(starts):
        window = frame_map[round(start * fps) : round((start + AUDIO.spec_duration) * fps)]
        np.testing.assert_allclose(scores[k], window.max(axis=0, initial=0), atol=1e-5)


# Where to start, what to leave out, what to call it


def test_a_model_whose_training_was_stopped_is_named(field, tmp_path):
    training = {"seed": 1, "epochs": 7, "interrupted": True}
    save_random_model(tmp_path / "models/model.pt", AUDIO, training=training)
    _, _, problems = run(field / "r00.wav", tmp_path / "models", tmp_path / "out")
    expected = f"{tmp_path}/models/model.pt: its training was stopped; this is epoch 7; train with the same settings"
    assert [str(problem).startswith(expected) for problem in problems] == [True]


def test_start_seconds_skips_the_beginning_and_names_recordings_that_are_over_by_then(folder, tmp_path):
    results, _, problems = run(folder / "field", folder / "pool", tmp_path, start_seconds="0:02")
    assert min(scores_of(tmp_path)[1]) == 2.0
    by_name = {result.name: result for result in results}
    assert by_name["long"].seconds == pytest.approx(SECONDS["long"], abs=0.02)
    assert (by_name["short"].is_ok, by_name["short"].n_labels, by_name["short"].seconds) == (True, 0, 1.0)
    assert [problem.fault for problem in problems] == ["is over before infer.start_seconds (2 s)"]
    assert labels_of(tmp_path, "short") == []


def test_excluded_classes_are_left_out_and_unknown_ones_named(folder, tmp_path):
    listed, output = tmp_path / "exclude.txt", tmp_path / "out"
    listed.write_text("# frogs\nB\n\nNightingale\n")
    _, _, problems = run(folder / "field", folder / "pool", output, exclude=str(listed), min_score=0.0)
    assert [(problem.subject, problem.lost) for problem in problems] == [(f"{listed}:4", False)]
    assert "Nightingale" in problems[0].fault
    assert scores_of(output)[0].any(axis=0).tolist() == [True, False, True]
    assert {label[0] for label in labels_of(output)} == {"a", "c"}
    listed.write_text("c\n")
    assert run(folder / "field", folder / "pool", output, exclude=str(listed)).n_new == 4
    assert scores_of(output)[0].any(axis=0).tolist() == [True, True, False]
    with pytest.raises(SettingsError, match=r"infer\.exclude = .*none\.txt.*cannot be read"):
        run(folder / "field", folder / "pool", output, exclude=str(tmp_path / "none.txt"))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """An occurrence pickle in which `a` occurs in county X-1 and `b` does not."""
    folder = tmp_path_factory.mktemp("places")
    rows = [["X-1", "County", 0, 1, 0, 1, name, *([value] * 48)] for name, value in (("a", 1.0), ("b", 0.0))]
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    write_database(read_occurrences(folder / "table.csv")[0], folder / "occurrences.db")
    OccurrencePickler(folder / "occurrences.db", folder / "occurrences.pkl").pickle(quiet=True)
    return folder / "occurrences.pkl"


@pytest.mark.parametrize("kind", ["pool", "sed"])
@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_classes_that_do_not_occur_are_dropped_or_lowered_and_the_reasons_kept(folder, places, tmp_path, kind, factor):
    place = {"region": "X-1", "occurrence_factor": factor}
    chosen = occurrence_filter(SETTINGS.model_copy(update=place), places)
    output = tmp_path / "out"
    run(folder / "field", folder / kind, tmp_path / "all")
    _, n_new, problems = run(folder / "field", folder / kind, output, chosen, **place)
    assert n_new == 4 and [problem.subject for problem in problems] == ["class c"]  # it is not in the table
    for recording in SECONDS:
        expected = scores_of(tmp_path / "all", recording)[0] * [1, factor, 1]
        np.testing.assert_allclose(scores_of(output, recording)[0], expected, atol=1e-6)
        assert {"b"} & {label[0] for label in labels_of(output, recording)} == set()
    reasons = {(row["recording"], row["name"]): row["decision"] for row in table(output / "occurrences.csv")}
    one = {"a": "kept", "b": "lowered" if factor else "dropped", "c": "kept"}
    assert reasons == {(recording, name): value for recording in SECONDS for name, value in one.items()}

    before = files_of(output)
    (output / "occurrences.csv").unlink()
    assert run(folder / "field", folder / kind, output, chosen, **place).n_new == 0
    assert files_of(output) == before
    run(folder / "field", folder / kind, output)
    assert files_of(output) == files_of(tmp_path / "all")


# Incremental runs

DETOURS = {
    "nothing": [],
    "some of the recordings": [{"only": ["long.wav", "r01.wav"]}],
    "a recording that is removed again": [{}, {"new": "s.wav"}],
    "another setting": [{}, {"min_score": 0.6}],
    "another model": [{}, {"model": "sed"}],
    "another number of workers": [{"workers": 3}],
    "another folder": [{"folder": "elsewhere"}],
    "a run that does not pack": [{"pack": False, "only": ["short.wav"]}],
}


@pytest.mark.parametrize("detour", DETOURS)
def test_results_have_the_same_bytes_after(folder, tmp_path, monkeypatch, detour):
    (tmp_path / "direct").mkdir()
    (tmp_path / "work").mkdir()
    steps = [dict(step) for step in DETOURS[detour]]
    for place, todo in (("direct", [{}]), ("work", [*steps, {}])):
        for step in todo:
            monkeypatch.chdir(tmp_path / place)
            if name := step.pop("folder", None):
                Path(name).mkdir()
                monkeypatch.chdir(name)
            shutil.rmtree("field", ignore_errors=True)
            shutil.copytree(folder / "field", "field")
            for path in Path("field").iterdir():
                if path.name not in step.get("only", [path.name]):
                    path.unlink()
            if name := step.get("new"):
                shutil.copy("field/long.wav", f"field/{name}")
            others = {key: value for key, value in step.items() if key not in ("only", "new", "model")}
            run("field", folder / step.get("model", "pool"), Path("out"), **others)
    made = tmp_path / "work" / ("elsewhere" if detour == "another folder" else "") / "out"
    assert files_of(made) == files_of(tmp_path / "direct/out")


def test_frames_and_label_files_of_all_formats_do_not_depend_on_the_number_of_workers(folder, tmp_path):
    settings = {"formats": list(WRITERS), "initial_offsets": [0.0, 0.25], "segment_len": 0.5}
    for workers in (1, 3):
        run(folder / "field", folder / "sed", tmp_path / f"{workers}", workers=workers, **settings)
    one, three = files_of(tmp_path / "1"), files_of(tmp_path / "3")
    assert one == three and len(one) > 20


@pytest.mark.parametrize("pack", [True, False])
def test_a_run_that_changes_nothing_writes_nothing(field, folder, tmp_path, pack):
    (field / "bad.wav").write_text("no sound")
    output, settings = tmp_path / "out", {"formats": list(WRITERS), "pack": pack}

    def times():
        return {path: path.stat().st_mtime_ns for path in output.rglob("*")}

    _, _, problems = run(field, folder / "pool", output, **settings)
    before, changed = files_of(output), times()
    results, n_new, problems_again = run(field, folder / "pool", output, **settings)
    assert (len(results), n_new, problems_again) == (5, 0, problems)
    assert files_of(output) == before and times() == changed


def test_a_run_that_changes_nothing_does_not_import_torch(folder, tmp_path):
    params = write_params(tmp_path / "params.yaml", tmp_path, infer=SETTINGS.model_dump())
    arguments = {"recordings": str(folder / "field"), "output": str(tmp_path / "out"), "model": str(folder / "pool")}
    infer(**arguments, params=str(params))
    program = "import sys, json; from stages.infer import infer; infer(**json.loads(sys.argv[1]))\n"
    program += "print([name for name in ('torch', 'torchaudio', 'timm', 'mlflow') if name in sys.modules])"
    command = [sys.executable, "-c", program, json.dumps(arguments | {"params": str(params)})]
    done = subprocess.run(command, cwd=code_digest.PROJECT, capture_output=True, text=True, check=True)
    assert "(0 new)" in done.stdout and done.stdout.splitlines()[-1] == "[]"


def test_a_new_recording_among_many_writes_only_its_own_results(folder, tmp_path):
    names = [f"r{number:02}" for number in range(30)]
    (tmp_path / "field").mkdir()
    for name in names:
        os.link(folder / "field/long.wav", tmp_path / f"field/{name}.wav")
    output, model, settings = tmp_path / "out", folder / "pool/1.pt", {"overlap": 0.45, "pack": False}
    run(tmp_path / "field", model, output, **settings)

    def state():
        with ResultsStore(output) as store:
            results = store.recordings()
            rows = [(results[name], store.scores(name).tobytes(), *store.labels(name)) for name in names]
        content = (output / RESULTS_FILE).read_bytes()
        pages = [content[i : i + 4096] for i in range(0, len(content), 4096)]
        return rows, [(output / f"{name}.txt").stat().st_mtime_ns for name in names], pages

    rows, times, pages = state()
    os.link(folder / "field/r00.wav", tmp_path / "field/r14b.wav")
    assert run(tmp_path / "field", model, output, **settings).n_new == 1
    assert state()[:2] == (rows, times)
    after = state()[2]
    changed = sum(page != before for page, before in zip(after, pages, strict=False)) + len(after) - len(pages)
    assert len(pages) > 40 and changed < 10


def test_a_changed_recording_is_analyzed_again_and_lost_files_are_only_written_again(field, folder, tmp_path):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    run(field, folder / "pool", output, formats=["audacity", "csv"])
    shutil.copy(field / "long.wav", field / "r01.wav")
    for name in ("r00.txt", "labels.csv", "recordings.csv", "manifest.yaml"):
        (output / name).unlink()
    assert run(field, folder / "pool", output, formats=["audacity", "csv"]).n_new == 1
    run(field, folder / "pool", fresh, formats=["audacity", "csv"])
    assert files_of(output) == files_of(fresh)


def test_results_of_removed_recordings_go_and_other_files_stay(field, folder, tmp_path):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    run(field, folder / "pool", output)
    (output / "notes.txt").write_text("mine")
    for name in ("r01", "short"):
        (field / f"{name}.wav").unlink()
    assert run(field, folder / "pool", output).n_new == 0
    run(field, folder / "pool", fresh)
    assert files_of(output) == files_of(fresh) | {"notes.txt": b"mine"}


def test_another_model_or_setting_means_another_analysis(folder, whole, tmp_path):
    output = shutil.copytree(whole, tmp_path / "out")
    for changes in ({"min_score": 0.6}, {}, {"start_seconds": 1.0}, {"model": "sed"}):
        model = folder / changes.pop("model", "pool")
        assert run(folder / "field", model, output, **changes).n_new == 4
        assert run(folder / "field", model, output, **changes, workers=2, strict=True).n_new == 0


def test_other_formats_and_names_are_written_without_listening_again(field, folder, tmp_path):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    run(field, folder / "pool", output)
    for settings in ({"formats": list(WRITERS), "label_field": "codes"}, {"formats": ["raven"]}, {"formats": []}, {}):
        results, n_new, _ = run(field, folder / "pool", output, **settings)
        assert n_new == 0 and len(results) == 4
        shutil.rmtree(fresh, ignore_errors=True)
        run(field, folder / "pool", fresh, **settings)
        assert files_of(output) == files_of(fresh)


def test_a_second_process_that_analyzes_into_the_same_folder_is_refused(folder, tmp_path):
    program = "import sys, pathlib; from lib.core.locks import sole_writer\n"
    program += 'with sole_writer(pathlib.Path(sys.argv[1], "results.db")): print(flush=True); sys.stdin.read()'
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        with pytest.raises(
            EarshotError, match=r"results\.db: another process is writing to it; .*another output"
        ) as error:
            run(folder / "field", folder / "pool", tmp_path / "out")
        assert "\n" not in str(error.value)
    assert run(folder / "field", folder / "pool", tmp_path / "out").n_new == 4


# Other recordings in the folder


@pytest.fixture
def apart(folder, tmp_path):
    """`a` and `b`, folders of a recording each."""
    for name, place in (("long", "a"), ("short", "b")):
        (tmp_path / place).mkdir()
        shutil.copy(folder / f"field/{name}.wav", tmp_path / place)
    return tmp_path


def test_settings_that_differ_from_those_of_other_recordings_are_named(folder, apart):
    output = apart / "out"
    run(apart / "a", folder / "pool", output, keep_others=True, start_seconds=3.0, min_score=0.4)
    before = files_of(output)
    fault = r"out: holds results of 1 other recordings, made with infer\.min_score = 0\.4, infer\.start_seconds = 3\.0;"
    with pytest.raises(EarshotError, match=fault):
        run(apart / "b", folder / "pool", output, keep_others=True)
    with pytest.raises(EarshotError, match="made with another model;"):
        run(apart / "b", folder / "sed", output, keep_others=True, start_seconds=3.0, min_score=0.4)
    assert files_of(output) == before


def test_other_recordings_stay_with_label_files_like_those_of_these(folder, apart):
    output, fresh = apart / "out", apart / "fresh"
    run(apart / "a", folder / "pool", output, keep_others=True)
    changes = {"formats": ["raven", "csv"], "label_field": "codes", "keep_others": True}
    results, n_new, _ = run(apart / "b", folder / "pool", output, **changes)
    assert [result.name for result in results] == ["short"] and n_new == 1
    assert [row["recording"] for row in table(output / "recordings.csv")] == ["long", "short"]
    for place in ("b", "a"):
        run(apart / place, folder / "pool", fresh, **changes)
    made, alone = files_of(output), files_of(fresh)
    assert set(made) - set(alone) == {"long.txt", "short.txt"}  # the format that was asked for before stays
    own = ("results.db", "manifest.yaml")
    assert all(made[name] == content for name, content in alone.items() if name not in own)


def test_a_label_file_that_a_person_changed_is_kept_and_named(folder, tmp_path):
    formats = {"formats": ["audacity", "raven", "csv"], "keep_others": True}
    recordings, output = folder / "field", tmp_path / "out"
    run(recordings, folder / "pool", output, **formats)
    corrected = [output / name for name in ("long.txt", "raven/short.selections.txt", "labels.csv")]
    for path in corrected:
        path.write_text("corrected by ear")
    assert (
        run(recordings, folder / "pool", output, **formats).problems
        == run(recordings, folder / "pool", tmp_path / "x").problems
    )
    for changes in ({"min_score": 0.6}, {"label_field": "codes"}, {"formats": ["json"], "keep_others": False}):
        problems = run(recordings, folder / "pool", output, **(formats | changes)).problems
        named = [problem for problem in problems if "was changed by hand, so it stays" in problem.fault]
        assert sorted(problem.subject for problem in named) == sorted(map(str, corrected))
        assert [path.read_text() for path in corrected] == 3 * ["corrected by ear"]
    assert not (output / "short.txt").exists()
    for path in corrected:
        path.unlink()
    run(recordings, folder / "pool", output, **formats)
    run(recordings, folder / "pool", tmp_path / "fresh", **formats)
    made, fresh = files_of(output), files_of(tmp_path / "fresh")
    assert all(made[name] == content for name, content in fresh.items() if name not in ("results.db", "manifest.yaml"))


@pytest.mark.parametrize("name", ["labels.csv", "long.txt", "recordings.csv", "manifest.yaml"])
def test_a_file_that_was_not_made_here_is_not_overwritten(folder, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(EarshotError, match=rf"{name}: was not made here and would be overwritten"):
        run(folder / "field", folder / "pool", tmp_path, formats=["audacity", "csv"])
    assert files_of(tmp_path) == {name: b"mine"}
    if name not in ("recordings.csv", "manifest.yaml"):
        run(folder / "field", folder / "pool", tmp_path, formats=["json"])
        assert (tmp_path / name).read_text() == "mine"
        with pytest.raises(EarshotError, match=rf"{name}: was not made here and would be overwritten"):
            run(folder / "field", folder / "pool", tmp_path, formats=["audacity", "csv"])


def test_predictions_from_elsewhere_are_not_replaced(folder, tmp_path):
    with ResultsStore(
        tmp_path, manifest_of_predictions([{"name": "a"}], ExternalRun(model_id="m", name="other"))
    ) as store:
        ExternalRecordings(store).upsert("r00", "r00.wav", 3.0, "content")
        store.commit()
    before = files_of(tmp_path)
    with pytest.raises(EarshotError, match="holds predictions that were made elsewhere; give another --output"):
        run(folder / "field", folder / "pool", tmp_path)
    assert files_of(tmp_path) == before


def test_labels_by_hand_of_a_recording_that_cannot_be_read_stay(folder, tmp_path):
    (tmp_path / "field").mkdir()
    shutil.copy(folder / "field/long.wav", tmp_path / "field/good.wav")
    (tmp_path / "field/bad.wav").write_bytes(b"")
    run(tmp_path / "field", folder / "pool", tmp_path / "out")
    (tmp_path / "out/bad.txt").write_text("0\t1\tbird\n")
    for _ in range(2):
        run(tmp_path / "field", folder / "pool", tmp_path / "out")
        assert (tmp_path / "out/bad.txt").read_text() == "0\t1\tbird\n"
    (tmp_path / "field/good.wav").write_bytes(b"")
    run(tmp_path / "field", folder / "pool", tmp_path / "out")
    assert not (tmp_path / "out/good.txt").exists()  # which was made here


def test_recordings_of_the_same_name_have_separate_results(folder, tmp_path):
    for place in ("north", "south"):
        (tmp_path / f"field/{place}").mkdir(parents=True)
    shutil.copy(folder / "field/long.wav", tmp_path / "field/north/r.wav")
    output = tmp_path / "out"
    run(tmp_path / "field", folder / "pool", output, keep_others=True)
    assert (output / "r.txt").exists()
    shutil.copy(folder / "field/short.wav", tmp_path / "field/south/r.wav")
    run(tmp_path / "field", folder / "pool", output, keep_others=True, formats=["audacity", "raven"])
    assert [row["recording"] for row in table(output / "recordings.csv")] == ["north/r", "south/r"]
    assert not (output / "r.txt").exists()
    assert (output / "north/r.txt").exists() and (output / "raven/south/r.selections.txt").exists()


def test_results_of_another_recording_of_that_name_are_not_overwritten(folder, tmp_path):
    for place, source in (("north", "long"), ("south", "short")):
        (tmp_path / place).mkdir()
        shutil.copy(folder / f"field/{source}.wav", tmp_path / place / "r.wav")
    run(tmp_path / "north", folder / "pool", tmp_path / "out", keep_others=True)
    fault = r"holds results of .*north/r\.wav, which has the same name as .*south/r\.wav"
    with pytest.raises(EarshotError, match=fault):
        run(tmp_path / "south", folder / "pool", tmp_path / "out", keep_others=True)
    (tmp_path / "north").rename(tmp_path / "moved")  # the same recording may lie elsewhere, or be gone
    assert run(tmp_path / "moved", folder / "pool", tmp_path / "out", keep_others=True).n_new == 0
    assert table(tmp_path / "out/recordings.csv")[0]["path"] == str(tmp_path / "moved/r.wav")


# Results of an earlier version


def write_csv_results(output, whole, names, is_killed=False):
    """What the version before the results store left in a folder; its first run may have been killed."""
    files = {f"{kind}/{name}.csv": "a,0.0,0.5,0.7\n" for kind in ("scores", "labels", "occurrences") for name in names}
    files |= {f"{name}.txt": "0.000\t0.500\ta;0.700\n" for name in names}
    files |= {f"raven/{name}.selections.txt": "Selection\n" for name in names}
    rows = [f"{name},field/{name}.wav,3.0,ok,,1,5e77,f11e,cafe" for name in names]
    files["recordings.csv"] = "\n".join(["recording,path,seconds,status,reason,labels,settings,files,key", *rows, ""])
    if is_killed:
        files["recordings.csv"] += "r01,field/r"
    else:
        manifest = yaml.safe_load((whole / "manifest.yaml").read_text()) | {"code": "before"}
        del manifest["tables"], manifest["start_seconds"]
        manifest["infer"]["formats"] = ["audacity", "raven", "json"]
        files["manifest.yaml"] = yaml.safe_dump(manifest)
        files |= dict.fromkeys(("scores.csv", "labels.selections.txt", "labels.json"), "recording\n")
        files["occurrences.csv"] = f"{','.join(Reason._fields)}\n"
    for name, text in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)


@pytest.mark.parametrize("formats", [["audacity"], ["json", "scores"], ["raven", "csv"]])
def test_csv_files_of_an_earlier_version_are_replaced_and_others_stay(folder, whole, tmp_path, formats):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    write_csv_results(output, whole, ["long", "r00", "gone", "site/gone"])
    others = {"scores/notes.csv": b"mine", "labels/r01.csv": b"mine", "birdnet/gone.results.csv": b"mine"}
    for name, content in others.items():
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).write_bytes(content)
    assert run(folder / "field", folder / "pool", output, formats=formats).n_new == 4
    run(folder / "field", folder / "pool", fresh, formats=formats)
    assert files_of(output) == files_of(fresh) | others
    assert not (output / "occurrences").exists()
    assert run(folder / "field", folder / "pool", output, formats=formats).n_new == 0


def test_csv_files_of_an_earlier_version_that_was_killed_are_replaced(folder, tmp_path, whole):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    write_csv_results(output, whole, ["long", "r00"], is_killed=True)
    for place in (output, fresh):
        run(folder / "field", folder / "pool", place, formats=["audacity", "raven"])
    assert files_of(output) == files_of(fresh)


def test_csv_files_of_an_earlier_version_stay_where_they_cannot_be_replaced(folder, whole, tmp_path):
    write_csv_results(tmp_path / "out", whole, ["long", "r00"])
    before = files_of(tmp_path / "out")
    fault = "out: holds results of 1 other recordings, made with other code; give another --output"
    with pytest.raises(EarshotError, match=fault):
        run(folder / "field/long.wav", folder / "pool", tmp_path / "out", keep_others=True)
    (tmp_path / "out/short.txt").write_text("mine")
    with pytest.raises(EarshotError, match=r"short\.txt: was not made here"):
        run(folder / "field", folder / "pool", tmp_path / "out")
    (tmp_path / "out/short.txt").unlink()
    model = shutil.copytree(folder / "pool", tmp_path / "unusable")
    (model / "1.pt").write_bytes((model / "1.pt").read_bytes()[:1000])
    for _ in range(2):
        with pytest.raises(EarshotError, match="not a model that can be loaded"):
            run(folder / "field", model, tmp_path / "out")
        assert {name: text for name, text in files_of(tmp_path / "out").items() if name != RESULTS_FILE} == before
    run(folder / "field", folder / "pool", tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(whole)


def make_version_1(store: Path) -> None:
    """Make a store what it was before labels had ids and frequencies."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("DROP INDEX LabelByAnnotationId")
        for column in ("LowFreq", "HighFreq", "AnnotationId", "ClassPdf", "Metadata"):
            connection.execute(f"ALTER TABLE Label DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")


@pytest.mark.parametrize("knows_label_files", [True, False])
def test_a_store_of_the_first_version_is_used_and_gets_the_same_bytes(folder, tmp_path, knows_label_files):
    output, model = tmp_path / "out", shutil.copytree(folder / "pool", tmp_path / "unusable")
    analyze_again = partial(run, folder / "field", folder / "pool", output, pack=True)
    analyze_again()
    before = files_of(output)
    make_version_1(output / RESULTS_FILE)
    if not knows_label_files:
        with closing(sqlite3.connect(output / RESULTS_FILE)) as connection:
            connection.execute("DROP TABLE LabelFile")
    (model / "1.pt").write_bytes((model / "1.pt").read_bytes()[:1000])
    with pytest.raises(EarshotError, match="not a model that can be loaded"):
        run(folder / "field", model, output)
    assert analyze_again().n_new == 0
    after = files_of(output)
    assert after == before if knows_label_files else after.keys() == before.keys()


def test_labels_by_hand_stay_beside_a_store_of_the_first_version(folder, tmp_path):
    run(folder / "field", folder / "pool", tmp_path)
    by_hand = tmp_path / "r00.txt"
    by_hand.write_text("0\t1\tby hand\n")
    make_version_1(tmp_path / RESULTS_FILE)
    assert run(folder / "field", folder / "pool", tmp_path).n_new == 0
    assert by_hand.read_text() == "0\t1\tby hand\n"


# What cannot be


def test_settings_and_models_that_cannot_be_used_leave_no_folder(folder, tmp_path):
    fault = r"infer\.overlap = 0\.5: must be below the model's spec_duration \(0\.5 s\)"
    with pytest.raises(EarshotError, match=fault):
        run(folder / "field", folder / "pool", tmp_path / "out", overlap=0.5)
    with pytest.raises(EarshotError, match="holds no model"):
        run(folder / "field", tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def files_and_results(output):
    with ResultsStore(output) as store:
        results = store.recordings()
        return files_of(output), results, [list(store.labels(name)) for name in results]


@pytest.mark.parametrize(
    "fault", ["a truncated checkpoint", "two models that do not fit", "a setting", "a missing first recording"]
)
def test_a_model_that_cannot_be_used_leaves_the_results_as_they_were(field, folder, tmp_path, monkeypatch, fault):
    output, model = tmp_path / "out", shutil.copytree(folder / "pool", tmp_path / "unusable")
    run(field, folder / "pool", output)
    before, changes = files_and_results(output), {}
    if fault == "two models that do not fit":
        save_random_model(model / "4.pt", AUDIO, "xyz")
    elif fault == "a setting":
        model, changes = folder / "sed", {"segment_len": 0.001}
    else:
        (model / "1.pt").write_bytes((model / "1.pt").read_bytes()[:1000])
    if fault == "a missing first recording":
        monkeypatch.setattr(incremental, "COMMIT_SECONDS", 0.0)
        (field / "long.wav").unlink()
        (field / "long.wav").symlink_to("nowhere")
    with pytest.raises(EarshotError, match=r"not a model that can be loaded|classes|segment_len"):
        run(field, model, output, **changes)
    assert files_and_results(output) == before


def test_failed_recordings_are_listed_and_only_strict_makes_them_fatal(field, folder, tmp_path, capsys):
    (field / "r00.wav").write_bytes(b"")
    (field / "r01.wav").write_bytes(random.Random(1).randbytes(3000))
    soundfile.write(field / "short.wav", np.zeros(2 * RATE), RATE)
    params = write_params(tmp_path / "params.yaml", tmp_path, infer=SETTINGS.model_dump())
    listed, output = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("field\n")
    arguments = {"recordings": str(listed), "output": str(output), "model": str(folder / "pool"), "params": str(params)}
    for _ in range(2):
        infer(**arguments)
        printed = capsys.readouterr()
        rows = {row["recording"]: row for row in table(output / "recordings.csv")}
        assert {name for name, row in rows.items() if row["status"] == "failed"} == {"r00", "r01"}
        assert "empty" in rows["r00"]["reason"]
        assert rows["r00"]["seconds"] == "" and not (output / "r00.txt").exists()
        assert rows["short"]["status"] == "ok" and "silent" in rows["short"]["reason"]
        warnings = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
        assert [line.split(": ")[1] for line in warnings] == [str(field / f"{name}.wav") for name in list(rows)[1:]]
        assert "2 of 4 recordings" in printed.out
    with pytest.raises(EarshotError, match=r"2 of 4 recordings could not be analyzed"):
        infer(**arguments, strict=True)
    listed.write_text("field/short.wav\nfield/r03.wav\nfield/gone.wav\n")
    capsys.readouterr()
    with pytest.raises(EarshotError, match=r"^stopped because infer\.strict is set"):
        infer(**arguments, strict=True)
    printed = capsys.readouterr()
    assert "gone.wav: no such file or folder; check the path\n" in printed.err and printed.out == ""
    listed.write_text("field\n")
    for path in field.iterdir():
        path.write_bytes(b"")
    with pytest.raises(EarshotError, match=r"4 of 4 recordings could not be analyzed"):
        infer(**arguments)
    assert [path.name for path in output.glob("*.txt")] == []


# Analyzer


def analyzer_of(folder, kind="pool", **infer):
    return Analyzer(folder / kind, Settings().model_copy(update={"infer": SETTINGS.model_copy(update=infer)}))


@pytest.mark.parametrize(
    ("rtype", "there", "missing"),
    [
        ("audacity", ["long.txt", "short.txt"], ["labels.json", "scores.csv"]),
        ("csv", ["scores.csv", "labels.csv"], ["long.txt"]),
        ("both", ["scores.csv", "labels.csv", "long.txt"], ["labels.json"]),
        ("raven, json", ["raven/long.selections.txt", "labels.selections.txt", "labels.json"], ["long.txt"]),
    ],
)
def test_analyzer_writes_results_of_a_type(folder, tmp_path, rtype, there, missing):
    analysis = analyzer_of(folder).run(str(folder / "field"), str(tmp_path), rtype)
    assert all(result.is_ok for result in analysis.results) and len(analysis.results) == len(SECONDS)
    assert (analysis.n_new, analysis.problems) == (len(SECONDS), [])
    for name in (*there, "manifest.yaml"):
        assert (tmp_path / name).is_file()
    assert not any((tmp_path / name).exists() for name in missing)
    if "labels.csv" in there:
        labels, scores = table(tmp_path / "labels.csv"), table(tmp_path / "scores.csv")
        assert list(labels[0]) == list(scores[0]) == ["recording", "name", "start_time", "end_time", "score"]
        assert len(labels) == sum(int(row["labels"]) for row in table(tmp_path / "recordings.csv"))
        assert {row["recording"] for row in labels} == {row["recording"] for row in scores} == set(SECONDS)
        assert all(float(label["score"]) >= 0.5 for label in labels)


def test_analyzer_takes_one_recording_and_starts_where_it_is_told(folder, tmp_path):
    analyzer = analyzer_of(folder, start_seconds=3.0)
    for start in (5, "5", "0:05", 0):
        analyzer.run(folder / "field/long.wav", tmp_path / f"{start}", start_seconds=start)
        assert {row["recording"] for row in table(tmp_path / f"{start}/recordings.csv")} == {"long"}
        assert min(scores_of(tmp_path / f"{start}")[1]) == (5.0 if start else 0.0)


@pytest.mark.parametrize("kind", ["pool", "sed"])
def test_analyzer_shows_the_scores_of_the_first_window_and_stops(folder, tmp_path, capsys, kind):
    analyzer_of(folder, kind).run(folder / "field", tmp_path / "out", start_seconds=1, show=True)
    first, *lines = capsys.readouterr().out.splitlines()
    assert "long.wav, from 1 s" in first
    predictor = predictor_of(folder / kind, overlap=0.0)
    scores, frame_map, _ = predictor.get_recording_scores(folder / "field/long.wav", 1)
    best = scores[0] if kind == "pool" else frame_map[round(FPS) :][: round(FPS * AUDIO.spec_duration)].max(axis=0)
    assert lines == [f"{name}: {score:.4f}" for score, name in sorted(zip(best, "abc", strict=True), reverse=True)]
    assert not (tmp_path / "out").exists()


def test_analyzer_names_what_cannot_be(folder, tmp_path):
    analyzer = analyzer_of(folder)
    with pytest.raises(SettingsError, match=r"rtype = 'word': must be one of audacity, .*csv, .*raven.*both"):
        analyzer.run(folder / "field", tmp_path, "word")
    with pytest.raises(EarshotError, match="no such file or folder"):
        analyzer.run(folder / "nowhere", tmp_path)
    with pytest.raises(SettingsError, match="start_seconds"):
        analyzer.run(folder / "field", tmp_path, start_seconds="soon")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.wav").write_text("no sound")
    with pytest.raises(EarshotError, match="no recording could be analyzed"):
        analyzer.run(tmp_path / "bad", tmp_path / "out")
    soundfile.write(tmp_path / "bad/b.wav", noise(1.0, RATE), RATE)
    problems = analyzer.run(tmp_path / "bad", tmp_path / "out").problems
    assert [Path(problem.subject).name for problem in problems] == ["a.wav"]


# The stage, progress and memory


def test_stage_takes_the_settings_as_flags(folder, tmp_path, capsys, monkeypatch):
    params = write_params(tmp_path / "params.yaml", tmp_path, infer=SETTINGS.model_dump())
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    arguments = {"recordings": str(folder / "field/long.wav"), "output": ".", "model": str(folder / "sed")}
    infer(**arguments, params=str(params), formats="raven,json", start_seconds="0:01", initial_offsets="0, 0.25")
    assert "1 of 1 recording (1 new)" in capsys.readouterr().out
    assert Path("raven/long.selections.txt").exists() and Path("labels.json").exists()
    manifest = yaml.safe_load(Path("manifest.yaml").read_text())
    assert manifest["infer"]["start_seconds"] == 1.0 and manifest["infer"]["initial_offsets"] == [0.0, 0.25]


def test_progress_counts_parts_of_recordings(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(reader, "BLOCK_SAMPLES", 2**12)
    run(folder / "field/long.wav", folder / "pool", tmp_path, batch_size=1)
    lines = capsys.readouterr().err.splitlines()
    parts = [float(line.split()[1].split("/")[0]) for line in lines]
    assert parts == sorted(parts) and parts[0] < 0.3 and parts[-1] == 1
    assert lines[-1].startswith("infer: 1/1 recordings, ") and "x real time" in lines[-1]


@pytest.mark.parametrize(("head", "all_of_it"), [("pool", True), ("sed", True), ("sed", False)])
def test_memory_does_not_grow_with_the_length_of_the_recording(tmp_path, monkeypatch, head, all_of_it):
    """Of windows, frames and labels, no more than some batches are held at a time."""
    monkeypatch.setattr(reader, "BLOCK_SAMPLES", 2**13)
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 1000)
    settings = {"overlap": 0.0, "csv_min_score": 1.0, "min_score": 0.0 if all_of_it else 1.0}
    settings |= {"merge_labels": False, "segment_len": 0.5, "formats": ["audacity", "json", "parquet"]}
    names = [f"class {number}" for number in range(40)]
    save_random_model(tmp_path / "m.pt", AUDIO, names, head=head, sed_fps=4.0 if head == "sed" else None)
    results, peaks = [], []

    def analyze_field() -> None:
        results[:] = run(tmp_path / "field.wav", tmp_path / "m.pt", tmp_path / "out", **settings).results

    for minutes in (0.1, 1, 3):
        soundfile.write(tmp_path / "field.wav", noise(60.0 * minutes, RATE), RATE)
        peaks.append(peak_memory(analyze_field))
    assert (results[0].n_labels == 3 * 120 * len(names)) == all_of_it
    assert peaks[2] < 1.3 * peaks[1]  # the first run imports, too
