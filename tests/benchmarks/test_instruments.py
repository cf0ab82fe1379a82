"""The documented experiment on instruments, against the recipe that the benchmark measures."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lib.config.load import load_settings, with_changes
from tests.benchmarks.instruments import RECIPE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / ".github/instruments.md"


@pytest.fixture
def documented() -> dict[str, object]:
    """The settings of the page's `dvc exp run`, but for where data are, as DVC parses them."""
    command = re.search(r"^\$ (dvc exp run (?:.*\\\n)*.*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert command
    words = shlex.split(command[1].replace("\\\n", ""))
    given = [value for option, value in pairwise(words) if option == "-S"]
    parsed = OverridesParser.create().parse_overrides(given)
    return {each.key_or_group: each.value() for each in parsed if not each.key_or_group.startswith("data.")}


def test_the_documented_experiment_has_the_settings_of_the_recipe(documented):
    profile = {name: value for name, value in RECIPE.items() if not name.startswith(("train.", "infer.device"))}
    profile.pop("extract.sound")  # the page says it
    settings = load_settings(ROOT / "params.yaml")
    assert with_changes(settings, profile | documented) == with_changes(settings, RECIPE)
