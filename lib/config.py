"""Settings: params.yaml read into typed, validated models. Nothing else reads params.yaml.

Each section is a model of its own, so that code takes the section it needs and nothing more. A key that is not listed
here, a value of another type, or a combination that cannot work raises SettingsError with one line a fault, which
names the key, the value and what is allowed.
"""

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lib.errors import SettingsError

PARAMS_FILE = "params.yaml"
YAML_WORDS = {"null", "None", "true", "True", "false", "False"}
"""What is never a name, on the command line as in params.yaml."""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Workers = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, BeforeValidator(lambda value: _text(value))]
"""Names may look like numbers, such as 2024, and paths may be given as such."""
Item = TypeVar("Item")
Kind = TypeVar("Kind", bound="Section")
Listed = Annotated[list[Item], BeforeValidator(lambda value: _listed(value))]
"""A list, which may be written as one value or with commas between: `raven, json`."""
Plain = BeforeValidator(lambda value: _plain(value))
"""Tuples, ranges and arrays, as code gives them, are lists, as in params.yaml."""
Seconds = Annotated[float, BeforeValidator(lambda value: seconds_of(value)), Field(ge=0)]
"""A time, which may be written as m:ss or h:mm:ss: `1:11` is 71 seconds."""


class Section(BaseModel):
    """A section of params.yaml: unknown keys and silent conversions are refused, also when a value is set in code.

    A value that is set is checked by itself; checked() also checks it against the others.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
            value = value.item()
        model = type(self)
        if not hasattr(model, name) and name not in model.model_fields:
            raise SettingsError(_line(name, model, {"type": "extra_forbidden", "input": value}))
        if (check := _check_of(model, name)) is not None:
            try:
                value = check.validate_python(value)
            except ValidationError as error:
                raise SettingsError(_line(name, model, error.errors()[0])) from None
        super().__setattr__(name, value)

    def checked(self) -> Self:
        """A copy whose values are known to fit together. Raises SettingsError."""
        return _validated(type(self), self.model_dump())


class DataSet(Section):
    """Where labelled recordings are, how they are stored, and which of them to use."""

    path: Text
    format: str = "auto"
    include: Text | None = None

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        from lib.datasets import FORMATS  # imported here: the registry is what says which formats there are

        return _one_of(value, ["auto", *FORMATS])


class Data(Section):
    train: DataSet = Field(default_factory=lambda: DataSet(path="data/sample/train"))
    test: DataSet = Field(default_factory=lambda: DataSet(path="data/sample/test"))


class Audio(Section):
    """How sound becomes spectrograms. Frequencies in Hz, durations in seconds, lengths in samples."""

    sampling_rate: Annotated[int, Field(ge=1000, le=1_000_000)] = 32000
    channel: Literal["mix", "first", "cleanest"] = "mix"
    spec_duration: Positive = 3.0
    spec_height: Annotated[int, Field(ge=8, le=1024)] = 64
    win_length: Annotated[int, Field(ge=16)] = 1024
    hop_length: Count = 320
    freq_scale: Literal["mel", "log", "linear"] = "mel"
    min_freq: NotNegative = 50.0
    max_freq: Positive = 15000.0
    decibels: bool = True
    top_db: Positive = 80.0
    db_power: Positive = 1.0

    @field_validator("hop_length")
    @classmethod
    def _frames_touch(cls, value: int, info: ValidationInfo) -> int:
        limit = info.data.get("win_length")
        if limit is not None and value > limit:
            raise ValueError(f"must be at most audio.win_length ({limit} samples)")
        return value

    @field_validator("max_freq")
    @classmethod
    def _below_nyquist(cls, value: float, info: ValidationInfo) -> float:
        rate, low = info.data.get("sampling_rate"), info.data.get("min_freq")
        if rate is not None and value > rate / 2:
            raise ValueError(f"must be at most half of audio.sampling_rate ({rate / 2:g} Hz)")
        if low is not None and value <= low:
            raise ValueError(f"must be above audio.min_freq ({low:g} Hz)")
        return value

    @model_validator(mode="after")
    def _window_holds_frames(self) -> "Audio":
        if self.spec_width < 8:
            raise ValueError(
                f"spec_duration of {self.spec_duration:g} s holds {self.spec_width} frames of hop_length "
                f"{self.hop_length} samples; at least 8 are needed"
            )
        if self.freq_scale == "log" and self.min_freq < 1:
            raise ValueError("min_freq must be at least 1 Hz with freq_scale log")
        return self

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    @property
    def choose_channel(self) -> bool:
        """Whether the cleanest channel of several is taken."""
        return self.channel == "cleanest"

    @choose_channel.setter
    def choose_channel(self, value: bool) -> None:
        self.channel = "cleanest" if value else "mix"

    @property
    def frame_rate(self) -> float:
        """Spectrogram frames per second."""
        return self.sampling_rate / self.hop_length

    @property
    def spec_width(self) -> int:
        """Frames in a spectrogram of spec_duration seconds."""
        return round(self.spec_duration * self.frame_rate)


class Extract(Section):
    overlap: NotNegative = 1.5
    min_seconds: Positive = 0.3
    background: Fraction = 1.0
    workers: Workers = 0
    strict: bool = False


class Occurrences(Section):
    path: Text | None = "data/sample/occurrences"


class Train(Section):
    multi_label: bool = True
    backbone: str = "cnn"
    head: Literal["pool", "sed"] = "pool"
    sed_fps: Annotated[float, Field(gt=0, le=100)] = 8.0
    frame_loss_weight: Fraction = 0.5
    pretrained: bool = False
    load_checkpoint: Text | None = None
    freeze_backbone: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    epochs: Count = 22
    epoch_windows: Annotated[int, Field(ge=0)] = 1000
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.01
    pos_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    neg_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    class_weight_exponent: Fraction = 0.0
    spec_group: Text = "default"
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    num_folds: Count = 1
    save_last_n: Count = 1
    average_last_n: Count = 1
    threshold_precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    noise_class: Text | None = None
    mixup: Fraction = 0.5
    background_mix: Fraction = 0.3
    time_shift: Fraction = 1.0
    gain_db: NotNegative = 6.0
    freq_masks: Annotated[int, Field(ge=0)] = 1
    freq_mask_bands: Annotated[int, Field(ge=0)] = 8
    time_masks: Annotated[int, Field(ge=0)] = 1
    time_mask_seconds: NotNegative = 0.4
    seed: Seed = 1
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "32", "bf16"] = "auto"
    workers: Workers = 0


class Infer(Section):
    overlap: NotNegative = 1.5
    min_score: Fraction = 0.5
    class_thresholds: bool = True
    csv_min_score: Fraction = 0.001
    merge_labels: bool = True
    segment_len: Positive | None = None
    quantile: Fraction | None = None
    label_field: Literal["names", "codes", "alt_names", "alt_codes"] = "names"
    formats: Listed[str] = ["audacity"]
    exclude: Text | None = None
    start_seconds: Seconds = 0.0
    initial_offsets: Listed[NotNegative] | None = None
    scaling_coefficient: Positive | None = None
    scaling_intercept: float | None = None
    region: str | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    week: Annotated[int, Field(ge=1, le=48)] | Literal["date"] | None = None
    recordings_table: Text | None = None
    min_occurrence: Fraction = 0.0
    occurrence_factor: Fraction = 0.0
    batch_size: Count = 32
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "32", "bf16"] = "auto"
    workers: Workers = 0
    strict: bool = False

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, value: list[str]) -> list[str]:
        from lib.inference.label_formats import LABEL_FORMATS  # imported here: the registry says which there are

        return [_one_of(name, list(LABEL_FORMATS)) for name in dict.fromkeys(value)]

    @field_validator("initial_offsets")
    @classmethod
    def _some_offsets(cls, value: list[float] | None) -> list[float] | None:
        return value or None

    @model_validator(mode="after")
    def _one_place(self) -> "Infer":
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together; set both or neither")
        if self.region is not None and self.latitude is not None:
            raise ValueError("set region or latitude and longitude, not both")
        if self.week is not None and self.region is None and self.latitude is None and self.recordings_table is None:
            raise ValueError("week needs a place; set region, latitude and longitude, or recordings_table")
        return self


class Evaluate(Section):
    threshold: Fraction = 0.5
    min_seconds: Positive = 0.3
    onset_collar: Positive = 0.5
    bootstrap: Annotated[int, Field(ge=0)] = 200
    seed: Seed = 1


class Parameter(Section):
    """A setting to tune: `section.key`, or a key of train, audio or infer, and the values to try.

    choices: of any kind; or bounds and step: numbers from the first to the second, both included.
    """

    name: str
    type: Literal["categorical", "int", "float"] = "categorical"
    choices: Annotated[list[Any] | None, Plain] = None
    bounds: Annotated[list[float] | None, Plain] = None
    step: Annotated[Positive | None, Plain] = None

    @field_validator("choices")
    @classmethod
    def _each_once(cls, value: list[Any] | None) -> list[Any] | None:
        return value and list({repr(choice): choice for choice in value}.values())

    @model_validator(mode="after")
    def _has_values(self) -> "Parameter":
        if self.type == "categorical" and not self.choices:
            raise ValueError(f"{self.name}: give choices, a list of the values to try")
        if self.type != "categorical":
            if self.bounds is None or len(self.bounds) != 2 or self.step is None:
                raise ValueError(f"{self.name}: give bounds, [lowest, highest], and step")
            if self.bounds[0] > self.bounds[1]:
                raise ValueError(f"{self.name}: bounds must be [lowest, highest]")
        return self


class Tune(Section):
    metric: str = "macro_pr"
    trials: Annotated[int, Field(ge=0)] = 0
    runs: Count = 1
    storage: str = "sqlite:///data/tuning.db"
    study: str = "earshot"
    space: Annotated[list[Parameter], Plain] = []


class Tracking(Section):
    uri: str | None = None
    experiment: str = "earshot"
    log_model: bool = True


class Settings(Section):
    """All of params.yaml."""

    data: Data = Field(default_factory=Data)
    audio: Audio = Field(default_factory=Audio)
    extract: Extract = Field(default_factory=Extract)
    occurrences: Occurrences = Field(default_factory=Occurrences)
    train: Train = Field(default_factory=Train)
    infer: Infer = Field(default_factory=Infer)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    tune: Tune = Field(default_factory=Tune)
    tracking: Tracking = Field(default_factory=Tracking)

    @model_validator(mode="after")
    def _fits_the_window(self) -> "Settings":
        length = self.audio.spec_duration
        for key, value in (("extract.overlap", self.extract.overlap), ("infer.overlap", self.infer.overlap)):
            if value >= length:
                raise ValueError(f"{key} = {value:g}: must be below audio.spec_duration ({length:g} s)")
        for key, value in (
            ("extract.min_seconds", self.extract.min_seconds),
            ("evaluate.min_seconds", self.evaluate.min_seconds),
        ):
            if value > length:
                raise ValueError(f"{key} = {value:g}: must be at most audio.spec_duration ({length:g} s)")
        return self


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 and DVC do; PyYAML follows YAML 1.1, to which it is text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def get_config(cfg_path: str | Path | None = None) -> Settings:
    """Settings of a YAML file that holds any of the sections of params.yaml, the rest as they are by default.

    cfg_path: the file; None: params.yaml of the current folder, and the defaults where there is none. Each call returns
    settings of its own, which may be changed. Raises SettingsError.
    """
    if cfg_path is None and not Path(PARAMS_FILE).is_file():
        return Settings()
    return load_settings(PARAMS_FILE if cfg_path is None else cfg_path)


def load_settings(
    params: str | Path = PARAMS_FILE, overrides: dict[str, Any] | None = None, section: str | None = None
) -> Settings:
    """Read and validate settings.

    params: the YAML file. overrides: values that replace those of the file, keyed `section.key` (or `key` alone for
    a key of `section`, the section that a stage is about). Raises SettingsError.
    """
    path = Path(params)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; run in the project's folder or give --params FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); give a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or "not YAML"
        raise SettingsError(f"{where}: {what}; mend the YAML there") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds no sections; it must be a mapping of {', '.join(Settings.model_fields)}")
    for key, value in (overrides or {}).items():
        _override(content, key, value, section)
    return _validated(Settings, content, f"{path}: ")


def with_changes(settings: Settings, changes: Mapping[str, Any], prefix: str = "") -> Settings:
    """A copy of settings with other values, keyed `section.key`, that are known to fit together.

    Raises SettingsError, a line a fault, each with the prefix before it.
    """
    content = settings.model_dump()
    for name, value in changes.items():
        section, _, key = name.partition(".")
        content[section][key] = value
    return _validated(Settings, content, prefix)


@lru_cache
def _check_of(model: type[Section], name: str) -> TypeAdapter | None:
    """What checks a value of a key by itself; None for a section, and for what is no key."""
    field = model.model_fields.get(name)
    if field is None or (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
        return None
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


def _override(content: dict, key: str, value: Any, section: str | None) -> None:
    path = key.split(".")
    if len(path) == 1 and section and key not in Settings.model_fields:
        path = [section, key]
    *parents, last = path
    for parent in parents:
        child = content.setdefault(parent, {})
        if not isinstance(child, dict):
            raise SettingsError(f"--{key}: {parent} is not a section")
        content = child
    content[last] = _read_text(path, value) if isinstance(value, str) else value


def _read_text(path: list[str], text: str) -> Any:
    """What a text on the command line means to the setting at that path: as in params.yaml, but names stay text."""
    *section, last = path
    try:
        annotation = str(_model_of(section).model_fields[last].annotation)
    except (KeyError, AttributeError):
        return text  # there is no such setting, which validation will say
    if "str" in annotation and text not in YAML_WORDS:
        return text
    if text == "None":
        return None
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def _text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) or isinstance(value, Path) else value


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return [yaml.load(part, _Loader) for part in value.strip("[] ").split(",") if part.strip()]
    return value if value is None or isinstance(value, list) else [value]


def seconds_of(value: Any) -> Any:
    """Seconds of a text like 71, 1:11 or 0:01:11; other values as they are. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", value.strip()):
        raise ValueError("must be seconds, m:ss or h:mm:ss")
    return sum(float(part) * 60**i for i, part in enumerate(reversed(value.strip().split(":"))))


def read_seconds(name: str, value: Any) -> float:
    """Seconds of a number or of a text as seconds_of takes it, given as `name`. Raises SettingsError."""
    try:
        return float(seconds_of(value))
    except ValueError as error:
        raise SettingsError(f"{name} = {value!r}: {error}") from None


def _one_of(value: str, allowed: list[str]) -> str:
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}")
    return value


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple | range) else value


def _validated(model: type[Kind], content: Any, prefix: str = "") -> Kind:
    """A section of these values. Raises SettingsError, a line a fault, each with the prefix before it."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SettingsError("\n".join(prefix + line for line in _lines(error.errors(), model))) from None


def _lines(faults: list[Any], model: type[Section]) -> list[str]:
    """Validation faults of pydantic as `key = value: what is allowed`, one line a key."""
    lines: dict[str, str] = {}
    for fault in faults:
        key, section = _place(fault["loc"], model)
        line = _line(key, section, fault)
        if key in lines and fault["type"] != "value_error":  # one of several types that the key may have
            line = f"{lines[key]}, or {line.partition(': ')[2].removeprefix('must be ')}"
        lines[key] = line
    return list(lines.values())


def _place(location: tuple, model: type[Section]) -> tuple[str, type[Section]]:
    """The key that a fault's location names, and its section: pydantic appends the member of a union that did not fit.

    Of a list of sections the key holds the place: `tune.space.0.step`.
    """
    names: list[str] = []
    for part in location:
        names.append(str(part))
        if isinstance(part, int):
            continue
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        inner = next(
            (each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, Section)), None
        )
        if inner is None:
            break
        model = inner
    return ".".join(names), model


def _line(key: str, section: type[Section], fault: Any) -> str:
    value, kind = fault["input"], fault["type"]
    if kind == "extra_forbidden":
        allowed = list(section.model_fields)
        close = difflib.get_close_matches(key.rpartition(".")[2], allowed, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"{key} = {value!r}: unknown key; {hint}allowed: {', '.join(allowed)}"
    if kind == "model_type":
        return f"{key} = {value!r}: must be a mapping of {', '.join(section.model_fields)}"
    if kind == "missing":
        return f"{key}: missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "value_error" and isinstance(value, dict):  # raised by a section as a whole: the message names the key
        return f"{key}: {message}" if key else message
    message = message[0].lower() + message[1:]
    return f"{key} = {value!r}: {message.replace('input should be', 'must be')}"


def _model_of(section: list[str]) -> Any:
    model: Any = Settings
    for name in section:
        model = model.model_fields[name].annotation
    return model
