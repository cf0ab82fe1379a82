import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.core.errors import EarshotError
from lib.core.locks import sole_writer
from tests.rights import ordinary_user

PROJECT = Path(__file__).parents[2]


def test_a_folder_whose_surroundings_may_not_be_written_to_is_locked_all_the_same(tmp_path):
    folder = tmp_path / "outputs/models"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o555)
    with ordinary_user(folder):
        with sole_writer(folder):
            assert [path.name for path in folder.iterdir()] == [".lock"]
            with pytest.raises(EarshotError, match="another process is writing to it"), sole_writer(folder):
                pass
        assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["a.db", "folder"])
def test_another_process_cannot_write_to_the_same_place(tmp_path, name):
    path = tmp_path / name
    code = f"""
from pathlib import Path
from lib.core.locks import sole_writer
with sole_writer(Path({str(path)!r})):
    print("writing", flush=True)
    input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, **pipes) as other:
        assert other.stdout.readline() == "writing\n"
        with pytest.raises(EarshotError, match="another process is writing to it; wait"), sole_writer(path):
            pass
        other.kill()
    with sole_writer(path):  # the lock ends with its process
        pass


def test_a_writer_may_wait_for_another(tmp_path):
    def append(number: int) -> None:
        with sole_writer(tmp_path / "a.txt", seconds=60):
            path = tmp_path / "a.txt"
            before = path.read_text() if path.exists() else ""
            path.write_text(f"{before}{number}\n")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(100)))
    assert sorted(map(int, (tmp_path / "a.txt").read_text().split())) == list(range(100))
