import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from lib.console import progress, quiet, show_problems
from lib.errors import Problem

PROJECT = Path(__file__).parents[1]
STAGES = sorted(path.stem for path in (PROJECT / "stages").glob("[a-z]*.py"))

STAGE = """
import os, sys
from lib.console import run_stage
from lib.errors import EarshotError, Problem

def stage(what: str = "", **overrides):
    \"\"\"Try it.\"\"\"
    if what == "error": raise EarshotError("a.wav: is bad; mend it")
    if what == "errors": raise EarshotError("one\\ntwo")
    if what == "missing": open("nowhere/file")
    if what == "directory": open(".", "w")
    if what == "bug": raise ValueError("a fault of the program")
    if what == "interrupt": raise KeyboardInterrupt
    if what == "name": print(os.fsdecode(b"caf\\xe9")); print(os.fsdecode(b"caf\\xe9"), file=sys.stderr)
    if what == "overrides": print(overrides)

run_stage(stage)
"""

CHECK = "check that the path exists, that you may write there and that it has room"


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", STAGE, *arguments], cwd=PROJECT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("error", "error: a.wav: is bad; mend it\n"),
        ("errors", "error: one\nerror: two\n"),
        ("missing", f"error: nowhere/file: No such file or directory; {CHECK}\n"),
        ("directory", f"error: .: Is a directory; {CHECK}\n"),
        ("interrupt", "error: stopped; run the same command again to go on\n"),
    ],
)
def test_what_a_user_can_mend_is_a_line_and_status_1(what, said):
    assert run(f"--what={what}") == (1, "", said)


def test_a_fault_of_the_program_keeps_its_traceback():
    status, _, errors = run("--what=bug")
    assert status == 1 and "Traceback" in errors and "ValueError: a fault of the program" in errors


def test_a_name_that_is_not_utf8_can_be_printed():
    assert run("--what=name") == (0, "caf\\udce9\n", "caf\\udce9\n")


def test_settings_are_taken_as_flags():
    assert run("--what=overrides", "--epochs=5", "--audio.max_freq=1e3", "--strict") == (
        0,
        "{'epochs': '5', 'audio.max_freq': '1e3', 'strict': 'True'}\n",
        "",
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_wins_over_all_else(flag):
    status, output, errors = run("--what=error", flag)
    assert status == 0 and "Try it." in output + errors and "--what" in output + errors


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_tells_its_arguments(name, run_stage):
    status, output, errors = run_stage(name, "--help")
    stage = getattr(importlib.import_module(f"stages.{name}"), name)
    assert status == 0
    assert inspect.getdoc(stage).splitlines()[0] in output + errors
    for parameter in inspect.signature(stage).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            flag = parameter.name.upper() if parameter.default is parameter.empty else f"--{parameter.name}="
            assert flag in output + errors
    described = inspect.getdoc(stage).partition("Args:")[2]
    assert all(f"\n    {parameter}: " in described for parameter in inspect.signature(stage).parameters)


def test_problems_are_a_line_each_whatever_they_hold(capsys):
    show_problems([Problem("a.wav", "is\nbad", "mend it"), Problem("b.wav", "odd", "look at it", lost=False)])
    assert capsys.readouterr().err == "warning: a.wav: is bad; mend it\nwarning: b.wav: odd; look at it\n"


def test_work_that_is_a_part_of_longer_work_shows_no_progress(capsys):
    with quiet(), quiet():
        assert list(progress(range(3), "extract", total=3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    list(progress(range(3), "extract", total=3))
    assert "3/3" in capsys.readouterr().err


def test_progress_hands_on_the_items_and_prints_plain_lines_into_a_pipe(capsys):
    assert list(progress(range(5), "extract", total=7, done=2)) == [0, 1, 2, 3, 4]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("extract: 2/7 recordings,") and len(lines) <= 2
    assert not any("\r" in line or "\x1b" in line for line in lines)


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--size=abc", "--size = 'abc': must be a whole number"),
        ("--size=1.5", "--size = '1.5': must be a whole number"),
        ("--smaller=maybe", "--smaller = 'maybe': must be true or false"),
    ],
)
def test_a_flag_of_another_type_is_one_line(run_stage, flag, line):
    assert run_stage("ensemble", flag) == (1, "", f"error: {line}\n")
