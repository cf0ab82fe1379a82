"""Real runs on bad input: one clear line each, no traceback, and the good files are used."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.recordings import noise, sine, truncate, write

RATE = 16000
AUDIO = {
    "sampling_rate": RATE,
    "spec_duration": 1.0,
    "spec_height": 32,
    "win_length": 512,
    "hop_length": 160,
    "max_freq": 8000.0,
}
UNREADABLE = {
    "empty": "the file is empty",
    "random": "cannot be decoded",
    "text": "cannot be decoded",
    "headeronly": "holds no sound",
}
UNUSUAL = {
    "truncated": "truncated or damaged",
    "silent": "is silent from start to end",
    "nan": "not a number, or far too large",
}
FINE = ["good", "eight", "mislabelled", "ultrasound"]
NOT_UTF8 = r"caf\xe9"
ROWS = {
    "good,high,20,21": "starts after the end",
    "eight,low,2.5,9": "ends after the end",
    "nowhere,high,0,1": "no such recording (nowhere, high)",
    "good,unknown,0,1": "unknown class (good, unknown)",
    "good,high,2,1": "ends before it starts",
    "good,high,one,2": "a time is not a number",
    "good,high,-1,2": "starts before the recording",
    "good,low,1,2": "repeats an earlier row",
    "good,": "a time is not a number",
}


def write_bad_recordings(folder: Path) -> None:
    """One recording of 3 s of each kind in UNREADABLE, UNUSUAL and FINE, and one whose name is not UTF-8."""
    song = sine(1000, 3.0, RATE)
    write(folder / "good.wav", song, RATE)
    write(folder / "eight.wav", np.tile(song[:, None], 8), RATE)
    write(folder / "mislabelled.flac", song, RATE).rename(folder / "mislabelled.wav")
    write(folder / "ultrasound.wav", sine(1000, 3.0, 500_000), 500_000)
    truncate(write(folder / "truncated.flac", noise(6.0, RATE), RATE), 0.5)
    write(folder / "silent.wav", 0 * song, RATE)
    song[:100] = np.nan
    write(folder / "nan.wav", song, RATE, "FLOAT")
    write(folder / "headeronly.wav", song[:0], RATE)
    (folder / "empty.wav").touch()
    (folder / "random.mp3").write_bytes(np.random.default_rng(1).bytes(20_000))
    (folder / "text.wav").write_text("no sound\n" * 100)
    write(folder / "latin.wav", noise(3.0, RATE), RATE)
    os.rename(folder / "latin.wav", os.fsencode(folder) + b"/caf\xe9.wav")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A data set of bad recordings and annotations, and settings for it."""
    folder = tmp_path_factory.mktemp("bad")
    write_bad_recordings(folder / "data/recordings")
    names = [*FINE, *UNUSUAL, *UNREADABLE, NOT_UTF8]
    rows = [f"{name},{'high' if name == 'ultrasound' else 'low'},1,2" for name in names]
    header = "recording,class,start_time,end_time"
    (folder / "data/annotations.csv").write_text("\n".join([header, *rows, *ROWS]) + "\n")
    (folder / "data/classes.csv").write_text("name\nlow\nhigh\n")
    data = {"path": str(folder / "data")}
    settings = {
        "data": {"train": data, "test": data},
        "audio": AUDIO,
        "extract": {"overlap": 0.5},
        "occurrences": {"path": "none"},
        "train": {"epochs": 1, "epoch_windows": 0, "batch_size": 4, "device": "cpu", "val_fraction": 0.2},
        "infer": {"overlap": 0.5, "device": "cpu", "min_score": 0.0, "formats": ["audacity", "scores"]},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "log_model": False},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def extracted(project, run_stage):
    return run_stage("extract", *arguments(project, "database", "metrics"))


@pytest.fixture(scope="module")
def trained(project, extracted, run_stage):
    return run_stage("train", *arguments(project, "database", "model", "metrics", "curves", "state"))


def arguments(project: Path, *names: str) -> list[str]:
    files = {
        "database": "training.db",
        "metrics": "metrics.json",
        "model": "models/model.pt",
        "curves": "curves.csv",
        "state": "state",
        "params": "params.yaml",
    }
    return [f"--{name}={project / files[name]}" for name in (*names, "params")]


def warnings_of(errors: str) -> list[str]:
    """The warnings on stderr, which may hold nothing but these and lines of progress."""
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if not line.startswith(("extract: ", "infer: ", "train: "))]
    assert [line for line in lines if not line.startswith("warning: ")] == []
    return lines


def only(lines: list[str], *parts: str) -> str:
    """The only line that contains all parts."""
    matching = [line for line in lines if all(part in line for part in parts)]
    assert len(matching) == 1, (parts, lines)
    return matching[0]


def test_extract_prints_a_line_for_each_bad_input_and_uses_the_rest(project, extracted):
    status, output, errors = extracted
    lines = warnings_of(errors)
    assert status == 0 and output.startswith("8 recordings (8 new or changed, 4 failed), ")
    for name, fault in (UNREADABLE | UNUSUAL).items():
        assert only(lines, f"recordings/{name}.", fault).count("; ") >= 1
    for number, (row, fault) in enumerate(ROWS.items(), 2 + len([*FINE, *UNUSUAL, *UNREADABLE, NOT_UTF8])):
        is_after_end = "after the end" in fault  # only known once the recording is read
        only(lines, f"/{row.split(',')[0]}.wav: " if is_after_end else f"/annotations.csv:{number}: ", fault)
    only(lines, f"recordings/{NOT_UTF8}.wav", "not UTF-8")
    assert len(lines) == len(UNREADABLE) + len(UNUSUAL) + len(ROWS) + 1
    report = json.loads((project / "metrics.json").read_text())
    assert {entry["recording"]: entry["reason"].split(" (")[0] for entry in report["failed"]} == UNREADABLE
    assert [f"warning: {line}" for line in report["warnings"]] == lines


def test_extract_repeats_its_warnings_and_reads_only_truncated_recordings_again(project, extracted, run_stage):
    status, output, errors = run_stage("extract", *arguments(project, "database", "metrics"))
    assert status == 0 and output.startswith("8 recordings (1 new or changed, 4 failed), ")
    assert sorted(warnings_of(errors)) == sorted(warnings_of(extracted[2]))


def test_strict_extraction_stops_at_lost_input(project, run_stage, tmp_path):
    files = [*arguments(project, "metrics"), f"--database={tmp_path}/training.db"]
    status, _, errors = run_stage("extract", *files, "--strict")
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert status == 1 and "Traceback" not in errors
    for name, fault in UNREADABLE.items():
        only(lines, f"recordings/{name}.", fault)
    assert not any("silent" in line for line in lines) and lines[-1].startswith("error: stopped because extract.strict")


def test_train_names_a_class_with_only_one_recording(trained):
    status, _, errors = trained
    assert status == 0
    only(warnings_of(errors), "high: only one recording has this class")


def test_infer_prints_a_line_for_each_bad_recording_and_labels_the_rest(project, trained, run_stage):
    labels = project / "labels"
    command = [f"--recordings={project}/data/recordings", f"--model={project}/models", f"--output={labels}"]
    status, output, errors = run_stage("infer", *command, *arguments(project))
    lines = warnings_of(errors)
    assert status == 0 and output.startswith("8 of 12 recordings (8 new), ")
    for name, fault in (UNREADABLE | UNUSUAL).items():
        only(lines, f"recordings/{name}.", fault)
    only(lines, NOT_UTF8, "not UTF-8")
    assert len(lines) == len(UNREADABLE) + len(UNUSUAL) + 1
    with (labels / "recordings.csv").open(newline="") as file:
        rows = {row["recording"]: row for row in csv.DictReader(file)}
    used = {*FINE, *UNUSUAL, NOT_UTF8}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == used
    assert {path.stem for path in labels.glob("*.txt")} == used
    for name, fault in UNREADABLE.items():
        assert rows[name]["status"] == "failed" and fault in rows[name]["reason"]
    with (labels / "scores.csv").open(newline="") as file:
        assert {row["recording"] for row in csv.DictReader(file)} == used

    status, _, errors = run_stage("infer", *command, *arguments(project), "--strict")
    assert status == 1 and "Traceback" not in errors
    assert only(errors.splitlines(), "error: ").startswith(
        f"error: {labels}: 4 of 12 recordings could not be analyzed; recordings.csv in that folder"
    )


def test_strict_inference_stops_at_an_incomplete_list_before_it_analyzes_anything(project, run_stage, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text(f"{project}/data/recordings/good.wav\n{project}/data/recordings/missing.wav\n")
    labels = tmp_path / "labels"
    command = [f"--recordings={listed}", f"--model={project}/models", f"--output={labels}", "--strict"]
    status, output, errors = run_stage("infer", *command, *arguments(project))
    assert (status, output, labels.exists()) == (1, "", False)
    missing, stopped = errors.splitlines()
    assert missing.startswith(f"warning: {listed}:2: ") and "missing.wav: no such file" in missing
    assert stopped == "error: stopped because infer.strict is set; see the lines above"


@pytest.mark.parametrize("stage", ["extract", "infer"])
def test_an_output_that_cannot_be_written_is_one_line(project, trained, run_stage, stage):
    below = project / "params.yaml/out"
    command = {
        "extract": [f"--database={below}/training.db"],
        "infer": [f"--model={project}/models", f"--output={below}", f"--recordings={project}/data/recordings/good.wav"],
    }[stage]
    status, output, errors = run_stage(stage, *command, *arguments(project))
    lines = [line for line in errors.splitlines() if not line.startswith("warning: ")]
    assert (status, output, len(lines)) == (1, "", 1)
    assert lines[0].startswith(f"error: {project}/params.yaml")
    assert any(fault in lines[0] for fault in ("Not a directory", "File exists"))


@pytest.mark.parametrize("stage", ["extract", "infer"])
@pytest.mark.parametrize("content", ["nothing", "unreadable"])
def test_with_no_recording_left_a_stage_fails_in_clear_lines(project, trained, run_stage, tmp_path, stage, content):
    (tmp_path / "data/recordings").mkdir(parents=True)
    (tmp_path / "data/annotations.csv").write_text("recording,class,start_time,end_time\na,low,0,1\n")
    if content == "unreadable":
        (tmp_path / "data/recordings/a.wav").write_bytes(b"no sound")
    data = tmp_path / "data"
    command = {
        "extract": [f"--database={tmp_path}/a.db", f"--metrics={tmp_path}/a.json", f"--data.train.path={data}"],
        "infer": [f"--model={project}/models", f"--output={tmp_path}/labels", f"--recordings={data}/recordings"],
    }[stage]
    status, _, errors = run_stage(stage, *command, *arguments(project))
    lines = [line for line in errors.splitlines() if not line.startswith(f"{stage}: ")]
    assert status == 1 and "Traceback" not in errors
    assert all(line.startswith(("error: ", "warning: ")) for line in lines) and lines[-1].startswith("error: ")
    if content == "nothing":
        assert len(lines) == 1 and "holds no recordings" in lines[0]
    else:
        assert "cannot be decoded" in only(lines, "recordings/a.wav")
