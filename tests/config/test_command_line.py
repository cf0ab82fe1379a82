import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lib.config.schema import Settings

PROJECT = Path(__file__).parents[2]
STAGES = sorted(path.stem for path in (PROJECT / "stages").glob("[a-z]*.py"))

STAGE = """
import os, sys
from lib.config.command_line import run_stage, stage
from lib.core.errors import EarshotError

@stage("train", kind="what")
def attempt(settings, what: str = "", size: int = 1, whole: bool = False):
    \"\"\"Try it.

    Args:
        what: the kind of error.
        size: of it.
        whole: or not.
    \"\"\"
    if what == "error": raise EarshotError("a.wav", "is bad", "mend it")
    if what == "errors": raise EarshotError("", "two", causes=["one"])
    if what == "missing": open("nowhere/file")
    if what == "directory": open(".", "w")
    if what == "bug": raise ValueError("a fault of the program")
    if what == "interrupt": raise KeyboardInterrupt
    if what == "name": print(os.fsdecode(b"caf\\xe9")); print(os.fsdecode(b"caf\\xe9"), file=sys.stderr)
    if what == "values": print(size, whole, settings.train.epochs, settings.audio.max_freq, settings.train.multi_label)

run_stage(attempt)
"""

CHECK = "check that the path exists, that you may write there and that it has room"


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", STAGE, *arguments], cwd=PROJECT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("error", "error: a.wav: is bad; mend it\n"),
        ("errors", "error: one\nerror: two\n"),
        ("missing", f"error: nowhere/file: No such file or directory; {CHECK}\n"),
        ("directory", f"error: .: Is a directory; {CHECK}\n"),
        ("interrupt", "error: stopped; run the same command again to resume\n"),
    ],
)
def test_what_a_user_can_mend_is_a_line_and_status_1(what, lines):
    assert run(f"--what={what}") == (1, "", lines)


def test_a_fault_of_the_program_keeps_its_traceback():
    status, _, errors = run("--what=bug")
    assert status == 1 and "Traceback" in errors and "ValueError: a fault of the program" in errors


def test_a_name_that_is_not_utf8_can_be_printed():
    assert run("--what=name") == (0, "caf\\udce9\n", "caf\\udce9\n")


def test_any_setting_is_a_flag_and_flags_have_types_and_synonyms():
    flags = ("--kind=values", "--size=5", "--whole", "--epochs=3", "--audio.max_freq=1e3", "--multi_label=false")
    assert run(*flags) == (0, "5 True 3 1000.0 False\n", "")


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--size=abc", "--size = 'abc': must be a whole number"),
        ("--size=1.5", "--size = '1.5': must be a whole number"),
        ("--whole=maybe", "--whole = 'maybe': must be true or false"),
        ("--epohcs=5", "params.yaml: train.epohcs = '5': unknown key; did you mean epochs? allowed: "),
    ],
)
def test_a_wrong_flag_is_one_line(flag, line):
    status, output, errors = run(flag)
    assert (status, output, errors.count("\n")) == (1, "", 1) and errors.startswith(f"error: {line}")


def test_a_stage_is_a_function_of_its_flags_and_any_setting(capsys):
    from lib.config.command_line import stage

    @stage("train")
    def show(settings: Settings, name: str) -> None:
        """Show."""
        print(name, settings.train.epochs, settings.infer.overlap)

    show("one", params=str(PROJECT / "params.yaml"), epochs=3, **{"infer.overlap": 0.5})
    assert capsys.readouterr().out == "one 3 0.5\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_wins_over_all_else(flag):
    status, output, errors = run("--what=error", flag)
    assert (status, errors) == (0, "") and "Try it." in output and "--what" in output


def stage_sections(stage):
    """The prefix of the flags and the model of each section that the help of a stage lists."""
    for number, place in enumerate(stage._sections):
        model = Settings
        for part in place.split("."):
            model = model.model_fields[part].annotation
        yield (f"{place}." if number else ""), model


def test_the_help_of_a_pipeline_stage_lists_what_dvc_watches_for_it():
    pipeline = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    for name in ("extract", "pickle_occurrences", "train", "infer"):
        stage = getattr(importlib.import_module(f"stages.{name}"), name)
        watched = [place for place in pipeline[name.replace("_", "-")]["params"] if place != "train.sed_fps"]
        assert sorted(stage._sections) == sorted(watched)


@pytest.mark.parametrize("name", STAGES)
def test_the_help_of_a_stage_tells_its_flags_and_its_settings(name, run_stage):
    status, output, errors = run_stage(name, "--help")
    stage = getattr(importlib.import_module(f"stages.{name}"), name)
    assert (status, errors) == (0, "") and inspect.getdoc(stage).splitlines()[0] in output
    described = inspect.getdoc(stage).partition("Args:")[2]
    for parameter in inspect.signature(stage).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            flag = parameter.name.upper() if parameter.default is parameter.empty else f"--{parameter.name}="
            assert flag in output and f"\n    {parameter.name}: " in described
    for prefix, section in stage_sections(stage):
        for key, field in section.model_fields.items():
            assert f"    --{prefix}{key} (" in output and field.description in output
