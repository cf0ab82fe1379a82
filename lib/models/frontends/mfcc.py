"""Mel-frequency cepstral coefficients (Davis and Mermelstein, Comparison of Parametric Representations for
Monosyllabic Word Recognition in Continuously Spoken Sentences, 1980)."""

import torch
from torch import Tensor
from torchaudio.functional import create_dct

from lib.audio.spectrogram_tensors import filtered_power, heard_samples, levels_of, normalized
from lib.audio.spectrograms import filterbank, hann
from lib.config.schema import AudioSettings
from lib.models.frontends import Frontend


class Mfcc(Frontend):
    """As many coefficients as bands: the orthonormal DCT-II, over the bands, of their levels in decibels.

    Levels are relative to the loudest point of a window and in units of top_db: 1 there, 0 at top_db below it and
    beyond. So coefficients do not depend on loudness, and lie within -sqrt(spec_height)..sqrt(spec_height). Times
    top_db, all but the zeroth are those of torchaudio.transforms.MFCC. audio.freq_scale spaces the bands;
    audio.decibels and db_power do not count.
    """

    has_margins = True
    window: Tensor
    bank: Tensor
    dct: Tensor

    def __init__(self, audio: AudioSettings) -> None:
        super().__init__(audio)
        self.levels = audio.model_copy(update={"decibels": True, "db_power": 1.0})
        self.add_constant("window", torch.from_numpy(hann(audio.win_length)))
        self.add_constant("bank", torch.from_numpy(filterbank(audio)))
        self.add_constant("dct", create_dct(audio.spec_height, audio.spec_height, "ortho").T.contiguous())

    def compute(self, inputs: Tensor) -> Tensor:
        return self.coefficients(self.normalized(self.power(inputs))).unsqueeze(1)

    def power(self, waveforms: Tensor) -> Tensor:
        """Power (n, filters, width) that the filters of the bank let through."""
        return filtered_power(heard_samples(waveforms, self.audio), self.window, self.bank, self.audio.hop_length)

    def normalized(self, power: Tensor) -> Tensor:
        """Levels in decibels of the power of bands (n, height, width), in 0..1."""
        return normalized(levels_of(power, self.levels), self.levels)

    def coefficients(self, levels: Tensor) -> Tensor:
        """Cepstral coefficients (n, height, width) of levels of the same shape."""
        return self.dct @ levels
