"""Lists of parts that have names, such as train.augmentations: a setting of a part is called by the part's name.

`train.augmentations.mixup.probability` is the probability of the entry `{name: mixup, probability: 0.5}`. An entry
without settings of its own may be written as its name alone.
"""

from collections.abc import Mapping
from typing import Any


def read_names(text: str) -> list[str]:
    """The names of a list that is written as a text, as on the command line.

    >>> read_names("mixup, gain")
    ['mixup', 'gain']
    """
    return [name for part in text.strip("[] ").split(",") if (name := part.strip())]


def find_part(parts: list[Any], name: str) -> dict[str, Any] | None:
    """The entry of that name in the content of a settings file; None if there is none.

    A name alone is replaced by a mapping, in which settings can be set.
    """
    for place, entry in enumerate(parts):
        entry_name = entry.get("name") if isinstance(entry, Mapping) else entry
        if entry_name == name:
            if not isinstance(entry, dict):
                parts[place] = {"name": entry}
            return parts[place]
    return None


def flat_values(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key` -> value; a list of named parts as its names, and the settings of each.

    >>> flat_values({"train": {"epochs": 3, "augmentations": [{"name": "mixup", "probability": 0.5}]}})
    {'train.epochs': 3, 'train.augmentations': 'mixup', 'train.augmentations.mixup.probability': 0.5}
    """
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            values |= flat_values(value, f"{name}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) and "name" in each for each in value):
            values[name] = ", ".join(part["name"] for part in value)
            for part in value:
                settings = {inner: setting for inner, setting in part.items() if inner != "name"}
                values |= flat_values(settings, f"{name}.{part['name']}.")
        else:
            values[name] = value
    return values
