"""What a model is: all that is needed to build it, feed it and read its scores."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.config import Audio
from lib.errors import EarshotError
from lib.files import write_text


class Calibration(BaseModel):
    """What makes scores into probabilities, and from which score on a class counts as found.

    coefficient, intercept: Platt scaling, see lib.models.calibration. thresholds: scaled score by name of class; a
    class may be missing.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    coefficient: Annotated[float, Field(gt=0)] = 1.0
    intercept: float = 0.0
    thresholds: dict[str, float] = {}


class Description(BaseModel):
    """classes: name, code, alt_name, alt_code of each, in the order of the scores. audio: settings of the spectrograms
    that it takes. head, sed_fps: one of lib.models.heads, and how many frames a second it scores. multi_label: scores
    are sigmoids, else a softmax over the classes. training: how it came about. calibration: if there is one.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    classes: list[dict[str, str]]
    audio: Audio
    backbone: str
    head: Literal["pool", "sed"] = "pool"
    sed_fps: float | None = None
    dropout: float
    multi_label: bool
    training: dict[str, Any]
    calibration: Calibration | None = None

    @property
    def class_names(self) -> list[str]:
        return [entry["name"] for entry in self.classes]

    @property
    def n_frames(self) -> int:
        """Frames of a window that the head scores; 0: it knows of no frames."""
        return max(1, round(self.sed_fps * self.audio.spec_duration)) if self.sed_fps else 0

    @model_validator(mode="after")
    def _frames_have_a_rate(self) -> Self:
        if (self.head == "pool") != (self.sed_fps is None):
            raise ValueError("sed_fps belongs to a head that scores frames")
        return self


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
