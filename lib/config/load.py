"""Settings read from params.yaml, with what the command line or code overrides. Nothing else reads params.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lib.config.faults import validated
from lib.config.schema import Settings, YamlLoader, seconds_of
from lib.core.errors import SettingsError

PARAMS_FILE = "params.yaml"
YAML_WORDS = {"null", "None", "true", "True", "false", "False"}
"""What is never a name, on the command line as in params.yaml."""


def get_config(cfg_path: str | Path | None = None) -> Settings:
    """Settings of a YAML file that holds any of the sections of params.yaml, the rest by default.

    Args:
        cfg_path: the file; None: params.yaml of the current folder, and the defaults where there is none.

    Each call returns settings of its own, which may be changed. Raises SettingsError.
    """
    if cfg_path is None and not Path(PARAMS_FILE).is_file():
        return Settings()
    return load_settings(PARAMS_FILE if cfg_path is None else cfg_path)


def load_settings(
    params: str | Path = PARAMS_FILE, overrides: Mapping[str, Any] | None = None, section: str | None = None
) -> Settings:
    """Read and validate settings.

    Args:
        params: the YAML file.
        overrides: values that replace those of the file, keyed `section.key`, or `key` alone for a key of `section`;
            a key may be in a section of that one, `part.key`.
        section: what a stage is about.

    Raises SettingsError.
    """
    path = Path(params)
    content = _read_yaml(path)
    if not isinstance(content, dict):
        raise SettingsError(path, f"holds no sections; it must be a mapping of {', '.join(Settings.model_fields)}")
    for key, value in (overrides or {}).items():
        _override(content, key, value, section)
    return validated(Settings, content, f"{path}: ")


def with_changes(settings: Settings, changes: Mapping[str, Any], prefix: str = "") -> Settings:
    """A copy of settings with other values, keyed `section.key`, that are known to fit together.

    Raises SettingsError, a line a fault, each with the prefix before it.
    """
    content = settings.model_dump()
    for name, value in changes.items():
        section, _, key = name.partition(".")
        content[section][key] = value
    return validated(Settings, content, prefix)


def read_seconds(name: str, value: Any) -> float:
    """Seconds of a number or of a text like 1:11, given as `name`. Raises SettingsError."""
    try:
        return float(seconds_of(value))
    except ValueError as error:
        raise SettingsError(f"{name} = {value!r}", str(error)) from None


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), YamlLoader)
    except FileNotFoundError:
        raise SettingsError(path, "no such file", "run in the project's folder or give --params FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(path, f"cannot be read ({error})", "give a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise SettingsError(where, getattr(error, "problem", None) or "not YAML", "mend the YAML there") from None


def _override(content: dict, key: str, value: Any, section: str | None) -> None:
    path = key.split(".")
    if section and path[0] not in Settings.model_fields:
        path = [section, *path]
    *parents, last = path
    for parent in parents:
        child = content.setdefault(parent, {})
        if not isinstance(child, dict):
            raise SettingsError(f"--{key}", f"{parent} is not a section")
        content = child
    content[last] = _typed(path, value) if isinstance(value, str) else value


def _typed(path: list[str], text: str) -> Any:
    """What a text on the command line means to the setting at that path: as in params.yaml, but names stay text."""
    *section, last = path
    try:
        annotation = str(_section(section).model_fields[last].annotation)
    except (KeyError, AttributeError):
        return text  # there is no such setting, which validation will say
    if "str" in annotation and text not in YAML_WORDS:
        return text
    if text == "None":
        return None
    try:
        return yaml.load(text, YamlLoader)
    except yaml.YAMLError:
        return text


def _section(path: list[str]) -> Any:
    model: Any = Settings
    for name in path:
        model = model.model_fields[name].annotation
    return model
