"""Three views of a sound as the channels of an image: mel spectrogram, chroma and MFCC."""

import librosa
import torch
from torch import Tensor

from lib.config.schema import AudioSettings
from lib.models.frontends.mfcc import Mfcc

PITCH_CLASSES = 12
FAINTEST = 1e-18
"""Power of the strongest pitch class below which a frame has no pitch."""


class MultiSpectrogram(Mfcc):
    """Channels (n, 3, spec_height, spec_width): the spectrogram in decibels in 0..1, chroma in 0..1, and MFCC.

    Chroma (Ellis, Chroma Feature Analysis and Synthesis, 2007) is the power of each of twelve pitch classes, from C up,
    over that of the strongest one of the frame, as librosa.feature.chroma_stft gives it with tuning=0; each pitch class
    takes as many neighbouring rows as fit.
    """

    n_channels = 3
    rows: Tensor

    def __init__(self, audio: AudioSettings) -> None:
        super().__init__(audio)
        filters = librosa.filters.chroma(sr=audio.sampling_rate, n_fft=audio.win_length, n_chroma=PITCH_CLASSES)
        self.add_constant("bank", torch.cat([self.bank, torch.from_numpy(filters).float()]))
        self.add_constant("rows", torch.arange(audio.spec_height) * PITCH_CLASSES // audio.spec_height)

    def compute(self, inputs: Tensor) -> Tensor:
        power = self.power(inputs)
        levels = self.normalized(power[:, : self.height])
        return torch.stack([levels, self.chroma(power[:, self.height :]), self.coefficients(levels)], dim=1)

    def chroma(self, power: Tensor) -> Tensor:
        """Chroma (n, height, width) of the power of pitch classes (n, PITCH_CLASSES, width)."""
        strongest = power.amax(dim=1, keepdim=True)
        relative = torch.where(strongest > FAINTEST, power / strongest.clamp_min(FAINTEST), torch.zeros_like(power))
        return relative[:, self.rows]
