"""The settings: a typed section for each part of params.yaml, and for each setting its default and what it means.

What is written here is the one source of the comments in params.yaml, of the help of each stage, and of what a fault
says. Code takes the section that it needs and nothing more.
"""

import importlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from lib.config.faults import Conflict, Conflicts, settings_error, unknown_key, validated
from lib.config.setting_values import (
    AUGMENTATIONS,
    ONNX,
    Backbone,
    Count,
    DataSetFormat,
    Device,
    Fraction,
    Frontend,
    Head,
    LabelFormat,
    Listed,
    Loss,
    Maybe,
    Metric,
    NotNegative,
    Plain,
    Positive,
    Precision,
    Registered,
    Schedule,
    Seconds,
    Seed,
    Text,
    Whole,
)

PRESENCE_SECONDS = 0.3
"""Seconds of an event that make it present in a window, where nothing else is said."""


class Section(BaseModel):
    """A section of params.yaml: unknown keys and silent conversions are refused, also when a value is set in code.

    A value that is set is checked by itself; checked() also checks it against the others, see `conflicts`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    moved: ClassVar[dict[str, str]] = {}
    """Settings of earlier versions, and what they are called now."""

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
            value = value.item()
        model = type(self)
        if not hasattr(model, name) and name not in model.model_fields:
            raise unknown_key(name, value, model.model_fields, model.moved)
        if (check := _check_of(model, name)) is not None:
            try:
                value = check.validate_python(value)
            except ValidationError as error:
                raise settings_error(error, model, name) from None
        super().__setattr__(name, value)

    def conflicts(self) -> Iterator[Conflict]:
        """The values, each valid by itself, that do not fit together."""
        yield from ()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if conflicts := list(self.conflicts()):
            raise Conflicts(conflicts)
        return self

    def checked(self) -> Self:
        """A copy whose values are known to fit together. Raises SettingsError."""
        return validated(type(self), self.model_dump())


class DataSetSettings(Section):
    """Where labelled recordings are, how they are stored, and which of them to use."""

    path: Text = Field(description="a folder; for csv and openmic, a table will do")
    format: DataSetFormat = Field("auto", description="how the annotations are stored")
    include: Maybe[Text] = Field(
        None, description='glob on file names without suffix, for example "2024*"; empty: all of them'
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
    decisions: Text = Field(
        "data/decisions.csv", description="what people decided about sounds of both, applied to their annotations"
    )
    reviewed: Text = Field(
        "data/reviewed", description="recordings without annotations, of which training takes what was decided"
    )
    scenarios: Text = Field(
        "data/scenarios", description="parts of test recordings that evaluate scores separately, a table each"
    )


class AudioSettings(Section):
    """How sound becomes spectrograms. Frequencies in Hz, durations in seconds, lengths in samples."""

    sampling_rate: Annotated[int, Field(ge=1000, le=1_000_000)] = Field(
        32000, description="Hz; recordings are resampled to it"
    )
    channel: Literal["mix", "first", "cleanest"] = Field(
        "mix", description="which of several channels: mix (their mean), first, cleanest (the one with the least noise)"
    )
    spec_duration: Annotated[float, Field(gt=0, le=3600)] = Field(
        3.0, description="seconds; length of the windows that are classified"
    )
    spec_height: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="number of frequency bands")
    win_length: Annotated[int, Field(ge=16)] = Field(
        1024, description="samples; window of the short-time Fourier transform"
    )
    hop_length: Count = Field(320, description="samples from one frame to the next")
    freq_scale: Literal["mel", "log", "linear"] = Field("mel", description="how the bands are spaced: mel, log, linear")
    min_freq: NotNegative = Field(50.0, description="Hz; lowest frequency of the bands")
    max_freq: Positive = Field(15000.0, description="Hz; highest frequency of the bands, at most half of sampling_rate")
    decibels: bool = Field(True, description="logarithmic levels; false: amplitudes")
    top_db: Positive = Field(80.0, description="range of levels below the loudest point of a window")
    db_power: Positive = Field(
        1.0, description="exponent of the levels in 0..1; above 1 weakens faint sounds; only with decibels"
    )

    def conflicts(self) -> Iterator[Conflict]:
        if self.hop_length > self.win_length:
            fault = f"must be at most audio.win_length ({self.win_length} samples)"
            yield Conflict("hop_length", self.hop_length, fault, ("win_length",))
        nyquist = self.sampling_rate / 2
        if self.max_freq > nyquist:
            fault = f"must be at most half of audio.sampling_rate ({nyquist:g} Hz)"
            yield Conflict("max_freq", self.max_freq, fault, ("sampling_rate",))
        if self.max_freq <= self.min_freq:
            fault = f"must be above audio.min_freq ({self.min_freq:g} Hz)"
            yield Conflict("max_freq", self.max_freq, fault, ("min_freq",))
        if self.spec_width < 8:
            fault = f"holds {self.spec_width} frames of hop_length {self.hop_length} samples; at least 8 are needed"
            yield Conflict("spec_duration", self.spec_duration, fault, ("hop_length", "sampling_rate"))
        if self.freq_scale == "log" and self.min_freq < 1:
            yield Conflict("min_freq", self.min_freq, "must be at least 1 Hz with freq_scale log", ("freq_scale",))

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    @property
    def needed_rate(self) -> float:
        """Hz; a recording of a lower sampling rate holds less than half of the band."""
        return self.min_freq + self.max_freq

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

    @property
    def window_samples(self) -> int:
        """Samples of a window of spec_duration seconds."""
        return round(self.spec_duration * self.sampling_rate)

    @property
    def margin(self) -> int:
        """Samples that the first frame of a window hears before it, and the last one, at most, after it."""
        return self.win_length // 2


class ExtractSettings(Section):
    overlap: NotNegative = Field(1.5, description="seconds that neighbouring windows share")
    min_seconds: Positive = Field(
        PRESENCE_SECONDS, description="seconds of an event that must lie in a window for the window to get its label"
    )
    background: Fraction = Field(1.0, description="share of the windows without any event that become background")
    sound: bool = Field(
        False, description="keep the sound of each window, too, for train.frontend and augmentations that need it"
    )
    workers: Whole = Field(0, description="threads; 0: one for each processor")
    strict: bool = Field(False, description="stop if a recording or an annotation cannot be used")


class OccurrenceSettings(Section):
    path: Maybe[Text] = Field(
        "data/occurrences",
        description="where and when classes occur: a CSV file, an eBird bar chart, or a folder of them",
    )


class AugmentationSettings(Section):
    """An entry of train.augmentations. Each name has a class of its own in lib.audio.augment, which adds settings."""

    name: str
    probability: Fraction = Field(1.0, description="that a window is changed")


def _read_augmentations(value: Any) -> Any:
    """Entries as the classes of their names. Imports these late: they extend what is here."""
    return importlib.import_module("lib.audio.augment").read_augmentations(value)


Augmentations = Annotated[
    list[SerializeAsAny[AugmentationSettings]], BeforeValidator(_read_augmentations), AUGMENTATIONS
]


class TrainSettings(Section):
    moved: ClassVar[dict[str, str]] = {
        "mixup": "train.augmentations.mixup.probability",
        "background_mix": "train.augmentations.background_mix.probability",
        "time_shift": "train.augmentations.time_shift.probability",
        "gain_db": "train.augmentations.gain.max_db",
        "freq_masks": "train.augmentations.freq_mask.masks",
        "freq_mask_bands": "train.augmentations.freq_mask.bands",
        "time_masks": "train.augmentations.time_mask.masks",
        "time_mask_seconds": "train.augmentations.time_mask.seconds",
    }

    multi_label: bool = Field(True, description="false: exactly one class in each window")
    frontend: Frontend = Field(
        "mel",
        description="what the backbone sees: mel (spectrograms, as audio says), mfcc (cepstral coefficients of them), "
        "multi (mel, chroma and mfcc as channels), ast (log filter bank of the Audio Spectrogram Transformer), wavelet "
        "(scalogram) or waveform (the sound itself, for such backbones); all but mel need extract.sound",
    )
    backbone: Backbone = Field(
        "cnn",
        description="the name of any timm model, for example efficientnet_b0; onnx:FILE, an ONNX model that gives "
        "embeddings, with a YAML file beside it, in data/inputs; or one of",
    )
    width_factor: Annotated[float, Field(gt=0, le=8)] = Field(
        1.0, description="the backbone's channels times that; below 1: a smaller network"
    )
    depth_factor: Annotated[float, Field(gt=0, le=8)] = Field(1.0, description="the backbone's layers times that")
    head: Head = Field(
        "pool",
        description="pool: scores whole windows, deep: with a hidden layer, attention: by the frames that matter; sed: "
        "scores frames, too, and learns them from the labels of windows",
    )
    sed_fps: Annotated[float, Field(gt=0, le=100)] = Field(8.0, description="frames a second that a sed head scores")
    frame_loss_weight: Fraction = Field(0.5, description="share of the frames in the loss of a sed head")
    pretrained: bool | Annotated[str, Field(min_length=1)] = Field(
        False,
        description="start the backbone from its published weights, which are downloaded once; or from a file of "
        "weights in data/inputs (.safetensors, .pth), or from a folder that published ones were downloaded to",
    )
    load_checkpoint: Maybe[Text] = Field(
        None,
        description="start from the weights of a model trained here, whatever its classes: a file in data/inputs, or "
        "registry:NAME@ALIAS",
    )
    freeze_backbone: bool = Field(
        False,
        description="train the head alone; with pretrained also the CNN of wav2vec_cnn, which published weights lack",
    )
    embed_once: bool = Field(
        True,
        description="an ONNX backbone computes its embeddings once, of windows as they are; false: in each epoch, of "
        "augmented windows",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.2, description="share of the features that are dropped")
    quick: bool = Field(
        False,
        description="try whether the settings work: train and validate with 16 windows of each class, whatever "
        "epoch_windows says",
    )
    epochs: Count = Field(22, description="passes over the data")
    epoch_windows: Whole = Field(
        1000, description="an epoch shows at least that many windows; small data sets are shown several times"
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(32, description="windows in a batch")
    optimizer: Text = Field("adamw", description="adam, adamw, or the name of any optimizer of timm, for example lamb")
    learning_rate: Positive | Literal["auto"] = Field(
        0.002, description="highest learning rate, after the warm-up; auto: what find_lr suggests"
    )
    schedule: Schedule = Field(
        "cosine",
        description="after the warm-up: cosine (down to 0), one_cycle (the warm-up is a half cosine, too), plateau "
        "(down where metric gets no better) or constant",
    )
    warm_up: Fraction = Field(0.15, description="share of the steps in which the learning rate rises")
    start_rate: NotNegative = Field(0.0, description="learning rate from which it rises")
    plateau_epochs: Count = Field(3, description="plateau: epochs without a better metric after which the rate falls")
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="plateau: to that share of it")
    weight_decay: NotNegative = Field(0.01, description="weight decay")
    metric: Metric = Field(
        "val_loss",
        description="by which epochs are compared: val_loss, val_macro_pr, val_macro_roc or, at a score of 0.5, val_f1 "
        "(mean over classes) or val_hamming (share of right pairs of window and class)",
    )
    metric_mode: Literal["auto", "min", "max"] = Field("auto", description="which is better; auto: min for val_loss")
    keep: Literal["last", "best"] = Field("last", description="the weights of which epoch are kept")
    stop_after: Whole = Field(0, description="stop after that many epochs without a better metric; 0: never")
    head_epochs: Whole = Field(0, description="first epochs, in which the head is trained alone")
    backbone_after: Maybe[Text] = Field(
        None,
        description="train the backbone only from that layer on, such as stages.3 (it must start trained); "
        "empty: all of it",
    )
    drop_path: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the blocks of a timm model that are skipped (stochastic depth)"
    )
    pos_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0, description="how far the target of a class that is present lies below 1"
    )
    neg_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0, description="how far the target of an absent class lies above 0"
    )
    loss: Loss = Field(
        "cross_entropy",
        description="what training lowers: cross_entropy, cross_entropy_pos_weight (rare classes count more where they "
        "are present), focal_loss (hard windows count more), focal_loss_pos_weight, family_loss (the categories of "
        "classes.csv are learnt, too)",
    )
    focal_gamma: NotNegative = Field(2.0, description="how much more hard windows count in focal losses")
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
    threshold_precision: Maybe[Annotated[float, Field(gt=0, lt=1)]] = Field(
        None,
        description="for example 0.9: store for each class the score from which validation windows are that precise",
    )
    noise_class: Maybe[Text] = Field(
        None, description="a class that is mixed under others as background and is not recognized itself"
    )
    augmentations: Augmentations = Field(
        ["time_shift", "mixup", "background_mix", "gain", "freq_mask", "time_mask"],  # type: ignore[list-item]
        validate_default=True,
        description="what is changed in windows that train, in this order: names, or mappings of a name and settings",
    )
    seed: Seed = Field(1, description="seed of all that is random")
    device: Device = Field("auto", description="auto (a GPU where there is one), cpu, cuda or mps")
    precision: Precision = Field("auto", description="32, bf16, or auto: bf16 where the device is fast at it")
    threads: Count = Field(
        2, description="threads of the processor; trained models depend on their number, except on a GPU"
    )
    workers: Whole = Field(0, description="processes that prepare batches; 0: none besides the training itself")

    @property
    def embeds_once(self) -> bool:
        """Whether windows are embedded as they are, so that augmentations have no effect."""
        return self.onnx_file is not None and self.embed_once

    @property
    def onnx_file(self) -> str | None:
        """The ONNX file that backbone names; None if it names none."""
        return self.backbone.removeprefix(ONNX) if self.backbone.startswith(ONNX) else None

    def conflicts(self) -> Iterator[Conflict]:
        compares = self.keep == "best" or self.stop_after > 0 or self.schedule == "plateau"
        if compares and self.val_fraction == 0 and self.num_folds == 1:
            fault = "must be above 0 where epochs are compared (keep, stop_after, plateau)"
            yield Conflict("val_fraction", self.val_fraction, fault, ("keep", "stop_after", "schedule"))
        if self.keep == "best" and (self.save_last_n > 1 or self.average_last_n > 1):
            fault = "must be last where several epochs are kept or averaged"
            yield Conflict("keep", self.keep, fault, ("save_last_n", "average_last_n"))
        if self.freeze_backbone and (self.head_epochs or self.backbone_after is not None):
            fault = "must be false where the backbone is trained later, or in part"
            yield Conflict("freeze_backbone", self.freeze_backbone, fault, ("head_epochs", "backbone_after"))
        start = ("pretrained", "load_checkpoint", "backbone")
        if not self.pretrained and self.load_checkpoint is None and self.onnx_file is None:
            remedy = "set train.load_checkpoint or train.pretrained too"
            if self.freeze_backbone:
                fault = f"a backbone with random weights would never learn; {remedy}"
                yield Conflict("freeze_backbone", self.freeze_backbone, fault, start)
            if self.backbone_after is not None:
                fault = f"layers with random weights before it would never learn; {remedy}"
                yield Conflict("backbone_after", self.backbone_after, fault, start)


class InferSettings(Section):
    model: Maybe[Text] = Field(
        None,
        description="model to use instead of data/models: a checkpoint or folder in data/inputs, or "
        "registry:NAME@ALIAS or registry:NAME/VERSION",
    )
    overlap: NotNegative = Field(1.5, description="seconds that neighbouring windows share")
    min_score: Fraction = Field(0.5, description="lowest score of a label")
    class_thresholds: bool = Field(
        True, description="use thresholds that are stored with the model for single classes instead of min_score"
    )
    csv_min_score: Fraction = Field(0.001, description="scores of windows below it count as 0 and are not kept")
    merge_labels: bool = Field(True, description="touching labels of a class become one")
    segment_len: Maybe[Positive] = Field(
        None, description="seconds; length of all labels of a sed model; empty: that of the sound"
    )
    quantile: Maybe[Fraction] = Field(
        None, description="labels of segment_len score that quantile of their frames; empty: the highest of them"
    )
    label_field: Literal["names", "codes", "alt_names", "alt_codes"] = Field(
        "names", description="what classes are called in label files: names, codes, alt_names, alt_codes"
    )
    formats: Listed[LabelFormat] = Field(["audacity"], description="of the label files")
    escape_formulas: bool = Field(
        True, description="in CSV files, text that a spreadsheet would take for a formula gets a ' before it"
    )
    exclude: Maybe[Text] = Field(
        None, description="text file in data/inputs that lists classes to leave out, one per line"
    )
    start_seconds: Seconds = Field(0.0, description="where to start in each recording, seconds or m:ss")
    initial_offsets: Maybe[Listed[NotNegative]] = Field(
        None,
        description="for example [0, 1.0, 2.0]: the models of an ensemble take windows from these times on, none "
        "overlapping",
    )
    scaling_coefficient: Maybe[Positive] = Field(
        None, description="Platt scaling of the scores; empty: as stored with the model, else none"
    )
    scaling_intercept: Maybe[float] = Field(None, description="intercept of that scaling")
    region: Maybe[str] = Field(
        None,
        description="place by code, for example CA-ON, or guano: as each recording says; classes that do not occur "
        "there get no labels",
    )
    latitude: Maybe[Annotated[float, Field(ge=-90, le=90)]] = Field(
        None, description="degrees; of the place, with longitude, instead of region"
    )
    longitude: Maybe[Annotated[float, Field(ge=-180, le=180)]] = Field(
        None, description="degrees; of the place, with latitude"
    )
    week: Maybe[Annotated[int, Field(ge=1, le=48)] | Literal["date"]] = Field(
        None,
        description="1..48 (four weeks a month); date: of the recording (file name, GUANO or WAV comment); empty: the "
        "whole year",
    )
    recordings_table: Maybe[Text] = Field(
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

    def conflicts(self) -> Iterator[Conflict]:
        place, degrees = (self.region, self.latitude, self.recordings_table), ("latitude", "longitude")
        if (self.latitude is None) != (self.longitude is None):
            yield Conflict("", None, "latitude and longitude go together; set both or neither", degrees)
        if self.region is not None and self.latitude is not None:
            yield Conflict("", None, "set region or latitude and longitude, not both", ("region", *degrees))
        if self.week is not None and not any(value is not None for value in place):
            fault = "needs a place; set region, latitude and longitude, or recordings_table"
            yield Conflict("week", self.week, fault, ("region", "recordings_table", *degrees))


class EvaluateSettings(Section):
    threshold: Fraction = Field(0.5, description="score from which a class counts as found")
    min_seconds: Positive = Field(
        PRESENCE_SECONDS, description="seconds of an event that must lie in a segment for it to count there"
    )
    onset_collar: Positive = Field(
        0.5, description="seconds by which the start of a label may differ from that of the event"
    )
    bootstrap: Whole = Field(200, description="resamplings of the test recordings for 95 % intervals; 0: none")
    seed: Seed = Field(1, description="seed of the resamplings")


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
        "sqlite:///data/tuning.db", description="address of the study's database; several machines may share one"
    )
    study: str = Field("earshot", description="name of the study, which is resumed")
    space: Annotated[list[Parameter], Plain] = Field(
        [],
        description="for example [{name: train.dropout, type: float, bounds: [0.0, 0.4], step: 0.2}, "
        "{name: train.head, choices: [pool, sed]}]",
    )


class TrackingSettings(Section):
    uri: Maybe[str] = Field(
        None,
        description="address of the MLflow store; empty: MLFLOW_TRACKING_URI, else mlflow.db in the project's folder",
    )
    experiment: str = Field("earshot", description="name of the MLflow experiment")
    log_model: bool = Field(True, description="keep the model in each MLflow run")
    register_as: Maybe[Text] = Field(
        "earshot", description="name under which evaluate registers the model of each MLflow run; empty: it does not"
    )
    allow_private_addresses: bool = Field(
        False, description="import models also from private addresses, such as localhost or a laboratory's own server"
    )


class NetworkSettings(Section):
    """Where a server listens, and who may use it."""

    host: Text = Field("localhost", description="address to listen on; 0.0.0.0: all of the machine's")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8090, description="port; 0: any that is free")
    allowed_hosts: Listed[Text] = Field(
        [], description='names by which clients may call the server, besides host and localhost; "*": any'
    )
    token_file: Maybe[Text] = Field(
        None,
        description="file with the bearer token that requests must carry; empty: EARSHOT_TOKEN in the environment, "
        "else none",
    )
    upload_timeout: Positive = Field(60.0, description="seconds in which a request must arrive")
    max_requests: Count = Field(
        64, description="requests for scores or sound at a time; any more are told to come back (429)"
    )
    shutdown_timeout: Count = Field(10, description="seconds that requests get to finish when the server is stopped")


class ServeSettings(NetworkSettings):
    model_dir: Text = Field(
        "data/models", description="folder of the models (.pt) that requests may name, or registry:NAME@ALIAS"
    )
    data_dir: Text = Field("data", description="folder of the recordings that requests may name")
    max_upload_mb: Positive = Field(100.0, description="MB of an upload, at most")
    max_files: Count = Field(16, description="files of an upload, at most")
    max_seconds: Positive = Field(3600.0, description="seconds of an uploaded recording, at most")
    timeout: Positive = Field(
        120.0,
        description="seconds until a request is answered with 503; in a stream, how long a recording may stall",
    )
    max_models: Count = Field(2, description="models that stay loaded")
    workers: Whole = Field(0, description="processes that decode recordings; 0: one for each processor")
    decoder_memory_mb: Annotated[int, Field(ge=64)] = Field(1024, description="MB that decoding a recording may take")
    decoder_seconds: Count = Field(60, description="seconds of processor time that decoding a recording may take")
    add_instrument_metrics: bool = Field(False, description="test-directory gives the metrics of each class, too")


class ReviewSettings(NetworkSettings):
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8091, description="port; 0: any that is free")
    context: Seconds = Field(1.5, description="seconds shown before and after a sound")
    export_dir: Text = Field("data/clips", description="folder that chosen sounds are exported to")


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
    serve: ServeSettings = Field(default_factory=ServeSettings, description="python -m stages.serve")
    review: ReviewSettings = Field(default_factory=ReviewSettings, description="python -m stages.review")

    def conflicts(self) -> Iterator[Conflict]:
        length, because = self.audio.spec_duration, ("audio.spec_duration",)
        for key, value in (("extract.overlap", self.extract.overlap), ("infer.overlap", self.infer.overlap)):
            if value >= length:
                yield Conflict(key, value, f"must be below audio.spec_duration ({length:g} s)", because)
        for key, value in (
            ("extract.min_seconds", self.extract.min_seconds),
            ("evaluate.min_seconds", self.evaluate.min_seconds),
        ):
            if value > length:
                yield Conflict(key, value, f"must be at most audio.spec_duration ({length:g} s)", because)


def section_model(path: str) -> type[Section]:
    """The section at a path such as `data.test`, or a part's settings, such as `train.augmentations.mixup`; "": all
    settings. Raises KeyError if there is none, SettingsError if there is no such part."""
    model: Any = Settings
    parts: Any = None
    for name in filter(None, path.split(".")):
        if parts is not None:
            model, parts = parts[name], None
            continue
        field = model.model_fields[name]
        if get_origin(field.annotation) is list:
            parts = next((marker.parts for marker in field.metadata if isinstance(marker, Registered)), None)
        if parts is not None:
            continue
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, Section)):
            raise KeyError(path)
    if parts is not None:
        raise KeyError(path)
    return model


@lru_cache
def _check_of(model: type[Section], name: str) -> TypeAdapter | None:
    """What checks a value of a key by itself; None for a section, and for what is no key."""
    field = model.model_fields.get(name)
    if field is None or (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
        return None
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
