"""The log filter bank of the Audio Spectrogram Transformer (Gong, Chung and Glass, AST, 2021): Kaldi's.

Formulas: Kaldi's compute-fbank-feats, as torchaudio.compliance.kaldi.fbank computes it with htk_compat, a Hann window,
128 bins, no dither and no energy; AST's published weights expect that.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.compliance.kaldi import get_mel_banks

from lib.audio.spectrogram_tensors import without_margins
from lib.config.schema import AudioSettings
from lib.models.frontends import Frontend

BANDS, WINDOW_SECONDS, HOP_SECONDS = 128, 0.025, 0.01
LOWEST = 20.0
"""Hz; the bands reach from there to half the sampling rate."""
PREEMPHASIS = 0.97
AUDIOSET_MEAN, AUDIOSET_DEVIATION = -4.2677393, 4.5689974
"""Of the logarithms of AudioSet's filter banks, by which AST was trained."""


FAINTEST = torch.finfo(torch.float32).eps
"""Power of a band, which silence is taken to have."""


class AstFilterBank(Frontend):
    """Images (n, 1, 128, frames of 10 ms) of the natural logarithm of power in 128 mel bands up to half the sampling
    rate, from frames of 25 ms; minus AudioSet's mean, over twice its standard deviation: about -1.3 (silence) to 1.5.

    Of the audio settings, only sampling_rate, which AST's weights want to be 16 kHz, and spec_duration count.
    """

    silence = (math.log(FAINTEST) - AUDIOSET_MEAN) / (2 * AUDIOSET_DEVIATION)
    window: Tensor
    bank: Tensor

    def __init__(self, audio: AudioSettings) -> None:
        super().__init__(audio)
        self.height = BANDS
        rate = audio.sampling_rate
        self.length, self.hop = int(rate * WINDOW_SECONDS), int(rate * HOP_SECONDS)
        self.n_fft = 1 << (self.length - 1).bit_length()
        self.add_constant("window", torch.hann_window(self.length, periodic=False))
        bank, _ = get_mel_banks(BANDS, self.n_fft, float(rate), LOWEST, 0.0, 100.0, -500.0, 1.0)
        self.add_constant("bank", F.pad(bank, (0, 1)).float())

    def compute(self, inputs: Tensor) -> Tensor:
        waveforms = without_margins(inputs, self.audio)
        frames = (waveforms - waveforms.mean(dim=1, keepdim=True)).unfold(1, self.length, self.hop)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        frames = F.pad((frames - PREEMPHASIS * before) * self.window, (0, self.n_fft - self.length))
        power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(dim=-1)
        levels = (self.bank @ power.transpose(1, 2)).clamp_min(FAINTEST).log()
        return ((levels - AUDIOSET_MEAN) / (2 * AUDIOSET_DEVIATION)).unsqueeze(1)
