"""Scalograms: the power of a continuous wavelet transform with complex Morlet wavelets.

Torrence and Compo, A Practical Guide to Wavelet Analysis, 1998: the transform is a product in the frequency domain,
and the wavelet of a voice of frequency f is a Gaussian there, exp(-(OMEGA * g / f - OMEGA)^2 / 2) at frequencies g > 0.
Its peak is 1, so that the power of a tone does not depend on its frequency.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.audio.spectrogram_tensors import levels_of, normalized, without_margins
from lib.config.schema import AudioSettings
from lib.models.frontends import Frontend

OMEGA = 6.0
"""Oscillations, in radians, within a standard deviation of a wavelet in time; the usual choice."""
REACH = 4.0
"""Standard deviations at which wavelets are cut off: -69 dB in frequency, as far below in time."""


POINTS_OF_FRAME = 16
"""Power is averaged over at least so many points of each frame."""


class _Voices(NamedTuple):
    """Voices of neighbouring frequencies, which are transformed back together, at a lower rate.

    Their products with a spectrum are narrow; moved to frequency 0, a few points tell their envelope.

    Args:
        name: of the buffers that hold their wavelets (n_voices, n_points) and the points that each frame takes
            (width, points of a frame).
        lowest: first bin of the spectrum that counts; n_points bins from there on.
    """

    name: str
    lowest: int
    n_points: int


class Scalogram(Frontend):
    """Images (n, 1, spec_height, spec_width) of levels in 0..1, as lib.audio.spectrograms.normalize scales them.

    The voices are spaced evenly on a logarithmic scale from min_freq (at least a period in a window) to max_freq,
    whatever audio.freq_scale says. Frame k is the mean power from sample k * hop_length on, hop_length samples long.
    """

    def __init__(self, audio: AudioSettings) -> None:
        super().__init__(audio)
        rate = audio.sampling_rate
        frequencies = np.geomspace(max(audio.min_freq, 1 / audio.spec_duration), audio.max_freq, audio.spec_height)
        echo = round(REACH * OMEGA / (2 * np.pi * frequencies[0]) * rate)  # the end must not be heard at the start
        self.n_fft = 1 << (audio.window_samples + echo - 1).bit_length()  # powers of two are exact in ONNX Runtime
        bins = frequencies * self.n_fft / rate
        low = np.clip(np.floor(bins * (1 - REACH / OMEGA)), 1, None).astype(int)
        high = np.clip(np.ceil(bins * (1 + REACH / OMEGA)), None, self.n_fft // 2).astype(int)
        n_frame_points = 1 << (POINTS_OF_FRAME * self.n_fft // audio.hop_length).bit_length()
        n_points = np.array([max(1 << int(n - 1).bit_length(), n_frame_points) for n in high - low + 1])
        self.voices = list[_Voices]()
        first = 0
        while first < len(bins):
            last = first + 1
            while last < len(bins) and high[last] - low[first] < n_points[first]:
                last += 1
            self.voices.append(self._add_voices(bins[first:last], int(low[first]), int(n_points[first])))
            first = last

    def _add_voices(self, bins: np.ndarray, lowest: int, n_points: int) -> _Voices:
        name = f"voices_{lowest}"
        at = lowest + np.arange(n_points)
        wavelets = np.exp(-0.5 * (OMEGA * at / bins[:, None] - OMEGA) ** 2) * (at <= self.n_fft // 2)
        # an analytic signal has twice the amplitude of the positive frequencies; a transform back of fewer points
        # divides by their number instead of n_fft
        self.add_constant(name, torch.from_numpy(2 * n_points / self.n_fft * wavelets).float()[..., None])
        hop, samples_a_point = self.audio.hop_length, self.n_fft / n_points
        n = max(1, round(hop / samples_a_point))
        instants = hop * (np.arange(self.audio.spec_width)[:, None] + (np.arange(n) + 0.5) / n)
        points = np.minimum(np.round(instants / samples_a_point).astype(np.int64), n_points - 1)
        self.add_constant(f"{name}_points", torch.from_numpy(points))
        return _Voices(name, lowest, n_points)

    def compute(self, inputs: Tensor) -> Tensor:
        waveforms = without_margins(inputs, self.audio)
        waveforms = F.pad(waveforms, (0, self.n_fft - waveforms.shape[1]))
        spectrum = torch.view_as_real(torch.fft.rfft(waveforms))  # real numbers: exporters know few complex operations
        power = torch.cat([self._power(spectrum, voices) for voices in self.voices], dim=1)
        audio = self.audio
        return normalized(levels_of(power, audio), audio).unsqueeze(1)

    def _power(self, spectrum: Tensor, voices: _Voices) -> Tensor:
        """Power (n, n_voices, width) of some voices, of spectra (n, bins, 2)."""
        part = spectrum[:, voices.lowest : voices.lowest + voices.n_points]
        part = F.pad(part, (0, 0, 0, voices.n_points - part.shape[1]))
        product = part[:, None] * self.get_buffer(voices.name)
        real, imaginary = torch.view_as_real(torch.fft.ifft(torch.view_as_complex(product))).unbind(dim=-1)
        power = torch.addcmul(real * real, imaginary, imaginary)
        return power[..., self.get_buffer(f"{voices.name}_points")].mean(dim=-1)
