import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lib.config.command_line import COMMON
from lib.config.schema import Settings

PROJECT = Path(__file__).parents[2]
PARAMS = PROJECT / "params.yaml"
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
        size: of it: so many.
        whole: or not.
    \"\"\"
    if what == "error": raise EarshotError("a.wav", "is bad", "mend it")
    if what == "errors": raise EarshotError("", "two", causes=["one"])
    if what == "missing": open("nowhere/file")
    if what == "directory": open(".", "w")
    if what == "bug": raise ValueError("a fault of the program")
    if what == "server":
        from mlflow.exceptions import MlflowException
        raise MlflowException("http://me:secret@there is away.\\nMore.")
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
        (
            "server",
            "error: MLflow store: http://me:***@there is away; check that tracking.uri can be reached\n",
        ),
        ("directory", f"error: .: Is a directory; {CHECK}\n"),
    ],
)
def test_what_a_user_can_mend_is_a_line_and_status_1(what, lines):
    assert run(f"--what={what}") == (1, "", lines)


def test_what_ctrl_c_ends_has_the_status_that_shells_give_it():
    assert run("--what=interrupt") == (130, "", "error: stopped; run the same command again to resume\n")


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
        ("--epohcs=5", "--epohcs: is not a flag or setting of this stage; did you mean --epochs?; see --help"),
        ("--whoel", "--whoel: is not a flag or setting of this stage; did you mean --whole?; see --help"),
        ("--train.epohcs=5", "--train.epohcs = '5': unknown key; did you mean epochs? allowed: "),
        ("--profile=bat", "profile 'bat': must be one of birds, bats, "),
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


def test_help_is_whole_and_in_words():
    _, output, _ = run("--help")
    assert output.startswith("python -m stages.attempt [flags]\n\nTry it.\n\nFlags:\n    --what TEXT\n")
    assert "    --size NUMBER (default: 1)\n        of it: so many\n    --whole\n        or not\n" in output


def test_a_profile_holds_for_a_run_and_other_flags_win():
    assert run("--kind=values", "--profile=bats") == (0, "1 False 22 120000.0 True\n", "")
    assert run("--kind=values", "--profile=bats", "--audio.max_freq=90000") == (0, "1 False 22 90000.0 True\n", "")


def test_a_reader_of_the_help_that_leaves_is_no_fault():
    command = f"{sys.executable} -c '{STAGE.replace(chr(39), chr(34))}' --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=PROJECT, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("python -m")


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
    for parameter in stage._flags:
        flag = parameter.name.upper() if parameter.default is parameter.empty else f"--{parameter.name}"
        meaning = re.search(rf"\n    {flag}( \[?[A-Z]+\]?)?( \(default: .+\))?\n        (\S.*)", output)[3]
        place = f"\n    {parameter.name}: "
        assert parameter.name in COMMON or " ".join(described.split(place)[1].split()).startswith(meaning)
    for prefix, section in stage_sections(stage):
        for key, field in section.model_fields.items():
            assert f"    --{prefix}{key} (" in output and field.description in " ".join(output.split())
    assert max(map(len, output.splitlines())) <= 120


@pytest.mark.parametrize("name", STAGES)
def test_the_examples_of_a_help_are_commands_that_the_stage_takes(name):
    stage = getattr(importlib.import_module(f"stages.{name}"), name)
    examples = inspect.getdoc(stage).partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    for example in examples:
        command = re.split("  +", example.strip())[0]
        arguments = shlex.split(command.removeprefix(f"python -m stages.{name}"))
        assert command.startswith(f"python -m stages.{name}")
        flags = [argument.removeprefix("--") for argument in arguments if argument.startswith("--")]
        keys = [f"{prefix}{key}" for prefix, section in stage_sections(stage) for key in section.model_fields]
        known = {*inspect.signature(stage).parameters, *keys, *COMMON, "class", "occurrences.path", "audio.spec_height"}
        assert set(flags) <= known


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["split"], "COLLECTION: is missing; see --help"),
        (["split", "somewhere"], "OUTPUT: is missing; see --help"),
        (["search", "--max", "3"], "QUERY: is missing; see --help"),
        (["profile", "frogs", "bats", "--params", "{params}"], "bats: is one argument too many; see --help"),
        (["infer", "--recordings"], "--recordings: needs a value; see --help"),
        (["split", "a", "b", "--update"], "--update: needs a value; see --help"),
    ],
)
def test_missing_and_superfluous_arguments_are_one_line_before_anything_is_done(run_stage, tmp_path, arguments, error):
    params = tmp_path / "params.yaml"
    params.write_bytes(PARAMS.read_bytes())
    name, *given = [argument.format(params=params) for argument in arguments]
    assert run_stage(name, *given) == (1, "", f"error: {error}\n")
    assert params.read_bytes() == PARAMS.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["infer", "--min_score", "30"], "--min_score = 30: must be less than or equal to 1"),
        (["infer", "--min_score"], "--min_score: needs a value"),
        (
            ["extract", "--audio.max_freq", "20000"],
            "--audio.max_freq = 20000: must be at most half of audio.sampling_rate",
        ),
        (["train", "--infer.latitude", "60"], "params.yaml: infer: latitude and longitude go together"),
    ],
)
def test_a_fault_of_a_flag_is_told_of_the_flag(run_stage, arguments, error):
    status, _, errors = run_stage(*arguments)
    assert status == 1 and errors.startswith(f"error: {error}") and errors.count("\n") == 1


def test_the_stages_are_listed():
    done = subprocess.run([sys.executable, "-m", "stages"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and all(re.search(rf"^{name} +\S", done.stdout, re.MULTILINE) for name in STAGES)
