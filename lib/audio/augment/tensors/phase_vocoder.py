"""The phase vocoder: sound becomes longer or shorter while its pitch stays (Flanagan and Golden, 1966).

Frames of a short-time Fourier transform are read at another speed. Magnitudes are interpolated; phases turn from one
frame to the next as they did between the frames that were read, so that each bin keeps its frequency. The result
is that of torchaudio.functional.phase_vocoder, which has a single speed for a batch; here each window has its own.
"""

import torch
from torch import Tensor

from lib.config.schema import AudioSettings

AT_ONCE = 4
"""Windows whose frames are turned together: more of them leave a processor's cache, and take a third longer each."""
TINY = 1e-20
"""Keeps the turns of silent bins at 1."""


def stretch(x: Tensor, speeds: Tensor, n_samples: int, audio: AudioSettings) -> Tensor:
    """Waveforms played at other speeds, with the pitch that they have: (n, n_samples).

    Args:
        x: (n, samples).
        speeds: (n,), 2 for twice as fast. Where a window ends early, it begins anew.
        n_samples: how much of the result to return.
        audio: transforms are twice as long as its spectrograms' are, which resolves single tones.
    """
    pairs = zip(x.split(AT_ONCE), speeds.split(AT_ONCE), strict=True)
    return torch.cat([_stretch(part, part_speeds, n_samples, 2 * audio.win_length) for part, part_speeds in pairs])


def _stretch(x: Tensor, speeds: Tensor, n_samples: int, n_fft: int) -> Tensor:
    hop = n_fft // 4
    window = torch.hann_window(n_fft, device=x.device)
    frames = torch.stft(x, n_fft, hop, window=window, pad_mode="constant", return_complex=True).mT  # (n, frames, bins)
    places = torch.arange(n_samples // hop + 1, device=x.device) * speeds[:, None]
    before = places.long() % frames.shape[1]
    after = (before + 1) % frames.shape[1]
    rows = torch.arange(len(x), device=x.device)[:, None]
    magnitudes = frames.abs()
    levels = torch.lerp(magnitudes[rows, before], magnitudes[rows, after], (places - places.floor())[..., None])
    # The hop is the same when frames are read and when they are written, so a phase turns by the difference of two
    # frames, and need not be unwrapped.
    turns = (frames.roll(-1, dims=1) * frames.conj() + TINY).sgn()[rows, before[:, :-1]]
    phases = torch.cat([(frames[:, :1] + TINY).sgn(), turns], dim=1).cumprod(dim=1)
    return torch.istft((levels * phases).mT, n_fft, hop, window=window, length=n_samples)
