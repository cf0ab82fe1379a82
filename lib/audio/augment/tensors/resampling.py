"""Sound at other speeds, each window at its own, as a record player does it: its pitch changes with it."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from lib.audio.augment.tensors.fourier import spectrum_of, waveform_of


def resample(x: Tensor, speeds: Tensor, n_samples: int) -> Tensor:
    """Waveforms (n, samples) played at speeds (n,), 2 for an octave higher: (n, n_samples), silent after their end.

    Frequencies that would leave the band are removed. Samples are interpolated by a cubic (Catmull and Rom, 1974)
    after the sampling rate is doubled, which keeps images of the spectrum 40 dB below the sound.
    """
    length = x.shape[1]
    spectrum = spectrum_of(x)
    last = spectrum.shape[1] - 1
    bins = torch.arange(last + 1, device=x.device)
    spectrum = spectrum * (bins * speeds.clamp_min(1)[:, None] < last)
    double = 2 * waveform_of(pad(spectrum, (0, last)), 2 * length)
    exact = torch.float32 if x.device.type == "mps" else torch.float64  # float32 tells few fractions of a late sample
    places = 2 * torch.arange(n_samples, device=x.device) * speeds.to(exact)[:, None]
    first = places.long()
    t = (places - first).to(x.dtype)
    p, q, r, s = (double.gather(1, (first + k).clamp(0, 2 * length - 1)) for k in (-1, 0, 1, 2))
    cubic = q + t / 2 * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)))
    return torch.where(first < 2 * length - 1, cubic, 0.0)
