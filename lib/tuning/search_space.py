"""The values that a search tries: from the entries of tune.space to a list of combinations, and to settings.

A combination is a value for each parameter of the space, {name: value}. Which combinations a search tries depends on
the space, their number and the study's name alone, so that all machines that share a study have the same plan, and a
longer plan begins with the shorter one.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import yaml

from lib.config.load import with_changes
from lib.config.schema import Parameter, Settings, TrainSettings, section_model
from lib.config.setting_values import YamlLoader
from lib.core.digests import digest_of
from lib.core.errors import Problem, SettingsError
from lib.core.files import read_text

Values = dict[str, Any]

SECTIONS = ("train", "audio", "infer")
"""Where a name without a section is searched for, in this order."""
TUNABLE = (*SECTIONS, "extract")
DRAWS = 1000
"""Refused combinations for each accepted one, after which random drawing stops."""


def read_space_file(path: str) -> list[Any]:
    """Entries of a YAML file like tune.space. Raises SettingsError."""
    try:
        return yaml.load(read_text(path), YamlLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise SettingsError(path, f"cannot be read ({reason})", "give a YAML file like tune.space") from None


def read_space(entries: Sequence[Parameter | dict[str, Any]] | None) -> list[Parameter]:
    """Checked parameters of a space, given as such or as mappings of their fields; None is a space without parameters.

    Raises SettingsError for an invalid entry, an unknown name, or a name that is given twice.
    """
    space = with_changes(Settings(), {"tune.space": [] if entries is None else entries}).tune.space
    keys = [setting_key(parameter.name) for parameter in space]
    for parameter, key in zip(space, keys, strict=True):
        if keys.count(key) > 1:
            raise SettingsError("tune.space", f"{parameter.name} is given twice", "join its values in one entry")
    return space


def setting_key(name: str) -> str:
    """A parameter's setting as `section.key`. Raises SettingsError if there is none."""
    for path in [name] if name.partition(".")[0] in Settings.model_fields else [f"{each}.{name}" for each in SECTIONS]:
        section, _, key = path.rpartition(".")
        with suppress(KeyError):
            if path.partition(".")[0] in TUNABLE and key in section_model(section).model_fields:
                return path
    if name.removeprefix("train.") in TrainSettings.moved:
        raise SettingsError("tune.space", f"{name} is now {TrainSettings.moved[name.removeprefix('train.')]}")
    allowed = ", ".join(f"{section}.KEY" for section in TUNABLE)
    raise SettingsError("tune.space", f"{name} is not a setting that can be tuned", f"give {allowed} as in params.yaml")


def sections_of(space: Sequence[Parameter]) -> set[str]:
    """The sections of params.yaml that a space varies."""
    return {setting_key(parameter.name).partition(".")[0] for parameter in space}


def values_of(parameter: Parameter) -> list[Any]:
    """The values of a parameter to try: its choices, or the numbers from its lower to its upper bound, both included.

    >>> values_of(Parameter(name="train.dropout", type="float", bounds=[0.1, 0.3], step=0.1))
    [0.1, 0.2, 0.3]
    """
    if parameter.choices is not None and parameter.type == "categorical":
        return parameter.choices
    assert parameter.bounds is not None and parameter.step is not None  # or it would not have been a Parameter
    low, high = parameter.bounds
    steps = math.floor((high - low) / parameter.step + 1e-9)  # 0.2 / 0.1 may come out a little below 2
    numbers = [low + index * parameter.step for index in range(steps + 1)]
    if parameter.type == "float":
        return [round(float(number), 12) for number in numbers]
    if any(number != int(number) for number in numbers):
        raise SettingsError("tune.space", f"{parameter.name} is of type int", "give whole bounds and step")
    return [int(number) for number in numbers]


def with_values(settings: Settings, values: Values) -> Settings:
    """Settings with the values of a combination. Raises SettingsError if these are not allowed."""
    changes = {setting_key(name): value for name, value in values.items()}
    return with_changes(settings, changes, f"tune.space: {shown(values)}: ")


def shown(values: Values) -> str:
    """A combination as a line of text."""
    return ", ".join(f"{name} = {value}" for name, value in values.items()) or "settings as they are"


def combination_key(values: Values) -> str:
    """What identifies a combination in a study."""
    return digest_of(values)


def plan(space: Sequence[Parameter], trials: int, seed: str, settings: Settings) -> tuple[list[Values], list[Problem]]:
    """The combinations to try, in order, and a Problem about those that the settings do not allow, if any.

    Args:
        trials: how many combinations to draw at random, none twice; 0, or as many as there are or more: all, the last
            parameter varying fastest.

    Raises SettingsError if no combination is allowed.
    """
    lists = [values_of(parameter) for parameter in space]
    total = math.prod(map(len, lists))
    names = [parameter.name for parameter in space]
    is_drawn = 0 < trials < total
    if is_drawn:
        candidates: Iterator[tuple] = _drawn(lists, total, seed)
    else:
        candidates, trials = itertools.product(*lists), total
    chosen: list[Values] = []
    refused: list[SettingsError] = []
    for combination in candidates:
        values = dict(zip(names, combination, strict=True))
        try:
            with_values(settings, values)
        except SettingsError as error:
            refused.append(error)
            if is_drawn and len(refused) > DRAWS * (1 + len(chosen)):
                break
            continue
        chosen.append(values)
        if len(chosen) == trials:
            break
    if not chosen:
        raise refused[0]
    if not refused:
        return chosen, []
    first = str(refused[0]).removeprefix("tune.space: ")
    fault = f"{len(refused)} combinations are left out, the first because of {first}"
    return chosen, [Problem("tune.space", fault, "remove values that go with none of the others", lost=False)]


def _drawn(lists: list[list[Any]], total: int, seed: str) -> Iterator[tuple]:
    """Combinations at random, none twice. They are numbered, not listed: a space may hold billions."""
    rng = random.Random(seed)
    seen: set[int] = set()
    while len(seen) < total:
        number = rng.randrange(total)
        if number in seen:
            continue
        seen.add(number)
        combination = []
        for values in reversed(lists):
            number, index = divmod(number, len(values))
            combination.append(values[index])
        yield tuple(reversed(combination))
