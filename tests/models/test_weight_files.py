import bz2
import collections
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import time
import zipfile
import zlib
from random import Random

import numpy as np
import onnx
import pyarrow
import pytest
import torch
from onnx.external_data_helper import convert_model_to_external_data
from safetensors.torch import save_file

from lib.core.errors import EarshotError
from lib.models.weight_files import check_weight_files
from tests.core.test_archives import many_in_a_zip
from tests.models.builders import save_random_model
from tests.models.onnx_models import spectrogram_model
from tests.training_data.builders import AUDIO


class Hostile:
    """What runs code where it is unpickled."""

    def __reduce__(self):
        return print, ("code was run",)


def refused(folder, match):
    before = sorted(folder.rglob("*"))
    with pytest.raises(EarshotError, match=match) as raised:
        check_weight_files(folder)
    assert "\n" not in str(raised.value)
    assert sorted(folder.rglob("*")) == before


def zipped(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as content:
        for name, data in files.items():
            content.writestr(name, data)
    return path.read_bytes()


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


STATE = {"layer.weight": torch.ones(3, 4), "layer.bias": torch.zeros(3)}


def test_files_of_tensors_and_plain_data_are_taken(tmp_path):
    save_random_model(tmp_path / "model.pt", AUDIO)
    (tmp_path / "state.pth").write_bytes(saved(collections.OrderedDict(STATE)))
    (tmp_path / "old.bin").write_bytes(saved(STATE, _use_new_zipfile_serialization=False))
    save_file(STATE, tmp_path / "deep.safetensors")
    spectrogram_model(tmp_path / "frogs.onnx", AUDIO)
    np.save(tmp_path / "means.npy", np.ones(4))
    np.savez(tmp_path / "both.npz", a=np.ones(4), b=np.zeros(2))
    (tmp_path / "classes.txt").write_text("cat\ndog\nbird.\n")
    (tmp_path / "config.json").write_text("{}")
    zipped(tmp_path / "more.zip", {"state.pt": saved(STATE), "read me": b"frogs"})
    check_weight_files(tmp_path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.pkl", "weights.bin", "weights", "model.h5", "model.pt"])
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path, capsys, name, protocol):
    (tmp_path / name).write_bytes(pickle.dumps(Hostile(), protocol))
    refused(tmp_path, f"{name}: holds a pickle|{name}: holds no tensors that can be read")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_new", [True, False])
def test_a_checkpoint_with_more_than_tensors_is_refused(tmp_path, capsys, is_new):
    content = saved({"state": STATE, "hook": Hostile()}, _use_new_zipfile_serialization=is_new)
    (tmp_path / "model.pt").write_bytes(content)
    refused(tmp_path, "model.pt: holds a pickle")
    (tmp_path / "model.pt").write_bytes(saved(torch.nn.Linear(2, 2), _use_new_zipfile_serialization=is_new))
    refused(tmp_path, "model.pt: holds a pickle")
    assert capsys.readouterr().out == ""


def test_a_pickle_is_found_inside_of_archives(tmp_path, capsys):
    hostile = pickle.dumps(Hostile())
    inner = zipped(tmp_path / "inner", {"deep/model.pt": saved({"hook": Hostile()})})
    (tmp_path / "inner").unlink()
    for name, files, fault in (
        ("a.zip", {"weights.bin": hostile}, "a.zip:weights.bin: holds a pickle"),
        ("weights", {"inner.zip": inner}, "weights:inner.zip:deep/model.pt: holds a pickle"),
        ("a.keras", {"x.joblib": b"any"}, "a.keras:x.joblib: holds a pickle"),
        ("a.npz", {"x.npy": b"no array"}, "a.npz:x.npy: holds no array that can be read"),
    ):
        zipped(tmp_path / name, files)
        refused(tmp_path, fault)
        (tmp_path / name).unlink()
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as content:
        entry = tarfile.TarInfo("model.pkl")
        entry.size = len(hostile)
        content.addfile(entry, io.BytesIO(hostile))
    refused(tmp_path, "a.tar.gz:model.pkl: holds a pickle")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["weights.xyz", "weights", "notes.txt", "model.tflite"])
def test_a_pickle_is_refused_though_much_stands_before_its_call_or_its_end_is_missing(tmp_path, name):
    for content in (b"V" + b"x" * 2**21 + b"\n0" + pickle.dumps(Hostile(), 0), pickle.dumps(Hostile(), 0)[:-1]):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path, f"{name}: holds a pickle|{name}: holds no tensors that can be read")


def codec(name):
    return lambda content: pyarrow.Codec(name).compress(content, asbytes=True)


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("m.pkl.gz", gzip.compress),
        ("m.joblib.bz2", bz2.compress),
        ("m.pickle.xz", lzma.compress),
        ("m.pkl.zst", codec("zstd")),
        ("m.pkl.lz4", codec("lz4")),
        ("m.z", zlib.compress),
        ("weights", gzip.compress),
        ("weights.dat", codec("zstd")),
    ],
)
def test_a_compressed_pickle_is_refused_and_a_compressed_table_taken(tmp_path, capsys, name, compress):
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(b"name,code\nfrog,f\n" * 1000))
    check_weight_files(tmp_path)
    for content in (pickle.dumps(Hostile()), pickle.dumps(Hostile(), 0)):
        (tmp_path / name).write_bytes(compress(content))
        refused(tmp_path, f"{name}:.*: holds a pickle")
        (tmp_path / name).write_bytes(gzip.compress(compress(content)))
        refused(tmp_path, f"{name}:.*: holds a pickle")
    assert capsys.readouterr().out == ""


def test_a_tar_file_is_looked_into_whatever_it_is_called(tmp_path):
    entry, hostile = tarfile.TarInfo("weights"), pickle.dumps(Hostile(), 0)
    entry.size = len(hostile)
    for name in ("weights", "weights.gz"):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith(".gz") else "w") as content:
            content.addfile(entry, io.BytesIO(hostile))
        refused(tmp_path, "weights: holds a pickle")
        (tmp_path / name).unlink()


def test_a_pickle_with_an_archive_behind_it_is_refused(tmp_path, capsys):
    content = saved({"hook": Hostile()}, _use_new_zipfile_serialization=False)
    (tmp_path / "model.pt").write_bytes(content + zipped(tmp_path / "z", {"read me": b"harmless"}))
    (tmp_path / "z").unlink()
    refused(tmp_path, "model.pt: holds")
    assert capsys.readouterr().out == ""


def test_archives_are_not_opened_for_ever(tmp_path):
    content = b"frogs"
    for _ in range(6):
        content = zipped(tmp_path / "a.zip", {"a.zip": content, "x": b"1"})
    refused(tmp_path, "is an archive inside of 3 others")


def test_a_bomb_of_archives_inside_of_archives_is_refused(tmp_path):
    zeros = zipped(tmp_path / "a", {"zeros": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    middle = zipped(tmp_path / "a", {f"{i}.zip": zeros for i in range(100)}, zipfile.ZIP_DEFLATED)
    zipped(tmp_path / "a", {f"{i}.zip": middle for i in range(100)}, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a").stat().st_size < 300_000  # of 10 GB
    refused(tmp_path, r"a:\d+.zip:\d+.zip: unpacks, with the archives unpacked before it, to more than 100 times their")


def test_code_beside_tensors_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "model.pt")
    refused(tmp_path, r"model.pt: holds code \(TorchScript\)")


def test_arrays_of_objects_are_refused(tmp_path):
    objects = np.array([Hostile()], dtype=object)
    np.save(tmp_path / "a.npy", objects)
    refused(tmp_path, "a.npy: holds a pickle")
    (tmp_path / "a.npy").unlink()
    np.savez(tmp_path / "a.npz", plain=np.ones(2), objects=objects)
    refused(tmp_path, "a.npz:objects.npy: holds a pickle")


def safetensors(path, header, data=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_safetensors_with_too_many_tensors_are_refused(tmp_path):
    one = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    safetensors(tmp_path / "m.safetensors", {f"t{i}": one for i in range(100_000)})
    refused(tmp_path, "holds 100,000 tensors, more than 20,000")


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [
        ([2**62, 8], [0, 8]),
        ([2**63], [0, 8]),
        ([2**64], [0, 8]),
        ([-1], [0, 8]),
        ([2], [0, 2**63]),
        ([3], [0, 8]),
        ([2], [4, 12]),
    ],
)
def test_safetensors_whose_shapes_do_not_fit_are_refused(tmp_path, shape, offsets):
    one = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    safetensors(tmp_path / "m.safetensors", {"t": one}, bytes(8))
    refused(tmp_path, "m.safetensors: holds tensors that do not fit")


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\xff" * 100, struct.pack("<Q", 5) + b"[[[[[", struct.pack("<Q", 2) + b"[]"]
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    refused(tmp_path, "m.safetensors: (is not a safetensors file|holds tensors that do not fit)")


def external(path, location):
    spectrogram_model(path, AUDIO)
    model = onnx.load(path)
    convert_model_to_external_data(model, location="tensors", size_threshold=0)
    onnx.save(model, path)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())


def test_onnx_may_have_its_tensors_beside_it_and_nowhere_else(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    external(folder / "m.onnx", "tensors")
    check_weight_files(folder)
    (folder / "tensors").rename(tmp_path / "tensors")
    refused(folder, "m.onnx: lacks its tensors")
    for location in ("../tensors", str(tmp_path / "tensors"), "/etc/passwd"):
        (folder / "tensors").unlink(missing_ok=True)
        external(folder / "m.onnx", location)
        refused(folder, "m.onnx: has tensors outside of its folder")
    (folder / "m.onnx").write_bytes(b"no model")
    refused(folder, "m.onnx: is not an ONNX file")


@pytest.mark.parametrize(
    ("flavors", "fault"),
    [
        ({"python_function": {"loader_module": "evil"}}, r"names a loader of its own \(evil\)"),
        ({"python_function": {"loader_module": "mlflow.sklearn"}}, "names a loader of its own"),
        ({"python_function": {"loader_module": ["os"]}}, r"names a loader of its own \(\['os'\]\)"),
        ({"python_function": {"loader_module": "mlflow.onnx", "code": "code"}}, "names code of its own"),
        ({"python_function": {"model_code_path": "evil.py"}}, "names code of its own"),
        ({"sklearn": {"pickled_model": "model"}}, "names code of its own"),
        ([], "is not an MLmodel file"),
    ],
)
def test_an_mlmodel_that_names_its_own_loader_or_code_is_refused(tmp_path, flavors, fault):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/MLmodel").write_text(json.dumps({"flavors": flavors}))
    refused(tmp_path, f"deep/MLmodel: {fault}")


@pytest.mark.parametrize("content", ["", "[", "a: *b", "[" * 10_000, "x" * 2**21, "a: 2024-13-01"])
def test_what_is_no_mlmodel_is_refused(tmp_path, content):
    (tmp_path / "MLmodel").write_text(content)
    refused(tmp_path, "MLmodel: is not an MLmodel file")


def test_an_mlmodel_that_loads_tensors_and_plain_data_is_taken(tmp_path):
    flavors = {
        "python_function": {"loader_module": "mlflow.onnx", "data": "model.onnx"},
        "onnx": {"data": "model.onnx"},
    }
    (tmp_path / "MLmodel").write_text(json.dumps({"flavors": flavors}))
    check_weight_files(tmp_path)


def test_a_model_of_no_files_is_refused(tmp_path):
    refused(tmp_path, "holds no file")


def test_a_checkpoint_of_a_million_entries_is_refused_at_once(tmp_path):
    many_in_a_zip(tmp_path / "model.pt", 1_000_000)
    begin = time.monotonic()
    refused(tmp_path, "model.pt: holds too many entries")
    assert time.monotonic() - begin < 30


def test_damaged_files_are_taken_or_refused_in_one_line(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole/m.pt").write_bytes(saved(STATE))
    (tmp_path / "whole/o.pt").write_bytes(saved(STATE, _use_new_zipfile_serialization=False))
    save_file(STATE, tmp_path / "whole/m.safetensors")
    spectrogram_model(tmp_path / "whole/m.onnx", AUDIO)
    np.save(tmp_path / "whole/m.npy", np.ones(4))
    zipped(tmp_path / "whole/a.zip", {"a": b"1", "b/m.npy": b"2"})
    files, random, n_refused = sorted((tmp_path / "whole").iterdir()), Random(1), 0
    for i in range(300):
        file = files[i % len(files)]
        content = bytearray(file.read_bytes())
        for _ in range(random.choice([1, 2, 10])):
            place = random.randrange(len(content))
            content[place : place + random.choice([0, 1, 30])] = random.randbytes(random.choice([0, 1, 4]))
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / file.name).write_bytes(content)
        try:
            check_weight_files(folder)
        except EarshotError as error:
            assert "\n" not in str(error)
            n_refused += 1
    assert n_refused > 100
