"""Spectrograms of windows as tensors, a batch at a time and on any device: in training and inside networks.

They equal those that lib.audio.spectrograms cuts out of streams, to 1e-4. But where a window reaches beyond the start
or the end of a recording, the frames next to it hear that edge, while a stream has no frames there.

Waveforms of windows are float32 (n, samples) in -1..1, of one of two lengths: the window alone, audio.window_samples,
or the window with audio.margin samples more on either side, which its first and last frames hear, too. Where they are
missing, they count as silence.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.audio.spectrograms import POWER_FLOOR, filterbank, hann, silence
from lib.config.schema import AudioSettings
from lib.core.errors import EarshotError


def spectrograms_of(waveforms: Tensor, audio: AudioSettings) -> Tensor:
    """Normalized spectrograms, float32 (n, spec_height, spec_width) in 0..1, of waveforms of windows (n, samples).

    They are on the device of the waveforms. Raises EarshotError for waveforms of another length.
    """
    window, bank = (
        torch.from_numpy(values).to(waveforms.device) for values in (hann(audio.win_length), filterbank(audio))
    )
    return normalized(
        levels_of(filtered_power(heard_samples(waveforms, audio), window, bank, audio.hop_length), audio), audio
    )


def heard_samples(waveforms: Tensor, audio: AudioSettings) -> Tensor:
    """The samples (n, (spec_width - 1) * hop_length + win_length) that the frames of windows hear."""
    return with_margins(waveforms, audio)[:, : (audio.spec_width - 1) * audio.hop_length + audio.win_length]


def with_margins(waveforms: Tensor, audio: AudioSettings) -> Tensor:
    """Waveforms of windows with their margins, silent if they had none. Raises EarshotError for other lengths."""
    is_bare = _is_bare(waveforms, audio)
    return F.pad(waveforms, (audio.margin, audio.margin)) if is_bare else waveforms


def without_margins(waveforms: Tensor, audio: AudioSettings) -> Tensor:
    """Waveforms of windows alone, (n, window_samples). Raises EarshotError for other lengths."""
    is_bare = _is_bare(waveforms, audio)
    return waveforms if is_bare else waveforms[:, audio.margin : audio.margin + audio.window_samples]


def _is_bare(waveforms: Tensor, audio: AudioSettings) -> bool:
    alone, whole = audio.window_samples, audio.window_samples + 2 * audio.margin
    if waveforms.ndim != 2 or waveforms.shape[1] not in (alone, whole):
        fault = f"windows have {alone} samples, or {whole} with their margins"
        raise EarshotError(f"waveforms of shape {tuple(waveforms.shape)}", fault, "cut them with the model's settings")
    return waveforms.shape[1] == alone


def filtered_power(samples: Tensor, window: Tensor, bank: Tensor, hop_length: int) -> Tensor:
    """Power that each of some filters lets through, in each frame that lies completely within the samples.

    Args:
        samples: float32 (..., n), n >= win_length.
        window: (win_length,), by which frames are multiplied.
        bank: (n_filters, win_length // 2 + 1), weights of the bins of the Fourier transform.
        hop_length: samples from one frame to the next.

    Returns float32 (..., n_filters, 1 + (n - win_length) // hop_length).
    """
    frames = samples.unfold(-1, len(window), hop_length)
    # as real numbers: exporters know no complex ones
    power = torch.view_as_real(torch.fft.rfft(frames * window)).square().sum(dim=-1)
    return bank @ power.transpose(-1, -2)


def levels_of(power: Tensor, audio: AudioSettings) -> Tensor:
    """Levels of power: decibels, at least silence, or amplitudes; as in lib.audio.spectrograms.whole_frames."""
    if not audio.decibels:
        return power.sqrt()
    return 10 * power.clamp_min(10 ** (silence(audio) / 10)).log10()


def normalized(levels: Tensor, audio: AudioSettings) -> Tensor:
    """What lib.audio.spectrograms.normalize returns for levels (n, height, width), as a tensor."""
    peak = levels.amax(dim=(1, 2), keepdim=True)
    if audio.decibels:
        is_silent = peak <= silence(audio) + 1
        scaled = (1 + (levels - peak) / audio.top_db).clamp(0, 1)
        if audio.db_power != 1:
            scaled = scaled**audio.db_power
    else:
        is_silent = peak <= np.sqrt(POWER_FLOOR)
        scaled = levels / peak.clamp_min(float(np.sqrt(POWER_FLOOR)))
    return torch.where(is_silent, torch.zeros_like(scaled), scaled)
