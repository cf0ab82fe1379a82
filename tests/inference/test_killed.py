"""Inference that is killed at any moment resumes, and leaves no results of one run under the name of another.

The process is killed before and after everything that it does to a file of its output folder: each file that it puts in
place or removes, each commit of the store.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lib.config.schema import InferSettings, Settings
from lib.core.errors import EarshotError
from lib.inference.analyzer import analyze
from lib.results.results_store import ResultsStore
from lib.sound.recordings import recordings_of
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, RATE

FIRST = {"overlap": 0.25, "csv_min_score": 0.0, "min_score": 0.3, "workers": 1, "device": "cpu", "precision": "32"}
OTHERS = {
    "other results": {"start_seconds": 0.5, "formats": ["raven", "csv"]},
    "other label files": {"formats": ["audacity", "json"], "label_field": "codes"},
}
ROOT = Path(__file__).parents[2]

KILL = """
import json, os, shutil, signal, sys
import torch
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from lib.core import incremental
from tests.inference.test_killed import run

folder, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
torch.set_num_threads(1)
incremental.COMMIT_SECONDS = 0.0  # after each recording
run(folder / "field", folder, folder / "warm", **changes)


def killed_at(n, output):
    count = 0

    def tick():
        nonlocal count
        count += 1
        if count == n:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function):
        def call(path, *others, **more):
            if str(output) not in str(path):
                return function(path, *others, **more)
            tick()
            function(path, *others, **more)
            tick()
        return call

    @event.listens_for(Engine, "connect")
    def connected(connection, record):
        is_done = False

        def statement(text):
            nonlocal is_done
            if is_done or text == "COMMIT" or text == "VACUUM":
                tick()
            is_done = text == "COMMIT" or text == "VACUUM"
        connection.set_trace_callback(statement)

    os.replace, os.unlink = counted(os.replace), counted(os.unlink)
    run(folder / "field", folder, output, **changes)


n, status = 0, 1
while status:
    n += 1
    output = folder / "killed" / f"{n:03}"
    if (folder / "first").exists():
        shutil.copytree(folder / "first", output)
    child = os.fork()
    if not child:
        killed_at(n, output)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
"""


def run(recordings, folder, output, keep_others=False, **changes):
    chosen, _ = recordings_of(recordings)
    settings = Settings(infer=InferSettings.model_validate(FIRST | changes))
    return analyze(chosen, folder / "model.pt", settings, output, keep_others=keep_others, pack=True)


def files_of(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def kill(folder, changes):
    """Leave in `killed` what runs left that were killed at one moment after the other."""
    command = [sys.executable, "-c", KILL, str(folder), json.dumps(changes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """`field` and `other`, recordings, and a model."""
    folder = tmp_path_factory.mktemp("field")
    save_random_model(folder / "model.pt", AUDIO)
    rng = np.random.default_rng(1)
    for path in ("field/a.wav", "field/b.wav", "other/c.wav"):
        (folder / path).parent.mkdir(exist_ok=True)
        soundfile.write(folder / path, rng.normal(0, 0.1, RATE), RATE)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=OTHERS)
def killed(request, field, tmp_path_factory):
    """The same folder with `first`, results of the first settings; `killed`, what is left of them by runs with other
    settings that were killed; and these settings.
    """
    folder = shutil.copytree(field, tmp_path_factory.mktemp("killed"), dirs_exist_ok=True)
    run(folder / "field", folder, folder / "first")
    run(folder / "other", folder, folder / "c")
    kill(folder, OTHERS[request.param])
    return folder, OTHERS[request.param]


def test_a_killed_first_run_resumes_and_ends_like_an_undisturbed_one(field, tmp_path):
    folder = shutil.copytree(field, tmp_path / "killed")
    kill(folder, {})
    run(folder / "field", folder, tmp_path / "whole")
    moments = sorted((folder / "killed").glob("[0-9]*"))
    assert len(moments) > 20
    n_new = []
    for output in moments:
        n_new.append(run(folder / "field", folder, output).n_new)
        assert files_of(output) == files_of(tmp_path / "whole"), output.name
    assert n_new == sorted(n_new, reverse=True) and set(n_new) == {0, 1, 2}


def test_the_first_settings_or_the_others_again_give_what_they_give_alone(killed, tmp_path):
    folder, changes = killed
    run(folder / "field", folder, tmp_path / "other", **changes)
    moments = sorted((folder / "killed").glob("[0-9]*"))
    assert len(moments) > 20
    for number, left in enumerate(moments):
        output = shutil.copytree(left, tmp_path / left.name)
        back = number % 2 == 0
        run(folder / "field", folder, output, **({} if back else changes))
        made = {name: content for name, content in files_of(output).items() if not name.endswith(".part")}
        assert made == files_of(folder / "first" if back else tmp_path / "other"), left.name


def test_the_manifest_is_there_only_while_all_label_files_are_of_its_settings(killed, tmp_path):
    folder, changes = killed
    run(folder / "field", folder, tmp_path / "other", **changes)
    wholes = {(whole / "manifest.yaml").read_bytes(): whole for whole in (folder / "first", tmp_path / "other")}
    n_without = 0
    for left in sorted((folder / "killed").glob("[0-9]*")):
        if (left / "manifest.yaml").exists():
            whole = wholes[(left / "manifest.yaml").read_bytes()]
            assert label_files_of(left) == label_files_of(whole), left.name
        else:
            n_without += 1
    assert n_without


def label_files_of(output):
    files = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file() and path.name[0] in "abl"}
    return {name: content for name, content in files.items() if not name.endswith(".part")}


def test_results_of_two_settings_are_never_put_together(killed, tmp_path):
    folder, _ = killed
    alone = {}
    for place in ("first", "c"):
        with ResultsStore(folder / place) as store:
            alone |= {name: (store.scores(name).tobytes(), list(store.labels(name))) for name in store.recordings()}
    refused = 0
    for left in sorted((folder / "killed").glob("[0-9]*")):
        output = shutil.copytree(left, tmp_path / left.name)
        try:
            run(folder / "other", folder, output, keep_others=True)
        except EarshotError as error:
            assert "other recordings, made with " in str(error)
            refused += 1
            continue
        with ResultsStore(output) as store:
            names = set(store.recordings())
            assert names == set(store.keys()) >= {"c"}, left.name
            assert all(alone[name] == (store.scores(name).tobytes(), list(store.labels(name))) for name in names)
        assert {path.stem for path in output.glob("[abc].txt")} == names, left.name
        if "a" in names:
            assert (output / "a.txt").read_bytes() == (folder / "first/a.txt").read_bytes()
    assert refused or "start_seconds" not in killed[1]
