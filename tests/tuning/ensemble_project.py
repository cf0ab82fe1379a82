"""Models with random weights, and a test set to choose among them by."""

import shutil

import pytest
import soundfile
import yaml

from lib.config.schema import AudioSettings
from tests.models.builders import save_random_model
from tests.training_data.builders import PITCHES, RATE, tones

AUDIO = AudioSettings(
    sampling_rate=16000, spec_duration=1.0, spec_height=32, win_length=512, hop_length=160, max_freq=8000.0
)
NAMES = ["low", "middle", "high"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four models with random weights, and a test set of three recordings and one that cannot be read."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "test/recordings").mkdir(parents=True)
    rows = ["recording,class,start_time,end_time"]
    for index in range(3):
        samples, _ = tones(index, 6.0, tuple(PITCHES))
        soundfile.write(folder / f"test/recordings/{index}.wav", samples, RATE)
        rows += [f"{index},{NAMES[index]},{index},{index + 2}", f"{index},{NAMES[index - 1]},3,4.5"]
    (folder / "test/recordings/bad.wav").write_text("no sound")
    (folder / "test/annotations.csv").write_text("\n".join(rows) + "\n")
    for index in range(4):
        save_random_model(folder / f"models/{index}.pt", AUDIO, NAMES, seed=index)
    content = {
        "data": {"test": {"path": "test"}},
        "audio": AUDIO.model_dump(),
        "extract": {"overlap": 0.5},
        "infer": {"overlap": 0.5, "device": "cpu", "csv_min_score": 0.0, "precision": "32"},
        "evaluate": {"bootstrap": 20},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def project(files, tmp_path, monkeypatch):
    """A copy of the files, which is the working folder."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
