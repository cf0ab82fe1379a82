import json
import os
import pickle
import random

import pytest
import torch

from lib.core.errors import EarshotError
from lib.models.checkpoints import FORMAT, load_checkpoint, save_checkpoint, set_calibration
from lib.models.description import Calibration
from tests.models.builders import describe, random_model, save_random_model
from tests.training_data.builders import AUDIO

SPECTROGRAMS = torch.rand(5, AUDIO.spec_height, AUDIO.spec_width, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models/model.pt"


@pytest.fixture
def model(path):
    return save_random_model(path, AUDIO)


def assert_refused(path, match):
    with pytest.raises(EarshotError, match=match) as caught:
        load_checkpoint(path)
    assert str(path.with_suffix("")) in str(caught.value)
    assert "\n" not in str(caught.value)


def assert_loads_as(model, path):
    loaded, description = load_checkpoint(path)
    assert description == describe(AUDIO)
    assert not loaded.training
    with torch.inference_mode():
        assert torch.equal(loaded(SPECTROGRAMS), model(SPECTROGRAMS))


def test_loaded_model_scores_like_the_saved_one(path, model):
    assert_loads_as(model, path)


def test_checkpoint_holds_tensors_and_plain_data_only(path, model):
    content = torch.load(path, weights_only=True)
    assert content["format"] == FORMAT
    assert content["description"]["audio"]["sampling_rate"] == AUDIO.sampling_rate
    assert json.loads(path.with_suffix(".json").read_text()) == content["description"]


def test_same_model_is_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        save_random_model(tmp_path / folder / "model.pt", AUDIO)
    assert (tmp_path / "a/model.pt").read_bytes() == (tmp_path / "b/model.pt").read_bytes()


def test_checkpoint_from_before_there_were_several_heads_is_loaded(path, model):
    content = torch.load(path, weights_only=True)
    content["state"] = {name.removeprefix("head."): tensor for name, tensor in content["state"].items()}
    for key in ("head", "sed_fps", "calibration"):
        del content["description"][key]
    torch.save(content, path)
    path.with_suffix(".json").write_text(json.dumps(content["description"]))
    assert_loads_as(model, path)


def test_an_interrupted_calibration_is_named_and_the_next_one_mends_it(path, model):
    before = path.with_suffix(".json").read_bytes()
    calibration = Calibration(coefficient=1.5, intercept=-0.2, thresholds={"a": 0.4})
    set_calibration(path, calibration)
    path.with_suffix(".json").write_bytes(before)  # killed between the two files
    assert_refused(path, r"storing it was interrupted; run the calibrate stage again with --model")
    set_calibration(path, calibration)
    assert load_checkpoint(path)[1].calibration == calibration


def test_calibration_is_stored_with_the_model_and_changes_nothing_else(path, model):
    calibration = Calibration(coefficient=1.5, intercept=-0.2, thresholds={"a": 0.4, "c": 0.9})
    set_calibration(path, calibration)
    loaded, description = load_checkpoint(path)
    assert description == describe(AUDIO, calibration=calibration)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    set_calibration(path, None)
    assert load_checkpoint(path)[1] == describe(AUDIO)


@pytest.mark.parametrize("changes", [{"head": "sed"}, {"sed_fps": 8.0}, {"head": "none"}])
def test_head_without_its_frame_rate_is_no_description(changes):
    with pytest.raises(ValueError, match="head"):
        describe(AUDIO, **changes)


def test_missing_model_is_named(path):
    assert_refused(path, "no such model; run the train stage first")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_checkpoint_is_named_in_one_line(path, model, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(path, "model")


def test_file_that_is_no_checkpoint_is_named_in_one_line(path, model):
    rng = random.Random(1)
    for _ in range(60):
        path.write_bytes(rng.choice([b"", b"PK\3\4", b"\x80\x02"]) + rng.randbytes(rng.randrange(1, 200)))
        assert_refused(path, "train")


class Intruder:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_in_a_checkpoint_is_not_run(path, model, tmp_path, write):
    description = describe(AUDIO).model_dump()
    write({"format": FORMAT, "description": description, "state": Intruder(f"touch {tmp_path}/intruded")}, path)
    assert_refused(path, "train")
    assert not (tmp_path / "intruded").exists()


def other_contents():
    description = describe(AUDIO).model_dump()
    state = random_model(describe(AUDIO)).state_dict()
    content = {"format": FORMAT, "description": description, "state": state}
    yield content | {"format": "earshot-0"}
    yield state
    yield [1, 2]
    yield {"format": FORMAT}
    yield content | {"description": description | {"extra": 1}}
    yield content | {"description": 3}
    yield content | {"state": {}}
    yield content | {"state": {1: 2}}
    yield content | {"state": None}
    yield content | {"state": random_model(describe(AUDIO, "abcd")).state_dict()}


@pytest.mark.parametrize("content", list(other_contents()))
def test_checkpoint_of_another_format_is_named_in_one_line(path, model, content):
    torch.save(content, path)
    assert_refused(path, "train")


def test_tensors_that_do_not_fit_are_named(path, model):
    content = torch.load(path, weights_only=True)
    del content["state"]["head.classifier.bias"]
    torch.save(content, path)
    assert_refused(path, r"Error\(s\) in loading state_dict .*: Missing key\(s\) .*head\.classifier\.bias")


def test_description_beside_the_model_must_be_its_own(path, model):
    beside = path.with_suffix(".json")
    save_checkpoint(path.with_name("other.pt"), model, describe(AUDIO, dropout=0.3))
    path.with_name("other.json").replace(beside)
    assert_refused(path, "description is not that of")
    for text in ("{}", "no JSON", "\udcff"):
        beside.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert_refused(path, "not a model description")
    beside.unlink()
    assert_refused(path, "no such file")
