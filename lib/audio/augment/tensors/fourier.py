"""Fourier transforms of whole waveforms, of a fast length: a prime factor such as 379 makes them three times slower."""

import torch
from scipy.fft import next_fast_len
from torch import Tensor


def fast_length(n_samples: int) -> int:
    """The shortest even length of at least n_samples that is fast to transform."""
    return 2 * next_fast_len(-(-n_samples // 2), real=True)


def spectrum_of(x: Tensor) -> Tensor:
    """Spectra (n, bins) of waveforms (n, samples), followed by silence; the last bin is half of the sampling rate."""
    return torch.fft.rfft(x, n=fast_length(x.shape[1]))


def waveform_of(spectrum: Tensor, n_samples: int) -> Tensor:
    """The first n_samples of the waveforms that have these spectra."""
    return torch.fft.irfft(spectrum, n=2 * (spectrum.shape[1] - 1))[:, :n_samples]
