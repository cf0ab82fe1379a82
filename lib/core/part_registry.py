"""Exchangeable parts by name: whoever adds one writes a module that registers it, and changes nothing else."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import TypeVar

from lib.core.errors import SettingsError

Part = TypeVar("Part")


class Registry(Mapping[str, Part]):
    """Parts of one kind, such as label formats, by name.

    Args:
        kind: what a part is, in words.
        package: the package whose modules register the parts; they are imported when the first part is asked for.
    """

    def __init__(self, kind: str, package: str) -> None:
        self._kind, self._package = kind, package
        self._parts: dict[str, Part] = {}
        self._is_complete = False

    def register(self, name: str, part: Part) -> Part:
        """Add a part. Raises ValueError if there is one of that name."""
        if name in self._parts:
            raise ValueError(f"{self._kind} {name!r} is registered twice")
        self._parts[name] = part
        return part

    def __getitem__(self, name: str) -> Part:
        """The part of that name. Raises SettingsError if there is none."""
        parts = self._all()
        if name not in parts:
            close = difflib.get_close_matches(name, parts, 1)
            raise SettingsError(f"{self._kind} {name!r}", one_of(parts), f"did you mean {close[0]}?" if close else "")
        return parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Part]:
        if not self._is_complete:
            for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._parts = dict(sorted(self._parts.items()))
            self._is_complete = True
        return self._parts


def one_of(names: Mapping[str, object]) -> str:
    return f"must be one of {', '.join(names)}"
