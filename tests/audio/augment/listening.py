"""What is heard in waveforms, in numbers."""

import torch
from torch import Tensor


def tones(*frequencies: float, rate: int = 8000, seconds: float = 1.0) -> Tensor:
    """A waveform for each frequency (Hz), (n, samples)."""
    times = torch.arange(round(rate * seconds)) / rate
    return 0.3 * torch.sin(2 * torch.pi * torch.tensor(frequencies)[:, None] * times)


def dominant_frequency(x: Tensor, rate: int = 8000) -> Tensor:
    """The frequency (Hz) of the strongest tone of waveforms (n, samples), by a parabola through its peak."""
    levels = torch.fft.rfft(x * torch.hann_window(x.shape[1])).abs().clamp_min(1e-9).log()
    peak = levels.argmax(dim=1, keepdim=True).clamp(1, levels.shape[1] - 2)
    left, middle, right = (levels.gather(1, peak + k) for k in (-1, 0, 1))
    return (peak + 0.5 * (left - right) / (left - 2 * middle + right)).squeeze(1) * rate / x.shape[1]


def band_power(x: Tensor, low: float, high: float, rate: int = 8000) -> Tensor:
    """Power (n,) of waveforms between two frequencies (Hz)."""
    power = torch.fft.rfft(x).abs().square()
    frequencies = torch.fft.rfftfreq(x.shape[1], 1 / rate)
    return power[:, (frequencies >= low) & (frequencies < high)].sum(dim=1)


def strength_db(x: Tensor) -> Tensor:
    """Root mean square (n,) of waveforms, decibels of full scale."""
    return 10 * torch.log10(x.square().mean(dim=1))
