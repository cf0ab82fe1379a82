"""No line that a client sees tells where files of this machine are."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import EarshotError
from lib.server.public_text import LONGEST_LINE, public_line, shown_name

FOLDER = Path("/srv/my sounds/data")


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (f"{FOLDER}/a b.wav: cannot be read", "set: a b.wav: cannot be read"),
        (f"sets.csv lists {FOLDER}", "set: sets.csv lists data"),
        (
            "its description is not that of /opt/models/deep/model.json",
            "set: its description is not that of model.json",
        ),
        ("no file 'C:\\Users\\me\\model.pt'", "set: no file 'model.pt'"),
        ("12 kHz/s and a/b stay", "set: 12 kHz/s and a/b stay"),
        ("two\nlines", "set: two lines"),
    ],
)
def test_paths_are_cut_to_what_the_client_knows(fault, line):
    assert public_line(EarshotError("/srv/my sounds/data/set", fault), "set", [FOLDER]) == line


@given(st.text(max_size=300), st.sampled_from([str(FOLDER), f"{FOLDER}/x.wav", "/etc/passwd", "/usr/lib/python3/x.py"]))
def test_a_line_is_short_and_tells_no_folder(text, path):
    line = public_line(EarshotError("", f"{text} {path} {text}"), text, [FOLDER])
    assert len(line) <= LONGEST_LINE
    assert not set(line) & set("\n\r\0")
    if "/" not in text:
        assert "my sounds/" not in line and "/etc" not in line and "/usr" not in line


@given(st.text())
def test_a_name_of_a_client_is_one_line_of_text(name):
    shown = shown_name(name)
    assert len(shown.encode()) <= 4 * 123
    assert not set(shown) & set("\n\r\0\x1b\u2028")
