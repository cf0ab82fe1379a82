import os
import random
import sqlite3
import time
from contextlib import closing

import pytest

from lib.core import digests
from tests.rights import ordinary_user


def test_file_that_was_read_once_is_read_again_only_if_it_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "CACHE", tmp_path / "cache")
    digests._cache.cache_clear()
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    first = digests.digest_known_file(path)
    assert first == digests.digest_file(path)

    status = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digests.digest_known_file(path) == first  # size and time say that it is the same
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert digests.digest_known_file(path) == digests.digest_file(path) != first
    digests._cache.cache_clear()


def test_a_damaged_cache_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "CACHE", tmp_path / "cache")
    (tmp_path / "cache").write_bytes(b"no database" * 100)
    (tmp_path / "a.wav").write_bytes(b"one")
    for _ in range(2):
        digests._cache.cache_clear()
        assert digests.digest_known_file(tmp_path / "a.wav") == digests.digest_file(tmp_path / "a.wav")
    assert (tmp_path / "cache").read_bytes().startswith(b"SQLite format 3")
    digests._cache.cache_clear()


def test_where_nothing_can_be_remembered_files_are_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(digests, "CACHE", tmp_path / "file" / "cache")
    digests._cache.cache_clear()
    assert digests.digest_known_file(tmp_path / "file") == digests.digest_file(tmp_path / "file")
    digests._cache.cache_clear()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of a hundred files, which nobody has open."""
    monkeypatch.setattr(digests, "CACHE", tmp_path / "cache")
    digests._cache.cache_clear()
    for number in range(100):
        (tmp_path / f"{number}.wav").write_bytes(bytes([number]))
        digests.digest_known_file(tmp_path / f"{number}.wav")
    digests._cache.cache_clear()
    yield tmp_path / "cache"
    digests._cache.cache_clear()


def all_known(folder):
    return all(digests.digest_known_file(path) == digests.digest_file(path) for path in sorted(folder.glob("*.wav")))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_damaged_in_a_cache_the_digests_are_right(cache, tmp_path, seed):
    content, rng = bytearray(cache.read_bytes()), random.Random(seed)
    for _ in range(rng.choice((1, 10, 1000))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    cache.write_bytes(content[: rng.randrange(len(content))] if seed % 2 else content)
    assert all_known(tmp_path)


def test_a_digest_that_was_changed_on_the_disk_is_not_used(cache, tmp_path):
    with closing(sqlite3.connect(cache)) as connection, connection:
        changed = "UPDATE Digest SET Digest = replace(replace(Digest, 'a', 'b'), '1', '2')"
        assert connection.execute(changed).rowcount == 100
    assert all_known(tmp_path)


def test_a_locked_cache_costs_one_wait_and_not_one_for_each_file(cache, tmp_path):
    with closing(sqlite3.connect(cache, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        assert all_known(tmp_path)
        assert time.monotonic() - begin < 30


def test_a_cache_that_may_not_be_written_is_used_all_the_same(cache, tmp_path):
    cache.chmod(0o444)
    with ordinary_user(tmp_path):
        tmp_path.chmod(0o555)
        assert all_known(tmp_path)
        tmp_path.chmod(0o755)


def test_rows_that_hold_something_else_are_not_used(cache, tmp_path):
    with closing(sqlite3.connect(cache)) as connection, connection:
        connection.execute("UPDATE Digest SET Digest = ?", (b"\x80\x04cos\nsystem\n(S'touch x'\ntR.",))
    assert all_known(tmp_path)
