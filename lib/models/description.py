"""What a model is: all that is needed to build it, feed it and read its scores."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.audio.spectrograms import Takes
from lib.config.schema import AudioSettings, TrainSettings
from lib.config.setting_values import Frontend, Head
from lib.core.errors import EarshotError
from lib.core.files import read_bytes, write_text
from lib.models.onnx_card import OnnxOrigin
from lib.models.onnx_files import onnx_origin


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
    audio: AudioSettings  # of the spectrograms, or of the waveforms
    frontend: Frontend = "mel"
    backbone: str  # "onnx" if it is an ONNX model
    width_factor: float = 1.0  # of the backbone's channels
    depth_factor: float = 1.0  # of its layers
    onnx: OnnxOrigin | None = None  # what the ONNX model is; None if it is none
    head: Head = "pool"
    sed_fps: float | None = None  # frames per second that the head scores; None: it scores windows only
    dropout: float
    multi_label: bool  # scores are sigmoids, else a softmax over the classes
    training: dict[str, Any]
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls, classes: list[dict[str, str]], audio: AudioSettings, settings: TrainSettings, training: dict[str, Any]
    ) -> Self:
        """The description of a model that is built as the settings say.

        Raises SettingsError if the backbone is an ONNX file that cannot be used.
        """
        sed_fps = settings.sed_fps if settings.head == "sed" else None
        of_model = {"frontend", "width_factor", "depth_factor", "head", "dropout", "multi_label"}
        chosen = settings.model_dump(include=of_model)
        path = settings.onnx_file
        backbone, onnx = (settings.backbone, None) if path is None else ("onnx", onnx_origin(path))
        return cls(
            classes=classes, audio=audio, backbone=backbone, onnx=onnx, sed_fps=sed_fps, training=training, **chosen
        )

    @property
    def class_names(self) -> list[str]:
        return [entry["name"] for entry in self.classes]

    @property
    def backbone_name(self) -> str:
        """The name of the backbone, of an ONNX model that of its file."""
        return f"onnx:{self.onnx.name}" if self.onnx else self.backbone

    @property
    def takes(self) -> Takes:
        """What the model takes of windows."""
        return "spectrograms" if self.frontend == "mel" else "waveforms"

    @property
    def window_shapes(self) -> list[tuple[int, ...]]:
        """The shapes that a window may have: of a spectrogram, or of a waveform with its margins or without."""
        audio = self.audio
        if self.takes == "spectrograms":
            return [(audio.spec_height, audio.spec_width)]
        return [(audio.window_samples + 2 * audio.margin,), (audio.window_samples,)]

    def misfit(self, other: Self) -> str:
        """Why models of both cannot be used together, as words before `than`; "" if they can."""
        if (self.classes, self.audio) != (other.classes, other.audio):
            return "has other classes or audio settings"
        if self.takes != other.takes:
            return f"takes other input ({self.takes}, for frontend {self.frontend})"
        return ""

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
        if (self.head == "sed") != (self.sed_fps is not None):
            raise ValueError("sed_fps belongs to a head that scores frames")
        return self

    @model_validator(mode="after")
    def _onnx_is_known(self) -> Self:
        if (self.backbone == "onnx") != (self.onnx is not None):
            raise ValueError("onnx belongs to a backbone that is an ONNX model")
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
        return Description.model_validate_json(read_bytes(path))
    except FileNotFoundError:
        raise EarshotError(path, "no such file", "a model needs its description beside it") from None
    except (ValidationError, UnicodeDecodeError):
        raise EarshotError(path, "is not a model description", "remove it, or retrain the model") from None
