"""How good the default settings are on real recordings, beside what is asked of them. `make benchmark` prints it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
CASES = {
    "ESC-10, folds 1-3, tested on fold 4": (
        "accuracy",
        0.83,
        {
            **{f"data.{split}.path": DATA / "esc10" for split in ("train", "test")},
            **{"data.train.include": "[123]-*", "data.test.include": "4-*"},
            **{"train.multi_label": False, "audio.spec_duration": 5},
        },
    ),
    "soundscapes of several rates, partly in stereo": (
        "macro_pr",
        0.75,
        {f"data.{split}.path": DATA / "soundscapes" / split for split in ("train", "test")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_accuracy_on_real_recordings(case, tmp_path):
    figure, wanted, settings = CASES[case]
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is missing")
    flags = [f"--{key}={value}" for key, value in settings.items()]

    def stage(name: str, **outputs: str) -> float:
        command = [sys.executable, "-m", f"stages.{name}", *(f"--{key}={tmp_path / to}" for key, to in outputs.items())]
        start = time.perf_counter()
        subprocess.run([*command, *flags], cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - start

    stage("extract", database="t.db", metrics="e.json")
    trained = {"database": "t.db", "model": "models/model.pt", "metrics": "t.json", "curves": "t.csv", "state": "state"}
    seconds = stage("train", **trained)
    stage("infer", model="models", output="labels")
    stage("evaluate", labels="labels", output="report", metrics="evaluation.json")
    value = json.loads((tmp_path / "evaluation.json").read_text())[figure]
    print(f"\n{case}: {figure} {value:.3f} (wanted: {wanted}), trained in {seconds:.0f} s")
    assert value >= wanted
