import bz2
import gzip
import lzma
import zlib

import joblib
import pyarrow
import pytest

from lib.core.compressed_files import compression_of, decompress_file
from lib.core.errors import EarshotError
from lib.core.unpacking_budget import Limits, UnpackingBudget

CONTENT = bytes(range(256)) * 2000
COMPRESSED = {
    "gzip": gzip.compress(CONTENT),
    "bz2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "lzma": lzma.compress(CONTENT, lzma.FORMAT_ALONE),
    "zlib": zlib.compress(CONTENT),
    "zstd": pyarrow.Codec("zstd").compress(CONTENT, asbytes=True),
    "lz4": pyarrow.Codec("lz4").compress(CONTENT, asbytes=True),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_each_format_is_decompressed(tmp_path, kind):
    (tmp_path / "a").write_bytes(COMPRESSED[kind])
    assert compression_of(tmp_path / "a") == kind
    decompress_file(tmp_path / "a", tmp_path / "out", UnpackingBudget.of(tmp_path / "a"))
    assert (tmp_path / "out").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_bomb_or_a_damaged_file_is_refused_and_leaves_nothing(tmp_path, kind):
    (tmp_path / "a").write_bytes(COMPRESSED[kind])
    budget = UnpackingBudget(1000, Limits(ratio=2, free_bytes=100_000))
    with pytest.raises(EarshotError, match="unpacks to more than 2 times its size"):
        decompress_file(tmp_path / "a", tmp_path / "out", budget)
    (tmp_path / "a").write_bytes(COMPRESSED[kind][:-10])
    with pytest.raises(EarshotError, match="a: cannot be unpacked") as raised:
        decompress_file(tmp_path / "a", tmp_path / "out", UnpackingBudget.of(tmp_path / "a"))
    assert "\n" not in str(raised.value) and [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"x\x9cylophone", b"]\0 frogs and toads", b"wren\n", CONTENT])
def test_other_files_are_not_taken_for_compressed_ones(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert compression_of(tmp_path / "a") is None


@pytest.mark.parametrize("name", ["m.z", "m.gz", "m.bz2", "m.xz", "m.lzma"])
def test_all_formats_of_joblib_are_recognized(tmp_path, name):
    joblib.dump(CONTENT, tmp_path / name)
    assert compression_of(tmp_path / name) is not None
