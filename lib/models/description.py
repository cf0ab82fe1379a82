"""What a model is: all that is needed to build it, feed it and read its scores."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lib.config import Audio
from lib.errors import EarshotError
from lib.files import write_text


class Description(BaseModel):
    """classes: name, code, alt_name, alt_code of each, in the order of the scores. audio: settings of the spectrograms
    that it takes. multi_label: scores are sigmoids, else a softmax over the classes. training: how it came about.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    classes: list[dict[str, str]]
    audio: Audio
    backbone: str
    dropout: float
    multi_label: bool
    training: dict[str, Any]

    @property
    def class_names(self) -> list[str]:
        return [entry["name"] for entry in self.classes]


def description_file(checkpoint: str | Path) -> Path:
    """Where a checkpoint's description stands once more, to be read without loading the tensors."""
    return Path(checkpoint).with_suffix(".json")


def write_description(checkpoint: str | Path, description: Description) -> None:
    write_text(description_file(checkpoint), json.dumps(description.model_dump(), indent=2, ensure_ascii=False) + "\n")


def read_description(checkpoint: str | Path) -> Description:
    """The description beside a checkpoint. Raises EarshotError if it is missing or something else."""
    path = description_file(checkpoint)
    try:
        return Description.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise EarshotError(f"{path}: no such file; a model needs its description beside it") from None
    except (ValidationError, UnicodeDecodeError):
        raise EarshotError(f"{path}: is no model description; remove it, or train the model anew") from None
