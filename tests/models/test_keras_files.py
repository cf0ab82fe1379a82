"""Models as Keras saves them, written here without it: zip files of JSON, and HDF5 files that h5py wrote."""

import json
import zlib
from base64 import b64decode

import pytest

from lib.core.errors import EarshotError
from lib.models.weight_files import check_weight_files
from tests.models.test_weight_files import refused, zipped

LAMBDA = zlib.decompress(
    b64decode(
        b"eNrr9HBx4+WS4mLm4GCAgf9QwCAB4RtAxR07O9n9PVyCmBgqmISQFcIAFxMDIwODqBADC6Ycjx0DAzMDL4MISDI3PyU1Jz45Py8t"
        b"M51BEqhHgAGCGcEWcTAwAclXECYYMEKd4L3nqjzDKBgFo2AUjIJRMAooA+7O/j7gylUAtaJ9BaWrlZJzEouL4/MSc1OVrBSUglML"
        b"S1PzSjITc5R0FJQgNThQvFoJpqAYJJ6TWJlaVAzkRqPr98wrKC3xAUmj6S9ITAHJK9XW6iiga/JJzE1KScRhIdghaaV5ySWZ+Xkg"
        b"K5VMyl0dgcAWKJFXmpMDIWORVMWXVBZA9EIMrq2Nra1FDZcPfKNpYxSMglEwCkbBKBgFo2AUjIJRMApGwfABALEbgx0="
    )
)
"""An HDF5 file whose attribute model_config is a Sequential model with a Lambda layer."""
DENSE = zlib.decompress(
    b64decode(
        b"eNrt1s9KwzAcB/BfO8FSHI6hMD2VnIcI3jwIYtEJw4EeRUbYohSzbC4tOEYeoE/gW/gOezJN+gdcPXr0+4H+ye9P09JDkg/i63Z4"
        b"HLaCgGpfFeqV49Mqfpnnu6NBfO/Tu9/9WVgLffKIDru08zu3d0HUojYduORsPhVyPJmr5+SFjmxPh8rDKyYKyLfnTXlb8KpXuPtc"
        b"fRAAAAD8zc3VaFgsrp3thXZTXddsIrnWY8Vngp1H7EG8ZUKlCZesH7FyBbfxNasLtItLvhJLbYePzf5btcjSoUs3+hd86vLMmH7U"
        b"bIqF0sLV231DJovQq1hyfVLNs/2kTCWpm/vMmCdjGt/b28c/BwAAAAAAgP/nGzTQda8="
    )
)
"""The same with a Dense layer."""


def config(**layer) -> str:
    layers = [{"module": "keras.layers", "class_name": "InputLayer", "config": {}}, layer]
    wrapper = {"class_name": "TimeDistributed", "config": {"layer": {"class_name": "Sequential", "config": layers}}}
    return json.dumps({"module": "keras", "class_name": "Functional", "config": {"layers": [wrapper]}})


SAFE = config(module="keras.layers", class_name="Dense", config={"units": 3})
UNSAFE = {
    config(module="keras.layers", class_name="Lambda", config={}): r"holds code \(a Lambda layer of Keras\)",
    config(class_name="__lambda__", config={"value": "4wEAAAA="}): "holds code",
    config(class_name="x").replace('"x"', '"\\u004cambda"'): "holds code",
    config(module="os", class_name="function", config="system"): r"names code of its own \(os\)",
    config(module="kerasx", class_name="Dense"): r"names code of its own \(kerasx\)",
}


@pytest.mark.parametrize("text", UNSAFE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_keras_file_with_code_is_refused(tmp_path, text, encoding):
    for name in ("m.keras", "weights"):
        zipped(tmp_path / name, {"config.json": text.encode(encoding), "model.weights.h5": DENSE})
        refused(tmp_path, f"{name}:config.json: {UNSAFE[text]}")
        (tmp_path / name).unlink()


@pytest.mark.parametrize("text", UNSAFE)
@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m.keras", "weights"])
@pytest.mark.parametrize("place", [0, 512, 2048])
def test_an_hdf5_file_with_code_is_refused_whatever_it_is_called_and_wherever_it_begins(tmp_path, name, place, text):
    (tmp_path / name).write_bytes(bytes(place) + DENSE[:8] + bytes(1000) + text.encode() + bytes(1000))
    refused(tmp_path, f"{name}: {UNSAFE[text]}")


def test_an_hdf5_file_that_h5py_wrote_is_refused_for_its_lambda_layer_alone(tmp_path):
    (tmp_path / "m.h5").write_bytes(LAMBDA)
    refused(tmp_path, "m.h5: holds code")
    (tmp_path / "m.h5").write_bytes(DENSE)
    check_weight_files(tmp_path)


def test_models_of_keras_without_code_and_other_json_are_taken(tmp_path):
    zipped(tmp_path / "m.keras", {"config.json": SAFE, "metadata.json": "{}", "model.weights.h5": DENSE})
    transformers = {"model_type": "wav2vec2", "module": "any", "label": {"name": "Lambda"}}
    (tmp_path / "config.json").write_text(json.dumps(transformers))
    (tmp_path / "notes.json").write_text(next(iter(UNSAFE)))
    check_weight_files(tmp_path)
    (tmp_path / "config.json").write_text("{")
    check_weight_files(tmp_path)


def test_a_configuration_that_goes_too_deep_or_on_for_ever_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"a":' * 100_000)
    check_weight_files(tmp_path)  # which no reader of JSON takes
    monkeypatch.setattr("lib.models.keras_files.LARGEST_CONFIG", 10)
    with pytest.raises(EarshotError, match="has too large a description of its model"):
        check_weight_files(tmp_path)
