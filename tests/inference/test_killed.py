"""Inference that is killed at any moment leaves no results of one run under the name of another.

The process is killed before and after everything that it does to a file of its output folder.
"""

import csv
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

from lib.config import Infer, Settings
from lib.errors import EarshotError
from lib.inference.analyzer import analyze
from lib.inference.inputs import recordings_of
from tests.database.builders import AUDIO, RATE
from tests.models.builders import save_random_model

FIRST = {"overlap": 0.25, "csv_min_score": 0.0, "min_score": 0.3, "workers": 1, "device": "cpu", "precision": "32"}
OTHERS = {
    "other scores": {"start_seconds": 0.5, "formats": ["raven", "csv"]},
    "other label files": {"formats": ["audacity", "json"], "label_field": "codes"},
}
ROOT = Path(__file__).parents[2]

KILL = """
import json, os, shutil, signal, sys
import torch
from pathlib import Path
from tests.inference.test_killed import run

folder, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
torch.set_num_threads(1)


def killed_at(n, output):
    count = 0

    def counted(function):
        def call(path, *others, **more):
            nonlocal count
            if str(output) not in str(path):
                return function(path, *others, **more)
            for done in (False, True):
                if done:
                    function(path, *others, **more)
                count += 1
                if count == n:
                    os.kill(os.getpid(), signal.SIGKILL)
        return call

    os.replace, os.unlink = counted(os.replace), counted(os.unlink)
    run(folder / "field", folder, output, **changes)


n, status = 0, 1
while status:
    n += 1
    output = folder / "killed" / f"{n:03}"
    shutil.copytree(folder / "first", output)
    child = os.fork()
    if not child:
        killed_at(n, output)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
"""


def run(recordings, folder, output, **changes):
    found, _ = recordings_of(recordings)
    settings = Settings(infer=Infer.model_validate(FIRST | changes))
    return analyze(found, folder / "model.pt", settings, output, keep_others=True)


def files_of(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=OTHERS)
def killed(request, tmp_path_factory):
    """`field` and `other`, recordings; `first`, results of the first settings; `killed`, what is left of them by runs
    with other settings that were killed at one moment after the other; and these settings.
    """
    folder = tmp_path_factory.mktemp("killed")
    save_random_model(folder / "model.pt", AUDIO)
    rng = np.random.default_rng(1)
    for path in ("field/a.wav", "field/b.wav", "other/c.wav"):
        (folder / path).parent.mkdir(exist_ok=True)
        soundfile.write(folder / path, rng.normal(0, 0.1, RATE), RATE)
    run(folder / "field", folder, folder / "first")
    run(folder / "other", folder, folder / "c")
    command = [sys.executable, "-c", KILL, str(folder), json.dumps(OTHERS[request.param])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder, OTHERS[request.param]
    torch.set_num_threads(before)


def test_the_first_settings_or_the_others_again_give_what_they_give_alone(killed, tmp_path):
    folder, changes = killed
    run(folder / "field", folder, tmp_path / "other", **changes)
    moments = sorted((folder / "killed").iterdir())
    assert len(moments) > 20
    for number, left in enumerate(moments):
        output = shutil.copytree(left, tmp_path / left.name)
        back = number % 2 == 0
        run(folder / "field", folder, output, **({} if back else changes))
        found = {name: content for name, content in files_of(output).items() if not name.endswith(".part")}
        assert found == files_of(folder / "first" if back else tmp_path / "other"), left.name


def test_results_of_two_settings_are_never_put_together(killed, tmp_path):
    folder, _ = killed
    scores = {name: (folder / name / "scores.csv").read_text().splitlines()[1:] for name in ("first", "c")}
    alone = {line for lines in scores.values() for line in lines}
    refused = 0
    for left in sorted((folder / "killed").iterdir()):
        output = shutil.copytree(left, tmp_path / left.name)
        try:
            run(folder / "other", folder, output)
        except EarshotError as error:
            assert "other recordings, made with " in str(error)
            refused += 1
            continue
        assert set((output / "scores.csv").read_text().splitlines()[1:]) <= alone, left.name
        with (output / "recordings.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["status"] for row in rows} == {"ok"} and len({row["settings"] for row in rows}) == 1
        files = {"scores": "csv", "labels": "csv", ".": "txt"}
        for place, suffix in files.items():
            names = {path.stem for path in (output / place).glob(f"[abc].{suffix}")}
            assert names == {row["recording"] for row in rows}, left.name
        if "a" in names:
            for name in ("a.txt", "scores/a.csv", "labels/a.csv"):
                assert (output / name).read_bytes() == (folder / "first" / name).read_bytes()
    assert refused or "start_seconds" not in killed[1]
