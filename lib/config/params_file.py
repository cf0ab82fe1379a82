"""Settings written into params.yaml, whose comments and other values stay."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from lib.config.load import load_settings, section_of, setting
from lib.config.schema import Settings
from lib.core.console import table_text
from lib.core.files import read_text, write_text


class Change(NamedTuple):
    """A setting, `section.key`, with the value that it had and the one that it gets."""

    key: str
    before: Any
    after: Any


def changes_text(changes: list[Change]) -> str:
    """Changes as a table."""
    columns = zip(*([change.key, _shown(change.before), _shown(change.after)] for change in changes), strict=True)
    return table_text(dict(zip(("setting", "was", "is"), map(list, columns), strict=False)))


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def write_params(values: dict[str, Any], params: str | Path) -> list[Change]:
    """Write values, keyed `section.key`, into a settings file; returns what changes.

    Raises SettingsError if there is no such file, or if the values or others in it do not fit.
    """
    from ruamel.yaml import YAML

    after = load_settings(params, values)
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 10**6  # type: ignore[assignment]
    content = yaml.load(read_text(params))
    changes = list(_set(content, values, after))
    if changes:
        text = StringIO()
        yaml.dump(content, text)
        write_text(params, text.getvalue())
    return changes


def _set(content: Any, values: dict[str, Any], after: Settings) -> Iterator[Change]:
    """Set values in what a settings file holds; yields those that it did not have."""
    defaults = Settings()
    for name, value in values.items():
        part, key = section_of(content, name), name.rpartition(".")[2]
        before = part.get(key, setting(defaults, name))
        if before != value:
            part[key] = value
            comments = part.ca.items if hasattr(part, "ca") else {}
            if comment := comments.get(key, [None] * 3)[2]:
                comment.column = 0  # right behind the value; ruamel would keep it where it stood
            yield Change(name, before, setting(after, name))
