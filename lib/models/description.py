"""What a model is: all that is needed to build it, feed it and read its scores."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.config.schema import AudioSettings, TrainSettings
from lib.core.errors import EarshotError
from lib.core.files import write_text


class Calibration(BaseModel):
    """Platt scaling (see lib.models.platt_scaling), and the scores from which on classes are labelled."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    coefficient: Annotated[float, Field(gt=0)] = 1.0
    intercept: float = 0.0
    thresholds: dict[str, float] = {}  # scaled scores, by name of class; classes may be missing

    @property
    def scaling(self) -> tuple[float, float]:
        return self.coefficient, self.intercept


class Description(BaseModel):
    """What a model is made of, what it takes and gives, and how it was trained."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    classes: list[dict[str, str]]  # name, code, alt_name, alt_code of each, in the order of the scores
    audio: AudioSettings  # of the spectrograms
    backbone: str
    head: Literal["pool", "sed"] = "pool"
    sed_fps: float | None = None  # frames per second that the head scores; None: it scores windows only
    dropout: float
    multi_label: bool  # scores are sigmoids, else a softmax over the classes
    training: dict[str, Any]
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls, classes: list[dict[str, str]], audio: AudioSettings, settings: TrainSettings, training: dict[str, Any]
    ) -> Self:
        """The description of a model that is built as the settings say."""
        sed_fps = None if settings.head == "pool" else settings.sed_fps
        chosen = settings.model_dump(include={"backbone", "head", "dropout", "multi_label"})
        return cls(classes=classes, audio=audio, sed_fps=sed_fps, training=training, **chosen)

    @property
    def class_names(self) -> list[str]:
        return [entry["name"] for entry in self.classes]

    @property
    def n_frames(self) -> int:
        """Frames of a window that the head scores; 0: none."""
        return max(1, round(self.sed_fps * self.audio.spec_duration)) if self.sed_fps else 0

    @property
    def stored_calibration(self) -> Calibration:
        """The calibration; if there is none, one that leaves scores as they are."""
        return self.calibration or Calibration()

    @model_validator(mode="after")
    def _frames_have_a_rate(self) -> Self:
        if (self.head == "pool") != (self.sed_fps is None):
            raise ValueError("sed_fps belongs to a head that scores frames")
        return self


def description_file(checkpoint: str | Path) -> Path:
    """Where a checkpoint's description is written besides, to be read without loading the tensors."""
    return Path(checkpoint).with_suffix(".json")


def write_description(checkpoint: str | Path, description: Description) -> None:
    write_text(description_file(checkpoint), json.dumps(description.model_dump(), indent=2, ensure_ascii=False) + "\n")


def read_description(checkpoint: str | Path) -> Description:
    """The description beside a checkpoint. Raises EarshotError if it is missing or not one."""
    path = description_file(checkpoint)
    try:
        return Description.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise EarshotError(path, "no such file", "a model needs its description beside it") from None
    except (ValidationError, UnicodeDecodeError):
        raise EarshotError(path, "is no model description", "remove it, or retrain the model") from None
