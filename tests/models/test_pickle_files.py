import pickle
import random
import struct
from pathlib import Path

import joblib
import numpy as np
import pytest

from lib.models import pickle_files
from lib.models.pickle_files import is_pickle

PROJECT = Path(__file__).parents[2]
CALL = b"cos\nsystem\n(S'true'\ntR"
"""Instructions of a pickle of protocol 0 that run a command."""
PADDING = {
    "text": b"V" + b"x" * 3_000_000 + b"\n0",
    "a quoted text": b"S'" + b"x" * 3_000_000 + b"'\n0",
    "a number": b"L" + b"1" * 3_000_000 + b"L\n0",
    "bytes": b"B" + struct.pack("<I", 3_000_000) + bytes(3_000_000) + b"0",
    "many bytes": b"\x8e" + struct.pack("<Q", 3_000_000) + bytes(3_000_000) + b"0",
    "nothing, often": b"N0" * 50_000,
    "lists": b"(l0" * 25_000,
    "another pickle": pickle.dumps(list(range(20_000)), 0),
}


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("end", [b".", b"", b"\xff", b"X\xff\xff"], ids=["whole", "cut off", "damaged", "too short"])
def test_a_pickle_is_found_however_much_stands_before_its_call_and_whatever_follows(tmp_path, padding, end):
    (tmp_path / "a").write_bytes(PADDING[padding] + CALL + end)
    assert is_pickle(tmp_path / "a")


@pytest.mark.parametrize(
    "content",
    [
        b"(ios\nabort\n",
        b"(cos\nabort\no",
        b"cos\nabort\n)\x81",
        b"Vos\nVabort\n\x93)R",
        b"\x80\0" + CALL,
        b"\x80\1" + CALL,
        b"(t0" + CALL,
        b"N(0" + CALL,
        b"cos\nabort\np1\n0g1\n)R",
        b"cposix\nenviron\n.",
        b"cposix\nabort\ncsys\nflags\nR",
        b"S'\xe9'\n0" + CALL,
        b"I0x1f\n0" + CALL,
    ],
)
def test_every_way_to_call_something_is_found(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert is_pickle(tmp_path / "a")


def test_pickles_that_libraries_write_are_found(tmp_path):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "a").write_bytes(pickle.dumps({"path": PROJECT}, protocol))
        assert is_pickle(tmp_path / "a")
    joblib.dump({"weights": np.ones(3)}, tmp_path / "a")
    assert is_pickle(tmp_path / "a")


def test_what_no_file_of_another_kind_is_like_counts_as_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_files, "MOST_OPCODES", 1000)
    (tmp_path / "a").write_bytes(b"N" * 1001)
    assert is_pickle(tmp_path / "a")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"cow\nowl\ncat\nbat\nRobin\nbird\n",
        b"cat\ndog\n.",
        b"cat\ndog\nbird.\n",
        b"(in Kenya\nand Tanzania)\n",
        b"(inland\nand coastal waters\n",
        b"I am a frog.\nR",
        b"name,code\nCommon frog,frog\n",
        b'{"c": [1, 2]}',
        b"N.",
        b"GGUF\3\0\0\0" + bytes(100),
        b"\x1c\0\0\0TFL3" + bytes(100),
        b"V" + b"x" * 3_000_000,
        bytes(10_000),
    ],
)
def test_text_and_tables_and_other_formats_are_none(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert not is_pickle(tmp_path / "a")


def test_no_text_of_this_project_and_no_tensors_are_taken_for_a_pickle(tmp_path):
    folders = [PROJECT, *(PROJECT / name for name in ("lib", "stages", "tests"))]
    files = [path for folder in folders for path in folder.glob("*.*" if folder == PROJECT else "**/*.*")]
    files = [path for path in files if path.suffix in (".py", ".md", ".yaml", ".toml", ".lock")]
    assert len(files) > 100 and not [path for path in files if is_pickle(path)]
    generator = random.Random(0)
    for i in range(300):
        kind = (np.float32, np.int8, np.uint8, np.float16)[i % 4]
        (tmp_path / "a").write_bytes(
            np.array([generator.gauss(0, 20) % 100 for _ in range(300)]).astype(kind).tobytes()
        )
        assert not is_pickle(tmp_path / "a")
