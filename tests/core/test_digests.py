import os

from lib.core import digests


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
