"""Hostile checkpoints: each is refused in one line, and harms nobody."""

import asyncio
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import torch
from onnx import external_data_helper

from lib.config.schema import AudioSettings
from lib.core.errors import EarshotError
from lib.inference.predictor import Predictor
from lib.models.checkpoints import FORMAT, save_checkpoint
from lib.models.description import Description, write_description
from lib.server.checkpoint_trial import CheckpointTrials
from lib.server.serving import TOKEN_VARIABLE
from tests.models.builders import describe, frozen_description, random_model, save_random_model
from tests.models.onnx_models import spectrogram_model
from tests.server.test_batch_scorer import SETTINGS
from tests.server.test_decoder_pool import HARMLESS
from tests.training_data.builders import AUDIO

LIMIT = "is not a model that can be loaded within the server's limits"


class Pickled:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def pickled(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Pickled(marker)))
    write_description(path, describe(AUDIO))


def pickled_by_torch(path: Path, marker: Path) -> None:
    write(path, describe(AUDIO), {"weight": Pickled(marker)})


def claims_an_endless_window(path: Path, marker: Path) -> None:
    audio = AudioSettings(sampling_rate=1_000_000, spec_duration=3600.0, hop_length=16, win_length=16, spec_height=1024)
    write(path, describe(audio))


def claims_a_huge_tensor(path: Path, marker: Path) -> None:
    write(path, describe(AUDIO), {"normalize.weight": torch.zeros(1).expand(2**40)})


def claims_a_giant(path: Path, marker: Path) -> None:
    write(path, describe(AUDIO, backbone="eva_giant_patch14_560"))


def claims_a_model_elsewhere(path: Path, marker: Path) -> None:
    write(path, describe(AUDIO, backbone="onnx:../../outside/model.onnx"))


def holds_onnx_tensors_elsewhere(path: Path, marker: Path) -> None:
    file = spectrogram_model(marker.with_suffix(".onnx"), AUDIO)
    description = frozen_description(file)
    save_checkpoint(path, random_model(description, onnx=file.read_bytes()), description)
    graph = onnx.load(file)
    for tensor in graph.graph.initializer:
        external_data_helper.set_external_data(tensor, "/etc/passwd")
        tensor.ClearField("raw_data")
    content = torch.load(path, weights_only=True)
    content["onnx"] = torch.frombuffer(bytearray(graph.SerializeToString()), dtype=torch.uint8)
    torch.save(content, path)


def is_a_bomb(path: Path, marker: Path) -> None:
    """Compressed zeros, which are 1,000 times as many once they are read."""
    save_random_model(path, AUDIO)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in entries.items():
            with archive.open(name, "w") as entry:
                entry.write(content)
                if "/data/" in name and name.endswith("/0"):
                    for _ in range(16):
                        entry.write(bytes(2**24))


def is_cut(path: Path, marker: Path) -> None:
    save_random_model(path, AUDIO)
    path.write_bytes(path.read_bytes()[:5000])


def has_an_endless_description(path: Path, marker: Path) -> None:
    save_random_model(path, AUDIO)
    os.truncate(path.with_suffix(".json"), 2**30)


def has_no_description(path: Path, marker: Path) -> None:
    save_random_model(path, AUDIO)
    path.with_suffix(".json").unlink()


def write(path: Path, description: Description, state: dict | None = None) -> None:
    torch.save({"format": FORMAT, "description": description.model_dump(), "state": state or {}}, path)
    write_description(path, description)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pickled, "is not a checkpoint of tensors and plain data"),
        (pickled_by_torch, "is not a checkpoint of tensors and plain data"),
        (claims_an_endless_window, LIMIT),
        (claims_a_huge_tensor, "its tensors are not those of its model"),
        (claims_a_model_elsewhere, "is not a model that can be loaded|must be one of"),
        (holds_onnx_tensors_elsewhere, "its tensors lie in other files"),
        (is_a_bomb, "record size (268435520 bytes) does not match expected size (64 bytes"),
        (is_cut, "is not a model that can be loaded"),
        (has_an_endless_description, "is not a model description"),
        (has_no_description, "a model needs its description beside it"),
    ],
)
def test_a_hostile_checkpoint_is_refused(server, served, tmp_path, make, reason):
    path, marker = served / "models/hostile/model.pt", tmp_path / "ran"
    try:
        make(path, marker)
        response = server.predict(b"RIFF", params={"model_ckpt_path": "hostile/model.pt"})
    finally:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
    assert response.status_code == 422
    (fault,) = response.json()["detail"]
    assert fault["loc"] == ["query", "model_ckpt_path"]
    assert fault["msg"].startswith("hostile/model.pt: ")
    assert any(each in fault["msg"] for each in reason.split("|"))  # which: by what its process has imported
    assert "\n" not in fault["msg"] and str(served) not in fault["msg"] and "/root" not in fault["msg"]
    assert not marker.exists()


async def fault_of(trials: CheckpointTrials, file: Path) -> str:
    try:
        await trials.try_checkpoint(file)
    except EarshotError as error:
        return error.fault
    return ""


def test_a_checkpoint_that_takes_too_much_memory_is_refused(tmp_path):
    """One that does not is taken by the same process, before and after it."""
    fine, giant = tmp_path / "fine.pt", tmp_path / "giant.pt"
    save_random_model(fine, AUDIO)
    claims_a_giant(giant, tmp_path)

    async def work() -> list[str]:
        trials = CheckpointTrials(SETTINGS.infer, memory_mb=256)
        try:
            return [await fault_of(trials, file) for file in (fine, giant, fine)]
        finally:
            await trials.stop()

    before, refused, after = asyncio.run(work())  # memory ends in torch, which says so, or anywhere else
    assert before == after == "" and LIMIT.startswith(refused) and refused


def test_a_model_is_refused_that_cannot_score_as_many_windows_as_the_server_does_at_a_time(tmp_path):
    path = tmp_path / "model.pt"
    save_random_model(path, AUDIO)
    infer = SETTINGS.infer.model_copy(update={"batch_size": 10**6})

    async def work() -> None:
        trials = CheckpointTrials(infer, memory_mb=256)
        try:
            await trials.try_checkpoint(path)
        finally:
            await trials.stop()

    with pytest.raises(EarshotError, match=r"cannot score 1000000 windows at a time .* lower infer\.batch_size"):
        asyncio.run(work())


def test_a_model_whose_scores_are_no_numbers_finds_nothing(server, served):
    path = served / "models/hostile/model.pt"
    model = save_random_model(path, AUDIO)
    model.head.classifier.bias.data.fill_(float("nan"))
    save_checkpoint(path, model, model.description)
    try:
        response = server.predict(
            served / "data/set/recordings/r00.wav", params={"model_ckpt_path": "hostile/model.pt"}
        )
    finally:
        path.unlink()
        path.with_suffix(".json").unlink()
    assert response.status_code == 422
    assert "the model gives scores that are no numbers" in response.text


def test_an_onnx_file_is_no_model_of_the_server(server, served):
    """Its tensors could lie in any file of the machine."""
    path = served / "models/hostile/model.onnx"
    path.write_bytes(b"\x08\x0a:\x10location../../secret")
    try:
        response = server.predict(b"RIFF", params={"model_ckpt_path": "hostile/model.onnx"})
    finally:
        path.unlink()
    assert response.status_code == 404


def test_a_model_that_is_replaced_is_loaded_again(server, served):
    path, sound = served / "models/hostile/other.pt", served / "data/set/recordings/r00.wav"
    found = []
    try:
        for names in ("ab", "xyz"):
            save_random_model(path, AUDIO, names)
            response = server.predict(sound, params={"model_ckpt_path": "hostile/other.pt"})
            found.append(list(response.json()[0]))
    finally:
        path.unlink()
        path.with_suffix(".json").unlink()
    assert found == [["A", "B"], ["X", "Y", "Z"]]


def test_models_that_take_waveforms_are_served(server, served):
    path, sound = served / "models/hostile/waveforms.pt", served / "data/set/recordings/r00.wav"
    save_random_model(path, AUDIO, frontend="mfcc")
    try:
        response = server.post(
            "/model/analyze-file", "hostile/waveforms.pt", files={"audio_files": ("r00.wav", sound.read_bytes())}
        )
        scores, _, starts = Predictor(path, "cpu", SETTINGS).get_recording_scores(sound)
    finally:
        path.unlink()
        path.with_suffix(".json").unlink()
    assert response.json()["starts"] == pytest.approx(starts)
    assert np.array(response.json()["scores"]) == pytest.approx(scores, abs=2e-4)


def test_a_trial_knows_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "a secret")
    path = tmp_path / "model.pt"
    save_random_model(path, AUDIO)

    async def work() -> dict[str, str]:
        trials = CheckpointTrials(SETTINGS.infer)
        try:
            await trials.try_checkpoint(path)
            return psutil.Process(trials._process.pid).environ()
        finally:
            await trials.stop()

    assert asyncio.run(work()).keys() <= HARMLESS


def test_a_trial_that_is_given_up_leaves_no_process(tmp_path):
    """It waits for a file that nobody writes."""
    path = tmp_path / "model.pt"
    save_random_model(path, AUDIO)
    path.unlink()
    os.mkfifo(path)

    async def work() -> list[psutil.Process]:
        trials = CheckpointTrials(SETTINGS.infer)
        trial = asyncio.create_task(trials.try_checkpoint(path))
        try:
            while trials._process is None or not (children := psutil.Process(trials._process.pid).children()):
                assert not trial.done()
                await asyncio.sleep(0.05)
        finally:
            await trials.stop()
            trial.cancel()
            await asyncio.gather(trial, return_exceptions=True)
        return children

    _, alive = psutil.wait_procs(asyncio.run(work()), 10)
    assert not alive
