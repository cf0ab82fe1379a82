"""What the settings of inference do to its results; see test_analyzer.py for how results come and stay."""

import csv
import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from lib import Analyzer
from lib.audio import reader
from lib.config import Infer, Settings
from lib.datasets import audacity, kaleidoscope, raven
from lib.errors import EarshotError, SettingsError
from lib.inference import label_formats, sorting
from lib.inference.analyzer import analyze
from lib.inference.inputs import recordings_of
from lib.inference.predictor import Predictor
from lib.models.description import Calibration
from lib.occurrence.database import write_database
from lib.occurrence.filter import occurrence_filter
from lib.occurrence.pickler import OccurrencePickler
from lib.occurrence.table import COLUMNS, read_occurrences
from stages.infer import infer
from tests.database.builders import AUDIO, PITCHES, RATE, tones, write_params
from tests.models.builders import save_random_model
from tests.recordings import noise

SETTINGS = Infer(overlap=0.25, csv_min_score=0.0, workers=1, batch_size=8, device="cpu", precision="32")
FPS = 16.0
LONG = 7.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`field/long.wav` of 7.3 s and `field/short.wav` of 1 s; `pool` and `sed`, three models each."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "field").mkdir()
    soundfile.write(folder / "field/long.wav", tones(7, LONG, tuple(PITCHES))[0], RATE)
    soundfile.write(folder / "field/short.wav", noise(1.0, RATE, seed=2), RATE)
    for seed in (1, 2, 3):
        save_random_model(folder / f"pool/{seed}.pt", AUDIO, seed=seed)
        save_random_model(folder / f"sed/{seed}.pt", AUDIO, seed=seed, head="sed", sed_fps=FPS)
    return folder


def run(recordings, model, output, occurrences=None, keep_others=False, **settings):
    found, _ = recordings_of(recordings)
    settings = Settings(infer=Infer.model_validate(SETTINGS.model_dump() | settings))
    return analyze(found, model, settings, output, occurrences, keep_others)


def predictor_of(model, **infer):
    return Predictor(model, "cpu", Settings().model_copy(update={"infer": SETTINGS.model_copy(update=infer)}))


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores_of(output, recording="long"):
    """Scores (n_windows, 3) and start times in scores.csv."""
    rows = [row for row in table(output / "scores.csv") if row["recording"] == recording]
    starts = sorted({float(row["start_time"]) for row in rows})
    scores = np.zeros((len(starts), 3), np.float32)
    for row in rows:
        scores[starts.index(float(row["start_time"])), "abc".index(row["name"])] = float(row["score"])
    return scores, starts


def labels_of(output, recording="long"):
    lines = (output / f"{recording}.txt").read_text().splitlines()
    return [(text.split(";")[0], float(start), float(end)) for start, end, text in (line.split("\t") for line in lines)]


def files_of(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def flat(by_name):
    """Labels of a predictor as labels_of gives them."""
    labels = [label for labels in by_name.values() for label in labels]
    return sorted((label.name, round(label.start_time, 3), round(label.end_time, 3)) for label in labels)


# Frames


@pytest.mark.parametrize("length", [None, 0.5])
@pytest.mark.parametrize("start", [0.0, 1.1])
def test_frame_labels_are_those_of_the_predictor(folder, tmp_path, length, start):
    run(folder / "field", folder / "sed", tmp_path, segment_len=length, start_seconds=start)
    predictor = predictor_of(folder / "sed", segment_len=length)
    scores, frame_map, starts = predictor.get_recording_scores(folder / "field/long.wav", start)
    labels = labels_of(tmp_path)
    assert sorted(labels) == flat(predictor.get_frame_labels(frame_map)) and len(labels) > 3
    assert [label[1] for label in labels] == sorted(label[1] for label in labels)
    found, found_starts = scores_of(tmp_path)
    np.testing.assert_allclose(found, scores, atol=1e-5)
    np.testing.assert_allclose(found_starts, starts, atol=1e-3)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_frame_labels_do_not_depend_on_how_the_recording_is_cut(folder, tmp_path, batch):
    run(folder / "field", folder / "sed", tmp_path / "a")
    run(folder / "field", folder / "sed", tmp_path / "b", batch_size=batch)
    assert labels_of(tmp_path / "a") == labels_of(tmp_path / "b")


def test_frames_of_models_that_know_of_none_are_as_many_as_the_settings_say(folder, tmp_path):
    settings = Settings(infer=SETTINGS.model_copy(update={"initial_offsets": [0.0, 0.125, 0.25]}))
    settings.train.sed_fps = 25.0
    recordings, _ = recordings_of(folder / "field/long.wav")
    analyze(recordings, folder / "pool", settings, tmp_path)
    predictor = Predictor(folder / "pool", "cpu", settings)
    frame_map = predictor.get_overlapping_scores(folder / "field/long.wav", AUDIO.spec_duration, [0.0, 0.125, 0.25])
    assert sorted(labels_of(tmp_path)) == flat(predictor.get_frame_labels(frame_map))
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text())["sed_fps"] == 25.0
    settings.train.sed_fps = 10.0
    assert analyze(recordings, folder / "pool", settings, tmp_path)[1] == 1
    settings.infer.initial_offsets = None
    analyze(recordings, folder / "pool", settings, tmp_path)
    settings.train.sed_fps = 25.0  # which windows know nothing of
    assert analyze(recordings, folder / "pool", settings, tmp_path)[1] == 0


def test_labels_of_fixed_length_may_score_a_quantile(folder, tmp_path):
    changes = {"segment_len": 0.5, "quantile": 0.25, "min_score": 0.3}
    run(folder / "field", folder / "sed", tmp_path, **changes)
    _, frame_map, _ = predictor_of(folder / "sed").get_recording_scores(folder / "field/long.wav")
    predictor = Predictor(folder / "sed", "cpu", quantile=0.25)
    predictor.cfg.infer.min_score, predictor.cfg.infer.segment_len = 0.3, 0.5
    assert sorted(labels_of(tmp_path)) == flat(predictor.get_frame_labels(frame_map)) != []
    assert flat(predictor_of(folder / "sed", **changes).get_frame_labels(frame_map)) == sorted(labels_of(tmp_path))
    assert flat(predictor_of(folder / "sed", **changes | {"quantile": None}).get_frame_labels(frame_map)) != sorted(
        labels_of(tmp_path)
    )


@pytest.mark.parametrize("kind", ["pool", "sed"])
def test_offsets_give_each_model_windows_of_its_own(folder, tmp_path, kind):
    offsets = [0.0, 0.125, 0.25]
    run(folder / "field", folder / kind, tmp_path, initial_offsets=offsets, batch_size=4)
    predictor = predictor_of(folder / kind)
    frame_map = predictor.get_overlapping_scores(folder / "field/long.wav", AUDIO.spec_duration, offsets)
    assert sorted(labels_of(tmp_path)) == flat(predictor.get_frame_labels(frame_map))
    scores, starts = scores_of(tmp_path)
    fps = predictor.sed_fps
    np.testing.assert_allclose(starts, 0.25 * np.arange(len(starts)))
    assert len(starts) == 28
    for k, start in enumerate(starts):
        window = frame_map[round(start * fps) : round((start + AUDIO.spec_duration) * fps)]
        np.testing.assert_allclose(scores[k], window.max(axis=0, initial=0), atol=1e-5)


# Where to start, what to leave out, what to call it


def test_start_seconds_skips_the_beginning_and_names_recordings_that_are_over_by_then(folder, tmp_path):
    rows, _, problems = run(folder / "field", folder / "pool", tmp_path, start_seconds="0:02")
    assert min(scores_of(tmp_path)[1]) == 2.0
    by_name = {row["recording"]: row for row in rows}
    assert float(by_name["long"]["seconds"]) == pytest.approx(LONG, abs=0.02)
    assert (by_name["short"]["status"], by_name["short"]["labels"], by_name["short"]["seconds"]) == ("ok", "0", "1.0")
    assert [problem.reason for problem in problems] == ["is over before infer.start_seconds (2 s)"]
    assert labels_of(tmp_path, "short") == []


def test_excluded_classes_are_left_out_and_unknown_ones_named(folder, tmp_path):
    listed = tmp_path / "exclude.txt"
    listed.write_text("# frogs\nB\n\nNightingale\n")
    _, _, problems = run(folder / "field", folder / "pool", tmp_path / "out", exclude=str(listed), min_score=0.0)
    assert [(problem.subject, problem.lost) for problem in problems] == [(f"{listed}:4", False)]
    assert "Nightingale" in problems[0].reason
    assert {row["name"] for row in table(tmp_path / "out/scores.csv")} == {"a", "c"}
    assert {label[0] for label in labels_of(tmp_path / "out")} == {"a", "c"}
    listed.write_text("c\n")
    _, n_new, _ = run(folder / "field", folder / "pool", tmp_path / "out", exclude=str(listed))
    assert n_new == 2
    assert {row["name"] for row in table(tmp_path / "out/scores.csv")} == {"a", "b"}
    with pytest.raises(SettingsError, match=r"infer\.exclude = .*none\.txt.*cannot be read"):
        run(folder / "field", folder / "pool", tmp_path / "out", exclude=str(tmp_path / "none.txt"))


def test_label_files_use_the_label_field_and_scores_the_names(folder, tmp_path):
    run(folder / "field", folder / "pool", tmp_path, label_field="codes")
    assert {label[0] for label in labels_of(tmp_path)} <= set("ABC")
    assert {row["name"] for row in table(tmp_path / "scores.csv")} == set("abc")


def test_thresholds_and_scaling_of_the_model_are_used(folder, tmp_path):
    stored = Calibration(coefficient=0.5, intercept=0.2, thresholds={"a": 0.0, "b": 1.0})
    save_random_model(tmp_path / "m.pt", AUDIO, calibration=stored)
    run(folder / "field", tmp_path / "m.pt", tmp_path / "out", merge_labels=False)
    scores, _ = scores_of(tmp_path / "out")
    expected, _, _ = predictor_of(tmp_path / "m.pt").get_recording_scores(folder / "field/long.wav")
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    counts = {name: sum(label[0] == name for label in labels_of(tmp_path / "out")) for name in "abc"}
    assert counts == {"a": len(scores), "b": 0, "c": int((expected[:, 2] >= 0.5).sum())}


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
    def chosen(**settings):
        return occurrence_filter(SETTINGS.model_copy(update=settings), places)

    run(folder / "field", folder / kind, tmp_path / "all")
    scores, _ = scores_of(tmp_path / "all")
    place = {"region": "X-1", "occurrence_factor": factor}
    output = tmp_path / "out"
    run(folder / "field", folder / kind, output, chosen(**place), **place)
    expected = scores * [1, factor, 1]
    np.testing.assert_allclose(scores_of(output)[0], expected, atol=1e-5)
    assert ("b" in {row["name"] for row in table(output / "scores.csv")}) == (factor > 0)
    reasons = {(row["recording"], row["name"]): row["decision"] for row in table(output / "occurrences.csv")}
    decided = "lowered" if factor else "dropped"
    one = {"a": "kept", "b": decided, "c": "kept"}
    assert reasons == {(recording, name): value for recording in ("long", "short") for name, value in one.items()}

    first = files_of(output)
    _, n_new, _ = run(folder / "field", folder / kind, output, chosen(**place), **place)
    assert n_new == 0 and files_of(output) == first
    (output / "occurrences/short.csv").unlink()
    _, n_new, _ = run(folder / "field", folder / kind, output, chosen(**place), **place)
    assert n_new == 1 and files_of(output) == first
    run(folder / "field", folder / kind, output)
    assert files_of(output) == files_of(tmp_path / "all")


# Label files


ALL = ["audacity", "csv", "raven", "kaleidoscope", "birdnet", "json", "parquet"]


def test_all_formats_hold_the_same_labels_and_are_read_back(folder, tmp_path):
    output = tmp_path / "out"
    rows, _, _ = run(folder / "field", folder / "sed", output, formats=ALL)
    n_labels = sum(int(row["labels"]) for row in rows)
    assert n_labels > 5
    expected = sorted(("long", *label) for label in labels_of(output)) + [
        ("short", *label) for label in sorted(labels_of(output, "short"))
    ]
    for module, file in ((raven, "labels.selections.txt"), (kaleidoscope, "labels.kaleidoscope.csv")):
        data = shutil.copytree(folder / "field", tmp_path / module.__name__)
        shutil.copy(output / file, data)
        _, annotations, problems = module.read(data, None)
        found = annotations[["recording", "class", "start_time", "end_time"]].astype(
            {"start_time": float, "end_time": float}
        )
        assert sorted(found.round(3).itertuples(index=False, name=None)) == expected and not problems
    data = shutil.copytree(folder / "field", tmp_path / "audacity")
    shutil.copy(output / "long.txt", data)
    assert len(audacity.read(data, None)[1]) == len(labels_of(output))
    assert sum(len(entry["labels"]) for entry in json.loads((output / "labels.json").read_text())) == n_labels
    assert len(table(output / "labels.birdnet.csv")) == n_labels
    assert len(table(output / "birdnet/long.results.csv")) == len(labels_of(output))
    from pyarrow import parquet

    assert parquet.read_table(output / "labels.parquet").num_rows == n_labels
    assert len(table(output / "labels.csv")) == n_labels
    assert len((output / "raven/long.selections.txt").read_text().splitlines()) == 1 + len(labels_of(output))


def test_other_formats_and_names_are_made_without_listening_again(folder, tmp_path):
    field = shutil.copytree(folder / "field", tmp_path / "field")
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    run(field, folder / "pool", output)
    for settings in ({"formats": ALL, "label_field": "codes"}, {"formats": ["raven"]}, {"formats": []}, {}):
        rows, n_new, _ = run(field, folder / "pool", output, **settings)
        assert n_new == 0 and len(rows) == 2
        shutil.rmtree(fresh, ignore_errors=True)
        run(field, folder / "pool", fresh, **settings)
        assert files_of(output) == files_of(fresh)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_of_it_is_the_same_for_any_number_of_workers(folder, tmp_path, workers):
    settings = {"formats": ALL, "initial_offsets": [0.0, 0.25], "segment_len": 0.5}
    run(folder / "field", folder / "sed", tmp_path / "one", **settings)
    run(folder / "field", folder / "sed", tmp_path / "other", workers=workers, **settings)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


# Names


def test_recordings_of_one_name_have_results_of_their_own(folder, tmp_path):
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
    with pytest.raises(
        EarshotError, match=r"holds results of .*north/r\.wav, which has the same name as .*south/r\.wav"
    ):
        run(tmp_path / "south", folder / "pool", tmp_path / "out", keep_others=True)
    (tmp_path / "north").rename(tmp_path / "moved")  # the same recording may lie elsewhere, or be gone
    _, n_new, _ = run(tmp_path / "moved", folder / "pool", tmp_path / "out", keep_others=True)
    assert n_new == 0


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
    fault = r"out: holds results of 1 other recordings, made with infer\.min_score = 0\.4, infer\.start_seconds = 3\.0;"
    with pytest.raises(EarshotError, match=fault):
        run(apart / "b", folder / "pool", output, keep_others=True)
    with pytest.raises(EarshotError, match="made with another model;"):
        run(apart / "b", folder / "sed", output, keep_others=True, start_seconds=3.0, min_score=0.4)
    (output / "manifest.yaml").unlink()
    with pytest.raises(EarshotError, match="made with another model or other settings;"):
        run(apart / "b", folder / "pool", output, keep_others=True)


def test_other_recordings_of_a_run_that_was_stopped_are_taken_up(folder, apart):
    """It left no manifest.yaml, only rows."""
    output = apart / "out"
    run(apart / "a", folder / "pool", output, keep_others=True)
    for name in ("manifest.yaml", "scores.csv"):
        (output / name).unlink()
    rows, _, _ = run(apart / "b", folder / "pool", output, keep_others=True)
    assert len(rows) == 1
    assert {row["recording"] for row in table(output / "scores.csv")} == {"long", "short"}
    (output / "scores/long.csv").unlink()  # of what is not whole, the rest goes, too
    run(apart / "b", folder / "pool", output, keep_others=True)
    assert [row["recording"] for row in table(output / "recordings.csv")] == ["short"]
    assert not list(output.rglob("*long*"))


def test_label_files_of_other_recordings_become_like_those_of_these(folder, apart):
    output, fresh = apart / "out", apart / "fresh"
    run(apart / "a", folder / "pool", output, keep_others=True)
    changes = {"formats": ["raven", "csv"], "label_field": "codes"}
    run(apart / "b", folder / "pool", output, keep_others=True, **changes)
    run(apart / "a", folder / "pool", fresh, keep_others=True, **changes)
    run(apart / "b", folder / "pool", fresh, keep_others=True, **changes)
    assert files_of(output) == files_of(fresh)
    assert (output / "raven/long.selections.txt").is_file() and not (output / "long.txt").exists()


def test_a_table_of_labels_that_was_not_made_here_is_not_overwritten(folder, tmp_path):
    (tmp_path / "labels.csv").write_text("mine")
    with pytest.raises(EarshotError, match=r"labels\.csv: was not made here and would be overwritten"):
        run(folder / "field", folder / "pool", tmp_path, formats=["csv"])
    run(folder / "field", folder / "pool", tmp_path)
    assert (tmp_path / "labels.csv").read_text() == "mine"


# Analyzer


def analyzer_of(folder, kind="pool", **infer):
    return Analyzer(folder / kind, Settings().model_copy(update={"infer": SETTINGS.model_copy(update=infer)}))


@pytest.mark.parametrize(
    ("rtype", "there", "missing"),
    [
        ("audacity", ["long.txt", "short.txt"], ["labels.json"]),
        ("csv", ["scores.csv", "labels.csv"], ["long.txt"]),
        ("both", ["scores.csv", "labels.csv", "long.txt"], ["labels.json"]),
        ("raven, json", ["raven/long.selections.txt", "labels.selections.txt", "labels.json"], ["long.txt"]),
    ],
)
def test_analyzer_writes_results_of_a_type(folder, tmp_path, rtype, there, missing):
    assert analyzer_of(folder).run(str(folder / "field"), str(tmp_path / "out"), rtype) == []
    for name in (*there, "manifest.yaml"):
        assert (tmp_path / "out" / name).is_file()
    assert not any((tmp_path / "out" / name).exists() for name in missing)
    columns = ["recording", "name", "start_time", "end_time", "score"]
    assert list(table(tmp_path / "out/scores.csv")[0]) == columns
    if "labels.csv" in there:
        labels = table(tmp_path / "out/labels.csv")
        assert list(labels[0]) == columns and {label["recording"] for label in labels} == {"long", "short"}
        rows = table(tmp_path / "out/recordings.csv")
        assert len(labels) == sum(int(row["labels"]) for row in rows)
        assert all(float(label["score"]) >= 0.5 for label in labels)


def test_analyzer_takes_one_recording_and_starts_where_it_is_told(folder, tmp_path):
    for start in (5, "5", "0:05"):
        analyzer_of(folder).run(folder / "field/long.wav", tmp_path / f"{start}", start_seconds=start)
        assert {row["recording"] for row in table(tmp_path / f"{start}/recordings.csv")} == {"long"}
        assert min(scores_of(tmp_path / f"{start}")[1]) == 5.0


def test_analyzer_starts_at_the_beginning_unless_it_is_told_otherwise_whatever_the_settings(folder, tmp_path):
    analyzer = analyzer_of(folder, start_seconds=5.0)
    analyzer.run(folder / "field/long.wav", tmp_path / "out")
    assert min(scores_of(tmp_path / "out")[1]) == 0.0


def test_analyzer_shows_the_frames_of_the_first_window(folder, tmp_path, capsys):
    analyzer_of(folder, "sed").run(folder / "field/long.wav", tmp_path / "out", start_seconds=1, show=True)
    lines = capsys.readouterr().out.splitlines()[1:]
    predictor = predictor_of(folder / "sed", overlap=0.0)
    _, frame_map, _ = predictor.get_recording_scores(folder / "field/long.wav", 1)
    best = frame_map[round(FPS) :][: round(FPS * AUDIO.spec_duration)].max(axis=0)
    assert lines == [f"{name}: {score:.4f}" for score, name in sorted(zip(best, "abc", strict=True), reverse=True)]


def test_analyzer_shows_the_scores_of_the_first_window_and_stops(folder, tmp_path, capsys):
    analyzer_of(folder).run(folder / "field", tmp_path / "out", start_seconds=1, show=True)
    first, *lines = capsys.readouterr().out.splitlines()
    assert "long.wav, from 1 s" in first
    scores, _, _ = predictor_of(folder / "pool").get_recording_scores(folder / "field/long.wav", 1)
    expected = sorted(zip(scores[0], "abc", strict=True), reverse=True)
    assert lines == [f"{name}: {score:.4f}" for score, name in expected]
    assert not (tmp_path / "out").exists()


def test_analyzer_names_what_cannot_be(folder, tmp_path):
    analyzer = analyzer_of(folder)
    with pytest.raises(SettingsError, match="rtype = 'word': must be both, or some of audacity, csv, raven"):
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
    problems = analyzer.run(tmp_path / "bad", tmp_path / "out")
    assert [Path(problem.subject).name for problem in problems] == ["a.wav"]


def test_stage_takes_the_settings_as_flags(folder, tmp_path, capsys):
    params = write_params(tmp_path / "params.yaml", tmp_path, infer=SETTINGS.model_dump())
    output = tmp_path / "out"
    arguments = {"recordings": str(folder / "field/long.wav"), "output": str(output), "model": str(folder / "sed")}
    infer(**arguments, params=str(params), formats="raven,json", start_seconds="0:01", initial_offsets="0, 0.25")
    assert "1 of 1 recordings (1 new)" in capsys.readouterr().out
    assert (output / "raven/long.selections.txt").exists() and (output / "labels.json").exists()
    manifest = yaml.safe_load((output / "manifest.yaml").read_text())
    assert manifest["infer"]["start_seconds"] == 1.0 and manifest["infer"]["initial_offsets"] == [0.0, 0.25]


def test_progress_counts_parts_of_recordings(folder, tmp_path, capsys):
    run(folder / "field/long.wav", folder / "pool", tmp_path, batch_size=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("infer: 0.0/1 recordings") and lines[-1].startswith("infer: 1.0/1 recordings, ")
    assert "x real time" in lines[-1]


@pytest.mark.parametrize(("head", "all_of_it"), [("pool", True), ("sed", True), ("sed", False)])
def test_memory_does_not_grow_with_the_length_of_the_recording(tmp_path, monkeypatch, head, all_of_it):
    """Of windows, frames and labels, no more than some batches are held at a time."""
    monkeypatch.setattr(reader, "BLOCK_SAMPLES", 2**13)
    monkeypatch.setattr(sorting, "HELD", 1000)
    monkeypatch.setattr(label_formats, "ROWS_AT_ONCE", 1000)
    settings = {"overlap": 0.0, "csv_min_score": 1.0, "min_score": 0.0 if all_of_it else 1.0}
    settings |= {"merge_labels": False, "segment_len": 0.5, "formats": ["audacity", "json", "parquet"]}
    names = [f"class {number}" for number in range(40)]
    save_random_model(tmp_path / "m.pt", AUDIO, names, head=head, sed_fps=4.0 if head == "sed" else None)
    peaks = []
    for minutes in (0.1, 1, 5):
        soundfile.write(tmp_path / "field.wav", noise(60.0 * minutes, RATE), RATE)
        tracemalloc.start()
        rows, _, _ = run(tmp_path / "field.wav", tmp_path / "m.pt", tmp_path / "out", **settings)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (int(rows[0]["labels"]) == 5 * 120 * len(names)) == all_of_it
    assert peaks[2] < 1.3 * peaks[1]  # the first run imports, too
