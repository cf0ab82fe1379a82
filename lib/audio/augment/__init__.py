"""Augmentation: each kind is a module here, with a class of settings that is registered under the name of the kind.

To add one, add a module that registers a Transform; settings, help and error messages follow. Its import must be cheap,
for params.yaml is checked against all of them: what needs torch imports it in its functions.

All work on whole batches, on the device that these are on, and draw from torch's generators, for each window anew.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from lib.config.faults import Faults, FaultyParts, checked
from lib.config.named_parts import read_names
from lib.config.schema import AudioSettings, AugmentationSettings
from lib.core.errors import SettingsError
from lib.core.part_registry import Registry, one_of

if TYPE_CHECKING:
    from torch import Tensor

Domain = Literal["waveforms", "spectrograms"]


class Batch(NamedTuple):
    """Windows that are augmented together.

    Args:
        x: float32, waveforms (n, samples) in -1..1, which may begin a little before the window and end after it, or
            spectrograms (n, channels, height, width).
        y: targets (n, n_classes).
        background: as x, windows without any class; None: there are none.
        alone: bool (n,), windows that are not mixed with others; None: all may be.
        audio: how sound is sampled and becomes spectrograms.
        multi_label: whether the classes of sounds that are mixed all hold; else each has its share.
        silence: what x is where there is no sound.
        prepared: what each augmentation prepared, by its name, on the CPU.
    """

    x: "Tensor"
    y: "Tensor"
    background: "Tensor | None"
    alone: "Tensor | None"
    audio: AudioSettings
    multi_label: bool
    silence: float = 0.0
    prepared: "Mapping[str, Tensor | None]" = MappingProxyType({})

    @property
    def points_per_second(self) -> float:
        """Samples of a waveform, or frames of a spectrogram, in a second."""
        if self.x.dim() == 2:
            return self.audio.sampling_rate
        return self.x.shape[-1] / self.audio.spec_duration


class Transform(AugmentationSettings):
    """An augmentation with its settings.

    Attributes:
        domains: what it works on. What works on both is applied to waveforms wherever training has these, but see
            prefers_spectrograms.
        of_levels: of spectrograms it needs levels, before db_power is applied.
        prefers_spectrograms: it works on both, and is applied to spectrograms where these are what the network takes.
            They are normalized to their loudest point: this would hide what it did to a waveform, or raise the rest.
        is_last: after all others of waveforms, wherever it stands in the list. It alone does not make training read
            sound.
    """

    domains: ClassVar[tuple[Domain, ...]] = ("waveforms", "spectrograms")
    of_levels: ClassVar[bool] = False
    prefers_spectrograms: ClassVar[bool] = False
    is_last: ClassVar[bool] = False

    @property
    def needs_background(self) -> bool:
        """Whether it needs windows without any class."""
        return False

    def check_background(self, n_windows: int) -> None:
        """Raise SettingsError if it cannot work with that many windows without any class."""

    def files(self) -> list[Path]:
        """Files that it reads. Raises SettingsError if they are missing."""
        return []

    def code(self) -> list[str]:
        """What it computes with, as entries for lib.core.code_digest."""
        methods = [name for name in ("__call__", "changed", "prepare") if name in vars(type(self))]
        return [f"{type(self).__module__}:{type(self).__name__}.{name}" for name in methods]

    def traits(self) -> dict[str, Any]:
        """Class attributes that decide how it is applied."""
        return {name: getattr(self, name) for name in Transform.__annotations__}

    def prepare(self, audio: AudioSettings) -> "Tensor | None":
        """What it needs besides the batches, see Batch.prepared; None: nothing. Raises SettingsError."""
        return None

    def __call__(self, batch: Batch) -> Batch:
        """The batch with each window changed with that probability; none is if it lacks the background needed."""
        import torch

        x = batch.x
        if self.needs_background and batch.background is None:
            return batch
        if self.probability == 1:
            return batch._replace(x=self.changed(x, batch))
        chosen = (torch.rand(len(x), device=x.device) < self.probability).nonzero().squeeze(1)
        if not len(chosen):
            return batch
        return batch._replace(x=x.index_copy(0, chosen, self.changed(x[chosen], batch)))

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        """Some windows of the batch, changed; as many, and of the same shape."""
        raise NotImplementedError


AUGMENTATIONS: Registry[type[Transform]] = Registry("augmentation", __name__)
SYNONYMS = {
    "add_real_noise": "background_mix",
    "add_white_noise": "white_noise",
    "colored_noise": "color_noise",
    "equalizer": "seven_band_eq",
    "flip": "timeinv",
    "flip_horizontal": "timeinv",
    "freq_blur": "blur",
    "hide_random_pixels": "random_pixels",
    "loudness_normalization": "norm_after_time_augs",
    "reverse": "timeinv",
    "shift_horizontal": "time_shift",
    "simple_merge": "mixup",
    "time_inversion": "timeinv",
}
"""What augmentations are called elsewhere, for the hint of an error."""


def read_augmentations(value: Any) -> list[Any]:
    """Entries of train.augmentations, given as names or as mappings of a name and settings, as Transforms.

    Raises FaultyParts, or ValueError if it is not a list.
    """
    if isinstance(value, str):
        value = read_names(value)
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of names, or of mappings of a name and settings")
    faults: Faults = {}
    transforms = [_read_augmentation(entry, faults) for entry in value]
    names = [transform.name for transform in transforms if transform is not None]
    for name in {name for name in names if names.count(name) > 1}:
        faults[name] = name, "is given twice; keep one of them"
    if faults:
        raise FaultyParts(faults)
    return transforms


def _read_augmentation(entry: Any, faults: Faults) -> Transform | None:
    """An entry as a Transform; or None, and what is wrong with it is added to the faults."""
    if isinstance(entry, Transform):
        return entry
    name = entry.get("name") if isinstance(entry, dict) else entry
    if not isinstance(name, str):
        faults[str(entry)] = repr(entry), "must be a name, or a mapping of name and settings"
    elif name not in AUGMENTATIONS:
        faults[name] = name, f"{one_of(AUGMENTATIONS)}{_hint(name)}"
    else:
        transform, wrong = checked(AUGMENTATIONS[name], entry if isinstance(entry, dict) else {"name": name})
        faults |= {f"{name}.{key}": (f"{name}.{subject}", text) for key, (subject, text) in wrong.items()}
        return transform
    return None


def _hint(name: str) -> str:
    name = name.lower()
    close = difflib.get_close_matches(name, [*AUGMENTATIONS, *SYNONYMS], 1)
    return f"; did you mean {SYNONYMS.get(close[0], close[0])}?" if close else ""


def register(name: str, transform: type[Transform]) -> None:
    """Register an augmentation under its name."""
    AUGMENTATIONS.register(name, transform)


def unusable(transform: Transform, fault: str, remedy: str) -> SettingsError:
    """The error for an augmentation that cannot be used here."""
    return SettingsError(f"train.augmentations.{transform.name}", fault, remedy)
