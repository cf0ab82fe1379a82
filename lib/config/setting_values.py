"""Kinds of values of settings: what each may be, and how it may be written in params.yaml or in code."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import yaml
from pydantic import AfterValidator, BeforeValidator, Field


class Registered(NamedTuple):
    """Marks a setting that names a part of a registry in a lower room, which is imported once a name is checked.

    Args:
        place: `module:attribute` of the mapping that holds the parts.
        others: names that are allowed besides.
    """

    place: str
    others: tuple[str, ...] = ()

    @property
    def parts(self) -> Mapping[str, Any]:
        """The parts, by name."""
        module, _, attribute = self.place.partition(":")
        return getattr(importlib.import_module(module), attribute)

    @property
    def names(self) -> list[str]:
        """All names that are allowed."""
        return [*self.others, *self.parts]

    def check(self, name: str) -> str:
        if name not in self.names:
            raise ValueError(f"must be one of {', '.join(self.names)}")
        return name


class YamlLoader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 and DVC do; PyYAML follows YAML 1.1, to which it is text."""


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) or isinstance(value, Path) else value


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return [yaml.load(part, YamlLoader) for part in value.strip("[] ").split(",") if part.strip()]
    return value if value is None or isinstance(value, list) else [value]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple | range) else value


def _ascending(value: list[Any]) -> list[Any]:
    if value[0] > value[1]:
        raise ValueError("must be the lowest and the highest value, in that order")
    return value


def seconds_of(value: Any) -> Any:
    """Seconds of a text like 71, 1:11 or 0:01:11; other values as they are. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", value.strip()):
        raise ValueError("must be seconds, m:ss or h:mm:ss")
    return sum(float(part) * 60**i for i, part in enumerate(reversed(value.strip().split(":"))))


Item = TypeVar("Item")
Maybe = Annotated[Item | None, BeforeValidator(_none_if_empty)]
"""A setting that may be empty, which is written as '' because `dvc exp run -S` drops the word null."""
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, BeforeValidator(_text)]
"""Names may look like numbers, such as 2024, and paths may be given as such."""
Listed = Annotated[list[Item], BeforeValidator(_listed)]
"""A list, which may be written as one value or with commas between: `raven, json`."""
Plain = BeforeValidator(_plain)
"""Tuples, ranges and arrays, as code gives them, are lists, as in params.yaml."""
Span = Annotated[list[Item], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
"""The lowest and the highest of numbers that are drawn at random."""
Seconds = Annotated[float, BeforeValidator(seconds_of), Field(ge=0)]
"""A time, which may be written as m:ss or h:mm:ss: `1:11` is 71 seconds."""
AUGMENTATIONS = Registered("lib.audio.augment:AUGMENTATIONS")
_READERS, _WRITERS = Registered("lib.formats:READERS", ("auto",)), Registered("lib.formats:WRITERS")
DataSetFormat = Annotated[str, AfterValidator(_READERS.check), _READERS]
LabelFormat = Annotated[str, AfterValidator(_WRITERS.check), _WRITERS]
ONNX = "onnx:"
"""What a backbone begins with that is an ONNX file."""
Backbone = Annotated[str, Registered("lib.models.backbones:BACKBONES")]
"""A name that is registered, or any of timm's, which takes seconds to check."""
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32", "bf16"]
Frontend = Literal["mel", "mfcc", "multi", "ast", "waveform", "wavelet"]
Head = Literal["pool", "deep", "attention", "sed"]
Schedule = Literal["cosine", "one_cycle", "plateau", "constant"]
Metric = Literal["val_loss", "val_macro_pr", "val_macro_roc", "val_f1", "val_hamming"]
Loss = Literal["cross_entropy", "cross_entropy_pos_weight", "focal_loss", "focal_loss_pos_weight", "family_loss"]
