"""Frontends: what turns the sound of windows into what a backbone sees. They have no weights that are learnt.

To add one, add a module here, and its name to FRONTENDS and to lib.config.setting_values.Frontend. All but `mel` take
waveforms; see lib.audio.spectrogram_tensors for their lengths.
"""

import difflib
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from lib.config.schema import AudioSettings
from lib.core.errors import SettingsError
from lib.core.part_registry import one_of


class Frontend(nn.Module):
    """A frontend for windows of audio settings.

    Attributes:
        takes: `spectrograms`, float32 (n, spec_height, spec_width) in 0..1, or `waveforms`, float32 (n, samples).
        gives: `images`, float32 (n, n_channels, height, width), low frequency first, or `waveforms`.
        has_margins: whether it hears the margins of waveforms.
        silence: what it gives where there is no sound.
        n_channels, height: of the images.
    """

    takes: ClassVar[str] = "waveforms"
    gives: ClassVar[str] = "images"
    has_margins: ClassVar[bool] = False
    silence: ClassVar[float] = 0.0
    n_channels: int = 1
    height: int

    def __init__(self, audio: AudioSettings) -> None:
        super().__init__()
        self.audio, self.height = audio, audio.spec_height

    def forward(self, inputs: Tensor) -> Tensor:
        """What the backbone sees of windows. Computes in float32, also under autocast."""
        with torch.autocast(inputs.device.type, enabled=False):
            return self.compute(inputs.float())

    def compute(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def example(self) -> Tensor:
        """The input of one window, silent: spectrograms (1, height, width) or waveforms (1, samples)."""
        if self.takes == "spectrograms":
            return torch.zeros(1, self.audio.spec_height, self.audio.spec_width)
        return torch.zeros(1, self.audio.window_samples + 2 * self.audio.margin * self.has_margins)

    def add_constant(self, name: str, values: Tensor) -> None:
        """Keep a tensor that follows from the settings: it moves with the module, but checkpoints do not hold it."""
        self.register_buffer(name, values, persistent=False)


def _mel(audio: AudioSettings) -> Frontend:
    from lib.models.frontends.mel_spectrogram import MelSpectrogram

    return MelSpectrogram(audio)


def _mfcc(audio: AudioSettings) -> Frontend:
    from lib.models.frontends.mfcc import Mfcc

    return Mfcc(audio)


def _multi(audio: AudioSettings) -> Frontend:
    from lib.models.frontends.multi_spectrogram import MultiSpectrogram

    return MultiSpectrogram(audio)


def _ast(audio: AudioSettings) -> Frontend:
    from lib.models.frontends.ast_filter_bank import AstFilterBank

    return AstFilterBank(audio)


def _waveform(audio: AudioSettings) -> Frontend:
    from lib.models.frontends.raw_waveform import RawWaveform

    return RawWaveform(audio)


def _wavelet(audio: AudioSettings) -> Frontend:
    from lib.models.frontends.scalogram import Scalogram

    return Scalogram(audio)


FRONTENDS: dict[str, Callable[[AudioSettings], Frontend]] = {
    "mel": _mel,
    "mfcc": _mfcc,
    "multi": _multi,
    "ast": _ast,
    "waveform": _waveform,
    "wavelet": _wavelet,
}
"""How the frontend of each name is made. They are imported then, where lib.core.code_digest finds them."""


def make_frontend(name: str, audio: AudioSettings) -> Frontend:
    """The frontend of a name. Raises SettingsError if there is none."""
    if name not in FRONTENDS:
        close = difflib.get_close_matches(name, FRONTENDS, 1)
        raise SettingsError(f"frontend {name!r}", one_of(FRONTENDS), f"did you mean {close[0]}?" if close else "")
    return FRONTENDS[name](audio)
