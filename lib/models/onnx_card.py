"""The card of an ONNX model: a YAML file beside it that says what it takes and which of its outputs is the embedding.

    input: {name: inputs, kind: waveform, sampling_rate: 32000, seconds: 5.0}
    output: {name: embedding}

A layout names the axes of a tensor in their order: of an input n (windows), c (one channel), f (bands, low frequency
first) and t (frames) or s (samples); of an output n, d (dimensions of the embedding), and f and t if it tells several
places of a window apart.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lib.config.faults import validated
from lib.config.schema import AudioSettings
from lib.config.setting_values import Positive, YamlLoader
from lib.core.errors import SettingsError
from lib.core.files import read_text

INPUT_AXES = {"waveform": "ns", "spectrogram": "nft"}
"""Axes that each kind of input has, in the order of the project's own arrays."""
FRONTENDS = {"waveform": "waveform", "spectrogram": "mel"}
"""The setting train.frontend that makes each kind of input."""
OUTPUT_AXES = "ndft"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OnnxInput(_Part):
    """What a model takes: windows of sound, or their spectrograms as the extract stage makes them, in 0..1.

    Args:
        name: of the graph's input.
        kind: waveform (in -1..1) or spectrogram.
        sampling_rate: Hz.
        seconds: length of a window.
        layout: axes of the tensor; empty: ns, or nft.
        audio: settings of the section audio that its spectrograms need, such as spec_height.
    """

    name: str
    kind: Literal["waveform", "spectrogram"]
    sampling_rate: int = Field(ge=1000, le=1_000_000)
    seconds: Positive
    layout: str = ""
    audio: dict[str, Any] = {}

    @model_validator(mode="after")
    def _axes_are_known(self) -> Self:
        axes = INPUT_AXES[self.kind]
        if self.layout and sorted(self.layout.replace("c", "", 1)) != sorted(axes):
            raise ValueError(f"layout must have the axes {', '.join(axes)} of a {self.kind}, each once, and may have c")
        return self

    @field_validator("audio")
    @classmethod
    def _settings_are_known(cls, value: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(value.keys() - AudioSettings.model_fields.keys()):
            raise ValueError(
                f"there is no setting audio.{unknown[0]}; allowed: {', '.join(AudioSettings.model_fields)}"
            )
        return value

    @property
    def axes(self) -> str:
        return self.layout or INPUT_AXES[self.kind]

    @property
    def n_samples(self) -> int:
        return round(self.seconds * self.sampling_rate)


class OnnxOutput(_Part):
    """The output that is the embedding; layout: axes of the tensor."""

    name: str
    layout: str = "nd"

    @field_validator("layout")
    @classmethod
    def _axes_are_known(cls, value: str) -> str:
        if len(set(value)) != len(value) or not {"n", "d"} <= set(value) <= set(OUTPUT_AXES):
            raise ValueError("must have the axes n and d, may have f and t, each once")
        return value


class OnnxCard(_Part):
    input: OnnxInput
    output: OnnxOutput

    def misfits(self, audio: AudioSettings, frontend: str) -> Iterator[str]:
        """What is to be set so that windows are as the model takes them, such as `audio.sampling_rate to 32000`."""
        wanted = {"sampling_rate": self.input.sampling_rate, "spec_duration": self.input.seconds} | self.input.audio
        for key, value in wanted.items():
            if getattr(audio, key) != value:
                yield f"audio.{key} to {value}"
        if (needed := FRONTENDS[self.input.kind]) != frontend:
            yield f"train.frontend to {needed}"
            if needed == "waveform":
                yield "extract.sound to true"


class OnnxOrigin(_Part):
    """Where an ONNX backbone is from: the name of its file, a digest of all that it consists of, and its card."""

    name: str
    digest: str
    card: OnnxCard


def card_file(path: str | Path) -> Path:
    """Where the card of an ONNX file is: `perch.onnx.yaml` if there is one, else `perch.yaml`."""
    path = Path(path)
    beside = path.with_name(f"{path.name}.yaml")
    return beside if beside.exists() else path.with_suffix(".yaml")


def read_card(path: str | Path) -> OnnxCard:
    """The card of an ONNX file. Raises SettingsError if it is missing, or not one."""
    file = card_file(path)
    try:
        content = yaml.load(read_text(file), YamlLoader)
    except FileNotFoundError:
        fault = "no such file, which says what the model takes and gives"
        remedy = "write `input: {name, kind: waveform or spectrogram, sampling_rate, seconds}` and `output: {name}`"
        raise SettingsError(file, fault, remedy) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise SettingsError(file, f"cannot be read ({' '.join(str(error).split())})", "mend the file") from None
    return validated(OnnxCard, content, f"{file}: ")
