"""The settings: a typed section for each part of params.yaml, and for each setting its default and what it means.

What is written here is the one source of the comments in params.yaml, of the help of each stage, and of what a fault
says. Code takes the section that it needs and nothing more.
"""

import importlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
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

from lib.config.faults import settings_error, unknown_key, validated


class Registered(NamedTuple):
    """Marks a setting that names a part of a registry in a lower room, which is imported once a name is checked.

    Args:
        place: `module:attribute` of the mapping that holds the parts.
        others: names that are allowed besides.
    """

    place: str
    others: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All names that are allowed."""
        module, _, attribute = self.place.partition(":")
        parts: Mapping[str, object] = getattr(importlib.import_module(module), attribute)
        return [*self.others, *parts]

    def check(self, name: str) -> str:
        if name not in self.names:
            raise ValueError(f"must be one of {', '.join(self.names)}")
        return name


PRESENCE_SECONDS = 0.3
"""Seconds of an event that make it present in a window, where nothing else is said."""
Item = TypeVar("Item")
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, BeforeValidator(lambda value: _text(value))]
"""Names may look like numbers, such as 2024, and paths may be given as such."""
Listed = Annotated[list[Item], BeforeValidator(lambda value: _listed(value))]
"""A list, which may be written as one value or with commas between: `raven, json`."""
Plain = BeforeValidator(lambda value: _plain(value))
"""Tuples, ranges and arrays, as code gives them, are lists, as in params.yaml."""
Seconds = Annotated[float, BeforeValidator(lambda value: seconds_of(value)), Field(ge=0)]
"""A time, which may be written as m:ss or h:mm:ss: `1:11` is 71 seconds."""
_READERS, _WRITERS = Registered("lib.formats:READERS", ("auto",)), Registered("lib.formats:WRITERS")
DataSetFormat = Annotated[str, AfterValidator(_READERS.check), _READERS]
LabelFormat = Annotated[str, AfterValidator(_WRITERS.check), _WRITERS]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32", "bf16"]


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
            raise unknown_key(name, value, model.model_fields)
        if (check := _check_of(model, name)) is not None:
            try:
                value = check.validate_python(value)
            except ValidationError as error:
                raise settings_error(error, model, name) from None
        super().__setattr__(name, value)

    def checked(self) -> Self:
        """A copy whose values are known to fit together. Raises SettingsError."""
        return validated(type(self), self.model_dump())


class DataSetSettings(Section):
    """Where labelled recordings are, how they are stored, and which of them to use."""

    path: Text = Field(description="a folder")
    format: DataSetFormat = Field("auto", description="how the annotations are stored")
    include: Text | None = Field(
        None, description='glob on file names without suffix, for example "2024*"; null: all of them'
    )


class DataSettings(Section):
    train: DataSetSettings = Field(
        default_factory=lambda: DataSetSettings(path="data/sample/train"),
        description="labelled recordings to train with",
    )
    test: DataSetSettings = Field(
        default_factory=lambda: DataSetSettings(path="data/sample/test"),
        description="labelled recordings to evaluate with",
    )


class AudioSettings(Section):
    """How sound becomes spectrograms. Frequencies in Hz, durations in seconds, lengths in samples."""

    sampling_rate: Annotated[int, Field(ge=1000, le=1_000_000)] = Field(
        32000, description="Hz; recordings are resampled to it"
    )
    channel: Literal["mix", "first", "cleanest"] = Field(
        "mix", description="of several channels: mix (their mean), first, cleanest (the one with the least noise)"
    )
    spec_duration: Positive = Field(3.0, description="seconds; the window that is classified")
    spec_height: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="frequency bands")
    win_length: Annotated[int, Field(ge=16)] = Field(
        1024, description="samples; window of the short-time Fourier transform"
    )
    hop_length: Count = Field(320, description="samples from one frame to the next")
    freq_scale: Literal["mel", "log", "linear"] = Field("mel", description="how the bands are spaced: mel, log, linear")
    min_freq: NotNegative = Field(50.0, description="Hz")
    max_freq: Positive = Field(15000.0, description="Hz; at most half of sampling_rate")
    decibels: bool = Field(True, description="logarithmic levels; false: amplitudes")
    top_db: Positive = Field(80.0, description="range of levels below the loudest point of a window")
    db_power: Positive = Field(
        1.0, description="exponent of the levels in 0..1; above 1 weakens faint sounds; only with decibels"
    )

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
    def _window_holds_frames(self) -> Self:
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

    def differences(self, wanted: Self) -> str:
        """In which settings these differ from those, such as `spec_height 64 instead of 128`; "" if they are equal."""
        pairs = [(key, getattr(self, key), getattr(wanted, key)) for key in type(self).model_fields]
        return ", ".join(f"{key} {value} instead of {other}" for key, value, other in pairs if value != other)

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


class ExtractSettings(Section):
    overlap: NotNegative = Field(1.5, description="seconds that neighbouring windows share")
    min_seconds: Positive = Field(
        PRESENCE_SECONDS, description="of an event that must lie in a window for the window to get its label"
    )
    background: Fraction = Field(1.0, description="share of the windows without any event that become background")
    workers: Whole = Field(0, description="threads; 0: one for each processor")
    strict: bool = Field(False, description="stop if a recording or an annotation cannot be used")


class OccurrenceSettings(Section):
    path: Text | None = Field(
        "data/sample/occurrences",
        description="a CSV file, an eBird bar chart, or a folder of them; in an empty one, such as data/occurrences, "
        "nothing is filtered",
    )


class TrainSettings(Section):
    multi_label: bool = Field(True, description="false: exactly one class in each window")
    backbone: str = Field("cnn", description="cnn, or the name of any timm model, for example efficientnet_b0")
    head: Literal["pool", "sed"] = Field(
        "pool",
        description="pool: scores whole windows; sed: scores frames, too, and learns them from the labels of windows",
    )
    sed_fps: Annotated[float, Field(gt=0, le=100)] = Field(8.0, description="frames a second that a sed head scores")
    frame_loss_weight: Fraction = Field(0.5, description="share of the frames in the loss of a sed head")
    pretrained: bool = Field(
        False, description="start a timm model from its published weights (needs the internet once)"
    )
    load_checkpoint: Text | None = Field(
        None,
        description="start from the weights of a model trained here, whatever its classes: a file in data/inputs",
    )
    freeze_backbone: bool = Field(False, description="train the head alone")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.2, description="share of the features that are dropped")
    epochs: Count = Field(22, description="passes over the data")
    epoch_windows: Whole = Field(
        1000, description="an epoch shows at least that many windows; small data sets are shown several times"
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(32, description="windows in a batch")
    learning_rate: Positive = Field(0.002, description="its peak")
    weight_decay: NotNegative = Field(0.01, description="of AdamW")
    pos_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0, description="how far the target of a class that is present lies below 1"
    )
    neg_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0, description="how far the target of an absent class lies above 0"
    )
    class_weight_exponent: Fraction = Field(
        0.0, description="0: all classes count alike; 1: inversely to their number of windows"
    )
    spec_group: Text = Field("default", description="group of spectrograms in the training database")
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="share of the recordings held out for validation"
    )
    num_folds: Count = Field(
        1, description="above 1: cross-validation with that many models, each validated on what it did not see"
    )
    save_last_n: Count = Field(1, description="checkpoints of that many last epochs are kept and used as an ensemble")
    average_last_n: Count = Field(1, description="the weights of each checkpoint are averaged over that many epochs")
    threshold_precision: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="for example 0.9: store for each class the score from which validation windows are that precise",
    )
    noise_class: Text | None = Field(
        None, description="a class that is mixed under others as background and is not recognized itself"
    )
    mixup: Fraction = Field(0.5, description="probability that a window is mixed with another")
    background_mix: Fraction = Field(0.3, description="probability that a window is mixed with a background window")
    time_shift: Fraction = Field(1.0, description="probability that a window is rolled in time")
    gain_db: NotNegative = Field(6.0, description="levels change by up to this, either way")
    freq_masks: Whole = Field(1, description="SpecAugment: number of frequency masks")
    freq_mask_bands: Whole = Field(8, description="bands in each of them at most")
    time_masks: Whole = Field(1, description="SpecAugment: number of time masks")
    time_mask_seconds: NotNegative = Field(0.4, description="seconds in each of them at most")
    seed: Seed = Field(1, description="of everything random")
    device: Device = Field("auto", description="auto (a GPU where there is one), cpu, cuda or mps")
    precision: Precision = Field("auto", description="32, bf16, or auto: bf16 where the device is fast at it")
    threads: Count = Field(
        2, description="of the processor, on whose number sums, and so a trained model, depend; no matter on a GPU"
    )
    workers: Whole = Field(0, description="processes that prepare batches; 0: none besides the training itself")


class InferSettings(Section):
    overlap: NotNegative = Field(1.5, description="seconds that neighbouring windows share")
    min_score: Fraction = Field(0.5, description="lowest score of a label")
    class_thresholds: bool = Field(
        True, description="use thresholds that are stored with the model for single classes instead of min_score"
    )
    csv_min_score: Fraction = Field(0.001, description="scores of windows below it count as 0 and are not kept")
    merge_labels: bool = Field(True, description="touching labels of a class become one")
    segment_len: Positive | None = Field(
        None, description="seconds; all labels of a sed model get this length; null: that of the sound"
    )
    quantile: Fraction | None = Field(
        None, description="such a label scores that quantile of its frames; null: the highest of them"
    )
    label_field: Literal["names", "codes", "alt_names", "alt_codes"] = Field(
        "names", description="what classes are called in label files: names, codes, alt_names, alt_codes"
    )
    formats: Listed[LabelFormat] = Field(["audacity"], description="of label files")
    escape_formulas: bool = Field(
        True, description="in CSV files, text that a spreadsheet would take for a formula gets a ' before it"
    )
    exclude: Text | None = Field(None, description="text file in data/inputs with a class a line that is left out")
    start_seconds: Seconds = Field(0.0, description="where to start in each recording, seconds or m:ss")
    initial_offsets: Listed[NotNegative] | None = Field(
        None,
        description="for example [0, 1.0, 2.0]: the models of an ensemble take windows from these times on, none "
        "overlapping",
    )
    scaling_coefficient: Positive | None = Field(
        None, description="Platt scaling of the scores; null: as stored with the model, else none"
    )
    scaling_intercept: float | None = Field(None, description="its intercept")
    region: str | None = Field(
        None,
        description="place by code, for example CA-ON, or guano: as each recording says; classes that do not occur "
        "there get no labels",
    )
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = Field(None, description="or by degrees")
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = Field(None, description="degrees")
    week: Annotated[int, Field(ge=1, le=48)] | Literal["date"] | None = Field(
        None,
        description="1..48 (four weeks a month); date: of the recording (file name, GUANO or WAV comment); null: the "
        "whole year",
    )
    recordings_table: Text | None = Field(
        None,
        description="CSV file in data/inputs with recording and any of latitude, longitude, region, date, which "
        "override the above",
    )
    min_occurrence: Fraction = Field(0.0, description="a class occurs where its value is above this")
    occurrence_factor: Fraction = Field(
        0.0, description="factor of the scores of a class that does not occur; 0: it is left out"
    )
    batch_size: Count = Field(32, description="windows in a batch")
    device: Device = Field("auto", description="auto (a GPU where there is one), cpu, cuda or mps")
    precision: Precision = Field("auto", description="32, bf16, or auto: bf16 where the device is fast at it")
    workers: Whole = Field(0, description="threads; 0: one for each processor")
    strict: bool = Field(False, description="fail if a recording cannot be read")

    @field_validator("formats")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))

    @field_validator("initial_offsets")
    @classmethod
    def _some_offsets(cls, value: list[float] | None) -> list[float] | None:
        return value or None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together; set both or neither")
        if self.region is not None and self.latitude is not None:
            raise ValueError("set region or latitude and longitude, not both")
        if self.week is not None and self.region is None and self.latitude is None and self.recordings_table is None:
            raise ValueError("week needs a place; set region, latitude and longitude, or recordings_table")
        return self


class EvaluateSettings(Section):
    threshold: Fraction = Field(0.5, description="score from which a class counts as found")
    min_seconds: Positive = Field(
        PRESENCE_SECONDS, description="of an event that must lie in a segment for it to count there"
    )
    onset_collar: Positive = Field(
        0.5, description="seconds by which the start of a label may differ from that of the event"
    )
    bootstrap: Whole = Field(200, description="resamplings of the test recordings for 95 % intervals; 0: none")
    seed: Seed = Field(1, description="of the resamplings")


class Parameter(Section):
    """A setting to tune: `section.key`, or a key of train, audio or infer, and the values to try.

    choices: of any kind; or bounds and step: numbers from the first to the second, both included.
    """

    name: str = Field(description="section.key, or a key of train, audio or infer")
    type: Literal["categorical", "int", "float"] = Field("categorical", description="categorical, int or float")
    choices: Annotated[list[Any] | None, Plain] = Field(None, description="the values of a categorical parameter")
    bounds: Annotated[list[float] | None, Plain] = Field(None, description="[lowest, highest] of a number")
    step: Annotated[Positive | None, Plain] = Field(None, description="from one number to the next")

    @field_validator("choices")
    @classmethod
    def _each_once(cls, value: list[Any] | None) -> list[Any] | None:
        return value and list({repr(choice): choice for choice in value}.values())

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if self.type == "categorical" and not self.choices:
            raise ValueError(f"{self.name}: give choices, a list of the values to try")
        if self.type != "categorical":
            if self.bounds is None or len(self.bounds) != 2 or self.step is None:
                raise ValueError(f"{self.name}: give bounds, [lowest, highest], and step")
            if self.bounds[0] > self.bounds[1]:
                raise ValueError(f"{self.name}: bounds must be [lowest, highest]")
        return self


TuneMetric = Literal["macro_pr", "micro_pr", "macro_roc", "micro_roc", "combo_pr", "combo_roc"]


class TuneSettings(Section):
    metric: TuneMetric = Field("macro_pr", description=f"what to maximize: {', '.join(get_args(TuneMetric))}")
    trials: Whole = Field(0, description="combinations to try, at random; 0: all of them")
    runs: Count = Field(1, description="trainings a trial, with other seeds, whose scores are averaged")
    storage: str = Field(
        "sqlite:///data/tuning.db", description="of the study, which is resumed; several machines may share one"
    )
    study: str = Field("earshot", description="its name")
    space: Annotated[list[Parameter], Plain] = Field(
        [],
        description="for example [{name: train.dropout, type: float, bounds: [0.0, 0.4], step: 0.2}, "
        "{name: train.head, choices: [pool, sed]}]",
    )


class TrackingSettings(Section):
    uri: str | None = Field(
        None, description="of the MLflow store; null: MLFLOW_TRACKING_URI, else mlflow.db in the project's folder"
    )
    experiment: str = Field("earshot", description="name of the MLflow experiment")
    log_model: bool = Field(True, description="keep the model in each MLflow run")


class Settings(Section):
    """All of params.yaml."""

    data: DataSettings = Field(default_factory=DataSettings)
    audio: AudioSettings = Field(
        default_factory=AudioSettings,
        description="how sound becomes spectrograms; a trained model keeps the values that it was trained with",
    )
    extract: ExtractSettings = Field(default_factory=ExtractSettings)
    occurrences: OccurrenceSettings = Field(default_factory=OccurrenceSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    infer: InferSettings = Field(default_factory=InferSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    tune: TuneSettings = Field(default_factory=TuneSettings, description="python -m stages.tune")
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)

    @model_validator(mode="after")
    def _fits_the_window(self) -> Self:
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


@lru_cache
def _check_of(model: type[Section], name: str) -> TypeAdapter | None:
    """What checks a value of a key by itself; None for a section, and for what is no key."""
    field = model.model_fields.get(name)
    if field is None or (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
        return None
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


class YamlLoader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 and DVC do; PyYAML follows YAML 1.1, to which it is text."""


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


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


def seconds_of(value: Any) -> Any:
    """Seconds of a text like 71, 1:11 or 0:01:11; other values as they are. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", value.strip()):
        raise ValueError("must be seconds, m:ss or h:mm:ss")
    return sum(float(part) * 60**i for i, part in enumerate(reversed(value.strip().split(":"))))
