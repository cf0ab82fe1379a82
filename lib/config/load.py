"""Settings read from params.yaml, with what the command line or code overrides. Nothing else reads params.yaml."""

import copy
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lib.config.faults import validated
from lib.config.named_parts import find_part, read_names
from lib.config.schema import Section, Settings, section_model
from lib.config.setting_values import YamlLoader, seconds_of
from lib.core.console import show_problems
from lib.core.errors import Problem, SettingsError
from lib.core.files import read_text

PARAMS_FILE = "params.yaml"
YAML_WORDS = {"null", "None", "true", "True", "false", "False"}
"""What is never a name, on the command line as in params.yaml."""


def get_config(cfg_path: str | Path | None = None) -> Settings:
    """Settings of a YAML file that holds any of the sections of params.yaml, the rest by default.

    Args:
        cfg_path: the file; None: params.yaml of the current folder, and the defaults where there is none, with a
            warning once per folder.

    Each call returns settings of its own, which may be changed. Raises SettingsError.
    """
    if cfg_path is None and not Path(PARAMS_FILE).is_file():
        _warn_of_defaults(os.getcwd())
        return Settings()
    return load_settings(PARAMS_FILE if cfg_path is None else cfg_path)


@cache
def _warn_of_defaults(folder: str) -> None:
    remedy = "run in the project's folder, or give the settings"
    show_problems([Problem(folder, f"holds no {PARAMS_FILE}: default settings are used", remedy, lost=False)])


def load_settings(
    params: str | Path = PARAMS_FILE,
    overrides: Mapping[str, Any] | None = None,
    section: str | None = None,
    profile: Mapping[str, Any] | None = None,
) -> Settings:
    """Read and validate settings.

    Args:
        params: the YAML file.
        overrides: values that replace those of the file, keyed `section.key`, or `key` alone for a key of `section`;
            a key may be in a section of that one, `part.key`. A list is set before settings of its parts.
        section: what a stage is about.
        profile: values that replace those of the file before the overrides do, keyed `section.key`.

    Raises SettingsError.
    """
    path = Path(params)
    content = _read_sections(path)
    flags: dict[str, str] = {}
    for values in (profile or {}, overrides or {}):
        given = {_full_name(key, section): key for key in values}
        for name in lists_first(given):
            _override(content, name, values[given[name]], given[name])
        flags |= given
    return validated(Settings, content, f"{path}: ", flags)


def with_changes(settings: Settings, changes: Mapping[str, Any], prefix: str = "") -> Settings:
    """A copy of settings with other values, keyed `section.key`, that are known to fit together.

    Raises SettingsError, a line a fault, each with the prefix before it.
    """
    content = settings.model_dump()
    for name in lists_first(changes):
        section_of(content, name)[name.rpartition(".")[2]] = copy.deepcopy(changes[name])
    return validated(Settings, content, prefix)


def lists_first(names: Iterable[str]) -> list[str]:
    """Names of settings in the order in which to set them: a list before settings of its parts."""
    return sorted(names, key=lambda name: name.count("."))


def setting(settings: Settings, name: str) -> Any:
    """The value of a setting by its name, `section.key`; None if it is of a part that its list lacks."""
    value: Any = settings
    for part in name.split("."):
        if isinstance(value, list):
            value = next((each for each in value if each.name == part), None)
        elif value is not None:
            value = getattr(value, part)
    return value


def section_of(content: Any, name: str) -> dict[str, Any]:
    """The section of a setting, `section.key`, in the content of a settings file; sections that are missing are added.

    A list of parts that is written as a text becomes a list.

    Raises SettingsError if there is no such section, or the list has no such part.
    """
    parents = name.split(".")[:-1]
    for depth, parent in enumerate(parents):
        if isinstance(content, list):
            child: Any = find_part(content, parent)
            if child is None:
                raise SettingsError(name, f"{'.'.join(parents[:depth])} lists no {parent}", "add it to the list")
        else:
            child = content.get(parent)
            if child is None:
                child = content[parent] = _default(parents[: depth + 1])
            elif isinstance(child, str) and isinstance(_default(parents[: depth + 1]), list):
                child = content[parent] = read_names(child)
        if not isinstance(child, dict | list):
            raise SettingsError(name, f"{parent} is not a section")
        content = child
    if isinstance(content, list):
        raise SettingsError(name, f"{'.'.join(parents)} is a list", f"give {name}.KEY, or the whole list")
    return content


def _default(path: list[str]) -> dict[str, Any] | list[Any]:
    """What a section that is not in a settings file holds: nothing, or the entries of a list of parts."""
    try:
        value = setting(Settings(), ".".join(path))
    except AttributeError:  # there is no such section, which validation will say
        return {}
    if isinstance(value, list) and all(isinstance(entry, Section) for entry in value):
        return [entry.model_dump() for entry in value]
    return {}


def names_with_section(params: str | Path, names: Iterable[str]) -> list[str]:
    """Those of some settings that a settings file has a section for or can get one; a list may lack the part.

    Raises SettingsError.
    """
    content = _read_sections(Path(params))

    def has_section(name: str) -> bool:
        try:
            section_of(content, name)
        except SettingsError:
            return False
        return True

    return list(filter(has_section, names))


def read_seconds(name: str, value: Any) -> float:
    """Seconds of a number or of a text like 1:11, given as `name`. Raises SettingsError."""
    try:
        return float(seconds_of(value))
    except ValueError as error:
        raise SettingsError(f"{name} = {value!r}", str(error)) from None


def _read_sections(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(read_text(path), YamlLoader)
    except FileNotFoundError:
        raise SettingsError(path, "no such file", "run in the project's folder or give --params FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(path, f"cannot be read ({error})", "give a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise SettingsError(where, getattr(error, "problem", None) or "not YAML", "mend the YAML there") from None
    if not isinstance(content, dict):
        raise SettingsError(path, f"holds no sections; it must be a mapping of {', '.join(Settings.model_fields)}")
    return content


def _full_name(key: str, section: str | None) -> str:
    return f"{section}.{key}" if section and key.partition(".")[0] not in Settings.model_fields else key


def _override(content: dict, name: str, value: Any, given: str) -> None:
    """Set a value in the content of a settings file.

    given: the flag's name, for an error.
    """
    *_, last = path = name.split(".")
    try:
        section_of(content, name)[last] = _typed(path, value, given) if isinstance(value, str) else copy.deepcopy(value)
    except SettingsError as error:
        raise SettingsError(f"--{given}", error.fault, error.remedy) from None


def _typed(path: list[str], text: str, given: str) -> Any:
    """What a text on the command line means to the setting at that path: as in params.yaml, but names stay text.

    given: the flag's name, for an error.
    """
    *section, last = path
    try:
        annotation = str(section_model(".".join(section)).model_fields[last].annotation)
    except KeyError:
        return text  # there is no such setting, which validation will say
    if text == "True" and "bool" not in annotation:  # what Fire makes of a flag without a value
        raise SettingsError(f"--{given}", "needs a value", "see --help")
    if "str" in annotation and text not in YAML_WORDS:
        return text
    if text == "None":
        return None
    try:
        return yaml.load(text, YamlLoader)
    except yaml.YAMLError:
        return text
