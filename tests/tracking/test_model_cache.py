import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.tracking.registry import model_cache
from lib.tracking.registry.model_cache import copy_lock, remove_unused_copies, use_copy

PROJECT = Path(__file__).parents[2]
HOUR = 3600
USE = """
import sys
from pathlib import Path
from lib.tracking.registry.model_cache import copy_lock, use_copy
with copy_lock(Path(sys.argv[1])):
    use_copy(Path(sys.argv[1]))
print("used", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A folder for copies of 10,000 bytes, of which there is room for two."""
    monkeypatch.setattr(model_cache, "LARGEST", 20_000)
    return tmp_path / "models"


def add_copy(cache: Path, name: str, hours: float, unpacked_bytes: int = 0) -> Path:
    """A copy that an ended process used some hours ago."""
    folder = cache / name
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/m.pt").write_bytes(bytes(10_000))
    if unpacked_bytes:
        (cache / f"{name}-unpacked").mkdir()
        (cache / f"{name}-unpacked/m.pt").write_bytes(bytes(unpacked_bytes))
        (cache / f".{name}-unpacked.json").write_text("{}")
    subprocess.run([sys.executable, "-c", USE, str(folder)], cwd=PROJECT, stdin=subprocess.DEVNULL, check=True)
    was_used(folder, hours)
    return folder


def was_used(folder: Path, hours: float) -> None:
    moment = time.time() - hours * HOUR
    os.utime(folder.with_name(f".{folder.name}.use.lock"), (moment, moment))


def left_in(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_the_least_recently_used_copies_are_removed_with_all_their_files(cache):
    for name, hours in (("a", 50), ("b", 200), ("c", 100), ("d", 60)):
        add_copy(cache, name, hours, unpacked_bytes=100 if name == "b" else 0)
    remove_unused_copies(cache)
    assert left_in(cache) == {"a", "d", ".a.lock", ".d.lock", ".a.use.lock", ".d.use.lock"}


def test_unpacked_files_count(cache):
    add_copy(cache, "a", 50, unpacked_bytes=1)
    add_copy(cache, "b", 100)
    remove_unused_copies(cache)
    assert {"a", "a-unpacked"} <= left_in(cache) and "b" not in left_in(cache)


def test_copies_that_fit_or_were_used_within_a_day_stay(cache):
    for name, hours in (("a", 100), ("b", 200)):
        add_copy(cache, name, hours)
    remove_unused_copies(cache)
    assert {"a", "b"} <= left_in(cache)
    for name in ("c", "d", "e"):
        add_copy(cache, name, hours=23)
    remove_unused_copies(cache)
    assert {name for name in left_in(cache) if not name.startswith(".")} == {"c", "d", "e"}


def test_the_age_of_a_copy_of_an_earlier_version_is_that_of_its_folder(cache):
    for name in ("a", "b", "c"):
        (cache / name).mkdir(parents=True)
        (cache / name / "m.pt").write_bytes(bytes(10_000))
    os.utime(cache / "b", (0, 0))
    remove_unused_copies(cache)
    assert "b" not in left_in(cache) and {"a", "c"} <= left_in(cache)


def test_a_copy_in_use_stays_until_the_process_exits(cache, monkeypatch):
    monkeypatch.setattr(model_cache, "LARGEST", 0)
    theirs, mine = add_copy(cache, "a", 100), add_copy(cache, "b", 200)
    options = {"cwd": PROJECT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", USE, str(theirs)], **options) as process:
        assert process.stdout.readline() == "used\n"
        for _ in range(2):  # the first use goes on when there is another
            with copy_lock(mine):
                use_copy(mine)
        for folder in (theirs, mine):
            was_used(folder, 100)
        remove_unused_copies(cache)
        assert {"a", "b"} <= left_in(cache)
        process.kill()
    remove_unused_copies(cache)
    assert "a" not in left_in(cache) and "b" in left_in(cache)


def test_a_locked_copy_stays(cache, monkeypatch):
    monkeypatch.setattr(model_cache, "LARGEST", 0)
    folder = add_copy(cache, "a", 100)
    with copy_lock(folder):
        remove_unused_copies(cache)
        assert "a" in left_in(cache)
    remove_unused_copies(cache)
    assert left_in(cache) == set()
