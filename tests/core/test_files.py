import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.core.digests import digest_file, digest_of
from lib.core.files import LONGEST_HEADER, atomic, header_line, printable, write_json, write_text


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "deep/er/a.txt"
    with atomic(path) as part:
        part.write_text("half")
        assert not path.exists()
        part.write_text("whole")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_what_stood_there_stays_if_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as part:
        part.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file/below"):
        write_text(tmp_path / "file/below/a.txt", "x")


def test_processes_and_threads_that_write_one_file_do_so_one_after_the_other(tmp_path):
    texts = [str(number) * 100_000 for number in range(8)]

    def write_slowly(text: str) -> None:
        with atomic(tmp_path / "a.txt") as part, part.open("w") as file:
            for k in range(0, len(text), 10_000):
                file.write(text[k : k + 10_000])
                file.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_slowly, texts))
    assert (tmp_path / "a.txt").read_text() in texts and len(list(tmp_path.iterdir())) == 1


def test_a_name_of_any_allowed_length_can_be_written(tmp_path):
    for length in range(248, 256):
        write_text(tmp_path / (length * "x"), "x")
    assert len(list(tmp_path.iterdir())) == 8


def test_an_error_of_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"a\.txt") as error, atomic(tmp_path / "a.txt"), open("/dev/full", "w") as full:
        full.write("x")
        full.flush()
    assert error.value.errno == errno.ENOSPC


def test_json_is_written_for_people_and_read_back(tmp_path):
    content = {"name": "Bruant à gorge", "n": [1, 2.5, None]}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content and "à" in text and text.endswith("}\n")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", ""),
        ("\ufeffname,Stra\u00dfe\r\nx,y\r\n".encode(), "name,Stra\u00dfe"),
        (b"a\xff,b", "a\ufffd,b"),
        (bytes(LONGEST_HEADER + 9), "\0" * LONGEST_HEADER),
    ],
)
def test_the_header_of_a_file_is_its_first_line(tmp_path, content, line):
    (tmp_path / "a.csv").write_bytes(content)
    assert header_line(tmp_path / "a.csv") == line


def test_a_pipe_has_no_header(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        header_line(tmp_path / "pipe")


def test_a_digest_tells_whether_bytes_are_the_same(tmp_path):
    digests = []
    for content in (b"", b"a", b"a", b"b" * 3_000_000):
        (tmp_path / "a").write_bytes(content)
        digests.append(digest_file(tmp_path / "a"))
    assert digests[1] == digests[2] and len(set(digests)) == 3 and {len(digest) for digest in digests} == {32}


def test_a_digest_of_content_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    different = [{"a": 1}, {"a": 2}, {"a": "1"}, {"a": None}, ["a", 1], os.fsdecode(b"\xe9"), "é"]
    assert len({digest_of(content) for content in different}) == len(different)


@pytest.mark.parametrize(
    ("name", "shown"), [(b"a.wav", "a.wav"), ("é.wav".encode(), "é.wav"), (b"caf\xe9.wav", r"caf\xe9.wav")]
)
def test_a_file_name_is_shown_as_valid_text(name, shown):
    assert printable(os.fsdecode(name)) == shown
    assert printable(os.fsdecode(name)).encode("utf-8")
