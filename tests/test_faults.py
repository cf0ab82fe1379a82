"""The whole pipeline, killed at random moments, without room on the disk, and twice at the same time.

Kept out of the usual run: `make faults`, with KILLS=40 for forty moments instead of six.
"""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from lib.models.description import read_description
from tests.pipeline_copy import COMMAND, PipelineCopy

KILLS = int(os.environ.get("KILLS", "6"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
OUTPUTS = {
    "extract": ("data/training.db", "metrics/extract.json"),
    "pickle_occurrences": ("data/occurrence.db", "data/occurrences.pkl"),
    "train": ("data/models", "metrics/train.json", "metrics/train.csv"),
    "infer": ("data/labels",),
    "evaluate": ("metrics/report", "metrics/evaluation.json", "data/labels.matches"),
}
STAGES = tuple(OUTPUTS)
KEPT = (".cache", ".dvc/cache", "site", "data/.models-model-state", "dvc.lock")

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def project(tmp_path_factory, mlflow_uri) -> PipelineCopy:
    return PipelineCopy(tmp_path_factory.mktemp("faults") / "project", mlflow_uri)


@pytest.fixture(scope="module")
def undisturbed(project) -> tuple[dict[str, str], float]:
    """The md5s of the outputs of a run that nothing disturbs, and the seconds that it takes."""
    begin = time.monotonic()
    _, md5s = project.repro()
    return md5s, time.monotonic() - begin


def start_over(project: PipelineCopy, first: str = "extract") -> None:
    """Remove what a stage and those behind it made, and what was kept for them."""
    outputs = [output for stage in STAGES[STAGES.index(first) :] for output in OUTPUTS[stage]]
    for name in (*outputs, *KEPT):
        path = project.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def wait_for_group(group: int) -> None:
    """Wait until no process of a group is left: stages go on where DVC alone was killed."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise TimeoutError("a stage does not end")


@pytest.mark.parametrize("moment", range(KILLS))
def test_a_pipeline_that_is_killed_ends_with_the_same_bytes_when_it_is_run_again(project, undisturbed, moment):
    md5s, seconds = undisturbed
    rng = random.Random(moment)
    chosen, is_dvc_alone, after = SIGNALS[moment % 3], moment % 2 == 1, rng.uniform(0.05, 0.95) * seconds
    start_over(project)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen(COMMAND, cwd=project.folder, env=project.environment, **silent) as process:
        time.sleep(after)
        if is_dvc_alone:
            process.send_signal(chosen)
        else:
            os.killpg(process.pid, chosen)
        process.wait()
    wait_for_group(process.pid)
    restore_lock(project)
    assert project.repro()[1] == md5s, f"{chosen.name} after {after:.2f} s, {is_dvc_alone=}"


def test_a_pipeline_whose_training_is_stopped_goes_on_with_its_best_epoch_until_the_training_is_resumed(
    tmp_path, mlflow_uri
):
    project = PipelineCopy(tmp_path / "project", mlflow_uri)
    params, model = project.folder / "params.yaml", project.folder / "data/models/model.pt"
    text = re.sub(r"\b(epochs): 1\b", r"\1: 8", params.read_text())  # long enough to be stopped in time
    params.write_text(re.sub(r"\b(epoch_windows): \d+", r"\1: 1000", text))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    environment = project.environment | {"SHELL": "/bin/sh"}  # which may wait for its command, and die of Ctrl-C
    with subprocess.Popen(COMMAND, cwd=project.folder, env=environment, **pipes) as process:
        for line in process.stdout:
            if line.startswith("epoch 1:"):
                break
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert "of 8 (`dvc repro -f -s train` resumes): " in printed
    assert read_description(model).training["interrupted"]
    assert "its training was stopped; this is epoch" in printed
    assert (project.folder / "metrics/evaluation.json").is_file()
    assert "resumed after" in project.call("dvc", "repro", "-f", "-s", "train")
    assert "interrupted" not in read_description(model).training
    assert "Running stage 'infer'" in project.repro()[0]


def restore_lock(project: PipelineCopy) -> None:
    """As the README's trouble table says: DVC writes dvc.lock in place, and a kill meanwhile leaves a part of it.

    Here no dvc.lock was committed, so that restoring it removes it.
    """
    status = subprocess.run(
        ["dvc", "status"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    if re.search("dvc.lock' (is invalid|validation failed)", status.stderr):
        (project.folder / "dvc.lock").unlink()


def test_a_lock_that_dvc_was_killed_while_writing_costs_no_training(project, undisturbed):
    md5s = project.repro()[1]
    lock = project.folder / "dvc.lock"
    text = lock.read_text()
    for share in (0.4, 0.7, 0.99):
        lock.write_text(text[: int(share * len(text))])
        restore_lock(project)
        printed, again = project.repro()
        assert again == md5s == undisturbed[0]
        assert "epoch 1" not in printed


def run_stage(project: PipelineCopy, name: str, largest_file: int | None = None) -> tuple[int, str]:
    """Run a stage, as if the disk were full once a file has so many bytes; returns its exit status and errors."""

    def limit() -> None:
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    command = [sys.executable, "-m", f"stages.{name}"]
    environment = environment_of(project, name)
    done = subprocess.run(
        command, cwd=project.folder, env=environment, preexec_fn=limit, capture_output=True, text=True
    )
    return done.returncode, done.stderr


def environment_of(project: PipelineCopy, name: str) -> dict[str, str]:
    """That of a stage's process. By hand, the layout of a results store depends on when it was written to."""
    return project.environment | ({"DVC_STAGE": name} if name == "infer" else {})


def finish(project: PipelineCopy, first: str) -> dict[str, bytes]:
    """Run a stage and those behind it; returns the content of all outputs."""
    for stage in STAGES[STAGES.index(first) :]:
        status, errors = run_stage(project, stage)
        assert status == 0, errors
    paths = [project.folder / name for names in OUTPUTS.values() for name in names]
    files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
    return {str(file.relative_to(project.folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def whole(project) -> dict[str, bytes]:
    start_over(project)
    return finish(project, "extract")


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("largest_file", [0, 20_000])
def test_a_full_disk_is_one_line_that_names_the_file_and_costs_nothing(project, whole, name, largest_file):
    start_over(project, name)
    status, errors = run_stage(project, name, largest_file)
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in errors
    assert status == 0 or (len(lines) == 1 and "/" in lines[0].partition(";")[0]), errors
    assert finish(project, name) == whole


@pytest.mark.parametrize("name", STAGES)
def test_the_same_stage_twice_at_a_time_gives_what_one_gives_or_a_line(project, whole, name):
    start_over(project, name)
    command = [sys.executable, "-m", f"stages.{name}"]
    both = [
        subprocess.Popen(
            command, cwd=project.folder, env=environment_of(project, name), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    assert 0 in [process.returncode for process in both], errors
    for process, text in zip(both, errors, strict=True):
        assert "Traceback" not in text
        assert process.returncode == 0 or "another process" in text, text
    assert finish(project, name) == whole
