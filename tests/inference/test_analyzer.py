import csv
import random
import shutil

import numpy as np
import pytest
import soundfile
import yaml

from lib.audio.spectrogram import recording_windows
from lib.audio.windows import window_starts
from lib.config import Infer, Settings
from lib.digests import digest_file
from lib.errors import EarshotError
from lib.inference.analyzer import analyze
from lib.inference.inputs import recordings_of
from lib.inference.predictor import Predictor
from lib.occurrence.database import write_database
from lib.occurrence.filter import occurrence_filter
from lib.occurrence.pickler import OccurrencePickler
from lib.occurrence.table import COLUMNS, read_occurrences
from stages.infer import infer
from tests.database.builders import AUDIO, RATE, write_data_set, write_params
from tests.models.builders import save_random_model

SETTINGS = Infer(overlap=0.25, csv_min_score=0.01, workers=1, batch_size=8, device="cpu", precision="32")
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings of 3 s, and two of other lengths."""
    folder = write_data_set(tmp_path_factory.mktemp("field"), 6) / "recordings"
    noise = np.random.default_rng(1).normal(0, 0.1, 5 * RATE)
    soundfile.write(folder / "long.wav", noise[: round(4.87 * RATE)], RATE)
    soundfile.write(folder / "short.wav", noise[: round(0.3 * RATE)], RATE)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.pt"
    save_random_model(path, AUDIO, NAMES)
    return path


@pytest.fixture(scope="module")
def whole(folder, model, tmp_path_factory):
    """All results of the folder, made in one go."""
    output = tmp_path_factory.mktemp("whole")
    run(folder, model, output)
    return output


def run(recordings, model, output, place=None, **settings):
    found, _ = recordings_of(recordings)
    return analyze(found, model, Settings(infer=SETTINGS.model_copy(update=settings)), output, place)


def files_of(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "field")


def test_output_has_all_files_and_they_agree(whole, folder):
    rows = table(whole / "recordings.csv")
    assert [row["recording"] for row in rows] == ["long", "r00", "r01", "r02", "r03", "r04", "r05", "short"]
    assert {row["status"] for row in rows} == {"ok"}
    scores = table(whole / "scores.csv")
    assert list(scores[0]) == ["recording", "name", "start_time", "end_time", "score"]
    assert [row["recording"] for row in scores] == sorted(row["recording"] for row in scores)
    assert all(float(row["score"]) >= 0.01 for row in scores)
    for row in rows:
        labels = (whole / f"{row['recording']}.txt").read_text().splitlines()
        assert len(labels) == int(row["labels"])
        high = {s["name"] for s in scores if s["recording"] == row["recording"] and float(s["score"]) >= 0.5001}
        assert high <= {label.split("\t")[2].split(";")[0] for label in labels}
    assert sum(int(row["labels"]) for row in rows) > 8
    manifest = yaml.safe_load((whole / "manifest.yaml").read_text())
    assert (manifest["segment_len"], manifest["overlap"]) == (0.5, 0.25)
    assert [(entry["name"], entry["code"]) for entry in manifest["classes"]] == [(name, name.upper()) for name in NAMES]


def test_durations_agree_with_the_windows(folder, model, tmp_path):
    run(folder, model, tmp_path, csv_min_score=0.0)
    expected = {"long": 4.87, "short": 0.3}
    scores = table(tmp_path / "scores.csv")
    for row in table(tmp_path / "recordings.csv"):
        seconds = float(row["seconds"])
        assert seconds == pytest.approx(expected.get(row["recording"], 3.0), abs=1 / AUDIO.frame_rate)
        starts = {float(s["start_time"]) for s in scores if s["recording"] == row["recording"]}
        assert starts == set(window_starts(seconds, 0.5, 0.25).tolist())


def test_output_does_not_depend_on_the_number_of_workers(folder, model, whole, tmp_path):
    run(folder, model, tmp_path, workers=2)
    assert files_of(tmp_path) == files_of(whole)


def test_known_recordings_are_not_analyzed_again(folder, model, whole, tmp_path):
    output = shutil.copytree(whole, tmp_path / "out")
    rows, n_new, problems = run(folder, model, output)
    assert (len(rows), n_new, problems) == (8, 0, [])
    assert files_of(output) == files_of(whole)


def test_new_recording_costs_only_itself(copied, model, tmp_path):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    soundfile.write(copied.parent / "new.wav", np.random.default_rng(2).normal(0, 0.1, 2 * RATE), RATE)
    run(copied, model, output)
    (copied.parent / "new.wav").rename(copied / "r02b.wav")
    _, n_new, _ = run(copied, model, output)
    assert n_new == 1
    run(copied, model, fresh)
    assert files_of(output) == files_of(fresh)


def test_changed_recording_and_lost_results_are_made_anew(copied, model, tmp_path):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    run(copied, model, output)
    shutil.copy(copied / "long.wav", copied / "r01.wav")
    (output / "r02.txt").unlink()  # which is made of the labels, without listening
    (output / "scores/r03.csv").unlink()
    (output / "labels/r04.csv").unlink()
    (output / "scores.csv").unlink()
    _, n_new, _ = run(copied, model, output)
    assert n_new == 3
    run(copied, model, fresh)
    assert files_of(output) == files_of(fresh)


def test_results_of_removed_recordings_go_and_other_files_stay(copied, model, tmp_path):
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    run(copied, model, output)
    (output / "notes.txt").write_text("mine")
    (output / "scores/mine.csv").write_text("mine")
    for name in ("r01", "r02"):
        (copied / f"{name}.wav").unlink()
    _, n_new, _ = run(copied, model, output)
    assert n_new == 0
    assert (output / "notes.txt").read_text() == (output / "scores/mine.csv").read_text() == "mine"
    (output / "notes.txt").unlink()
    (output / "scores/mine.csv").unlink()
    run(copied, model, fresh)
    assert files_of(output) == files_of(fresh)


@pytest.mark.parametrize("kept", [0, 1, 40, 75, -1, -20])
def test_torn_last_line_is_survived(folder, model, whole, tmp_path, kept):
    output = shutil.copytree(whole, tmp_path / "out")
    *lines, last = (output / "recordings.csv").read_text().splitlines()
    (output / "recordings.csv").write_text("\n".join([*lines, last[:kept]]))
    _, n_new, _ = run(folder, model, output)
    assert n_new == 1
    assert files_of(output) == files_of(whole)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00\x00", b'"' + 200_000 * b"x", b"recording,key\nr01,7\n", b"recording,key\nr01,7,8,9\n"],
)
def test_damaged_recordings_csv_costs_a_new_analysis_and_nothing_else(folder, model, whole, tmp_path, content):
    output = shutil.copytree(whole, tmp_path / "out")
    (output / "recordings.csv").write_bytes(content)
    _, n_new, _ = run(folder, model, output)
    assert n_new == 8
    assert files_of(output) == files_of(whole)


def test_another_model_or_setting_means_another_analysis(folder, model, whole, tmp_path):
    output = shutil.copytree(whole, tmp_path / "out")
    _, n_new, _ = run(folder, model, output, min_score=0.6)
    assert n_new == 8
    _, n_new, _ = run(folder, model, output, workers=2)
    assert n_new == 8
    assert files_of(output) == files_of(whole)
    other = tmp_path / "models/model.pt"
    save_random_model(other, AUDIO, NAMES, seed=2)
    _, n_new, _ = run(folder, other, output)
    assert n_new == 8
    assert (output / "scores.csv").read_bytes() != (whole / "scores.csv").read_bytes()


def test_scores_of_a_recording_do_not_depend_on_the_others(folder, model, whole, tmp_path):
    run(folder / "r03.wav", model, tmp_path)
    for name in ("r03.txt", "scores/r03.csv"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_ensemble_averages_scores(folder, model, tmp_path):
    models = tmp_path / "models"
    for seed in (1, 2):
        save_random_model(models / f"{seed}.pt", AUDIO, NAMES, seed=seed)
    scores = {}
    for name in ("1.pt", "2.pt", ""):
        run(folder / "r01.wav", models / name, tmp_path / f"out{name}", csv_min_score=0.0)
        rows = table(tmp_path / f"out{name}" / "scores.csv")
        scores[name] = np.array([float(row["score"]) for row in rows])
        assert len(rows) == 11 * 3
    np.testing.assert_allclose(scores[""], (scores["1.pt"] + scores["2.pt"]) / 2, atol=2e-4)
    manifest = yaml.safe_load((tmp_path / "out/manifest.yaml").read_text())
    assert manifest["models"] == {name: digest_file(models / name) for name in ("1.pt", "2.pt")}


def test_classes_that_do_not_occur_are_left_out(folder, model, tmp_path):
    weeks = {"a": {20: 1.0}, "b": {week: 1.0 for week in range(1, 49)}}
    lines = [
        ["X-1", "County", 0, 1, 0, 1, name, *(values.get(w, 0) for w in range(1, 49))] for name, values in weeks.items()
    ]
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *lines])
    write_database(read_occurrences(tmp_path / "table.csv")[0], tmp_path / "occurrences.db")
    OccurrencePickler(tmp_path / "occurrences.db", tmp_path / "occurrences.pkl").pickle(quiet=True)

    def found(**settings):
        settings = SETTINGS.model_copy(update={"region": "X-1", "csv_min_score": 0.0} | settings)
        place = occurrence_filter(settings, tmp_path / "occurrences.pkl")
        recordings, _ = recordings_of(folder / "r01.wav")
        _, n_new, problems = analyze(recordings, model, Settings(infer=settings), tmp_path / "out", place)
        assert n_new == 1
        scores = {row["name"] for row in table(tmp_path / "out/scores.csv")}
        labelled = {line.split("\t")[2].split(";")[0] for line in (tmp_path / "out/r01.txt").read_text().splitlines()}
        assert labelled <= scores
        return scores, [problem.subject for problem in problems]

    assert found(week=20) == ({"a", "b", "c"}, ["class c"])  # c is not in the table
    assert found(week=40) == ({"b", "c"}, ["class c"])


def test_overlap_that_the_model_cannot_have_is_named(folder, model, tmp_path):
    with pytest.raises(
        EarshotError, match=r"infer\.overlap = 0\.5: must be below the model's spec_duration \(0\.5 s\)"
    ):
        run(folder, model, tmp_path, overlap=0.5)


def test_failed_recordings_are_listed_and_only_strict_makes_them_fatal(copied, model, tmp_path, capsys):
    (copied / "r01.wav").write_bytes(b"")
    (copied / "r02.wav").write_bytes(random.Random(1).randbytes(3000))
    soundfile.write(copied / "r03.wav", np.zeros(2 * RATE), RATE)
    params = write_params(tmp_path / "params.yaml", tmp_path, infer=SETTINGS.model_dump())
    listed = tmp_path / "list.txt"
    listed.write_text("field\n")
    output = tmp_path / "out"
    arguments = {"recordings": str(listed), "output": str(output), "model": str(model), "params": str(params)}
    for _ in range(2):
        infer(**arguments)
        printed = capsys.readouterr()
        rows = {row["recording"]: row for row in table(output / "recordings.csv")}
        assert {name for name, row in rows.items() if row["status"] == "failed"} == {"r01", "r02"}
        assert "empty" in rows["r01"]["reason"]
        assert rows["r01"]["seconds"] == "" and not (output / "r01.txt").exists()
        assert rows["r03"]["status"] == "ok" and "silent" in rows["r03"]["reason"]
        warnings = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
        assert [line.split(": ")[1] for line in warnings] == [str(copied / f"r0{i}.wav") for i in (1, 2, 3)]
        assert "6 of 8 recordings" in printed.out
    with pytest.raises(EarshotError, match=r"2 of 8 recordings could not be analyzed"):
        infer(**arguments, strict=True)
    for path in copied.iterdir():
        path.write_bytes(b"")
    with pytest.raises(EarshotError, match=r"8 of 8 recordings could not be analyzed"):
        infer(**arguments)
    assert [path.name for path in output.glob("*.txt")] == []


def test_missing_model_is_named(folder, tmp_path):
    with pytest.raises(EarshotError, match="holds no model"):
        run(folder, tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_predictor_agrees_with_what_is_written(folder, model, whole):
    predictor = Predictor(model, "cpu", Settings().model_copy(update={"infer": SETTINGS}))
    scores = np.concatenate(
        [
            predictor.get_block_scores(batch.spectrograms)[0]
            for batch in recording_windows(folder / "r04.wav", AUDIO, 0.25, 8)
        ]
    )
    for row in table(whole / "scores.csv"):
        if row["recording"] == "r04":
            expected = scores[round(float(row["start_time"]) / 0.25), NAMES.index(row["name"])]
            assert float(row["score"]) == pytest.approx(expected, abs=6e-5)
