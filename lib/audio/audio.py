"""One recording in memory, and its spectrograms at any times and settings.

For long recordings lib.audio.spectrogram does the same in constant memory; this is for looking closely at one.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from lib import config
from lib.audio import reader
from lib.audio.spectrogram import filterbank, frame_at, hann, normalize, silence, whole_frames, window_at
from lib.errors import AudioError, SettingsError

FRAMES_AT_ONCE = 2**14
"""Frames that a GPU transforms together: 64 MB of spectra at 1024 samples a window."""

logger = logging.getLogger(__name__)


class Audio:
    """Reads a recording and makes spectrograms of it.

    device: `cpu`, `cuda` or `mps`, which transforms; None: a GPU where there is one. cfg: settings, of which `audio` is
    used, as it is at the time of this call or of set_config; None: get_config().

    path: of the loaded recording. signal: float32 (samples,), mono, or None; one of your own may be set.
    sampling_rate: of the signal, Hz. load_error: why the last load() failed, or None.
    """

    def __init__(self, device: str | None = None, cfg: config.Settings | None = None) -> None:
        self.device = _device(device)
        self.path: str | None = None
        self.load_error: str | None = None
        self.cfg = cfg or config.get_config()
        self._audio = self.cfg.audio.checked()
        self._set_source(None, self._audio.sampling_rate)

    @property
    def sampling_rate(self) -> int:
        return self._audio.sampling_rate

    @property
    def signal(self) -> np.ndarray | None:
        return self._signal

    @signal.setter
    def signal(self, samples: np.ndarray | None) -> None:
        self.path = None
        self._set_source(None if samples is None else np.asarray(samples, np.float32), self.sampling_rate)

    def _set_source(self, samples: np.ndarray | None, rate: int, file: str | Path | None = None) -> None:
        """Take these samples for the recording, from which resampled ones are made. file: what holds them, if any."""
        self._source, self._source_rate, self._file = samples, rate, file
        self._set_signal(samples)

    def _set_signal(self, samples: np.ndarray | None) -> None:
        self._signal = samples
        self._frames: tuple[config.Audio, np.ndarray] | None = None  # of the whole signal, and by which settings

    def load(self, path: str | Path) -> tuple[np.ndarray | None, int]:
        """Read a whole recording, of any format and number of channels, as mono at the configured sampling rate.

        Of several channels, cfg.audio.channel tells what is taken: their mean, the first or the cleanest one.
        Returns the signal, float32 (samples,), and its sampling rate (Hz). If the file cannot be read, the signal is
        None, and the reason stands in the log and in load_error.
        """
        self.path, self.load_error = None, None
        self._set_source(None, self.sampling_rate)
        try:
            self._set_source(self._read(path), self.sampling_rate, path)
        except AudioError as error:
            self.load_error = f"{path}: {error}"
            logger.error(self.load_error)
        else:
            self.path = str(path)
        return self.signal, self.sampling_rate

    def _read(self, path: str | Path) -> np.ndarray:
        def note(text: str) -> None:
            logger.warning("%s: %s", path, text)

        audio = self._audio
        try:
            blocks = list(reader.stream(path, audio.sampling_rate, audio.channel, note=note))
        except (OSError, TypeError, ValueError) as error:  # also what is no path at all
            raise AudioError(f"cannot be read ({getattr(error, 'strerror', None) or error}); check the path") from None
        return np.concatenate([np.empty(0, np.float32), *blocks])

    def set_config(self, cfg: config.Settings | None = None, resample: bool = True) -> None:
        """Use other settings for the spectrograms to come, without reading the recording again.

        cfg: settings; None: get_config(). resample: where the sampling rate has changed, resample the signal; if false,
        the samples stay and count as ones of the new rate, which makes the sound slower or faster.

        A lower rate is made from the signal as it was loaded, so that going down and up again loses nothing. For a rate
        above that, the file is read again, since the signal lacks the frequencies; if it is gone, the signal is
        resampled all the same. The channel that was chosen at load() stays.
        """
        cfg = cfg or config.get_config()
        audio = cfg.audio.checked()
        self.cfg, self._audio, old_rate = cfg, audio, self.sampling_rate
        if self._source is None or audio.sampling_rate == old_rate:
            return
        if not resample:
            self._set_source(self._signal, audio.sampling_rate)
        elif audio.sampling_rate > self._source_rate and self._file is not None:
            self._load_again(self._file)
        else:
            self._resample()

    def _load_again(self, path: str | Path) -> None:
        try:
            self._set_source(self._read(path), self.sampling_rate, path)
        except AudioError as error:
            logger.warning("%s: %s; the signal at %d Hz is used", path, error, self._source_rate)
            self._resample()

    def _resample(self) -> None:
        assert self._source is not None
        same = self._source_rate == self.sampling_rate
        self._set_signal(self._source if same else soxr.resample(self._source, self._source_rate, self.sampling_rate))

    def get_spectrograms(
        self,
        start_times: Sequence[float],
        spec_duration: float | None = None,
        freq_scale: str | None = None,
        decibels: bool | None = None,
        top_db: float | None = None,
        db_power: float | None = None,
        skip_cache: bool = False,
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Spectrograms at the given start times, normalized and not.

        start_times: seconds, in any order, on no particular grid: a spectrogram begins at the frame that is nearest,
        at most half of audio.hop_length away. What it lacks before the start or behind the end of the recording is
        silence. spec_duration (s), freq_scale (`linear`, `log`, `mel`), decibels, top_db, db_power: instead of those
        settings. skip_cache: transform each window by itself; otherwise, once the windows hold more frames than the
        recording, its frames are transformed and kept, and the windows are cut out of them. The results agree.

        Returns two float32 tensors (n, height, width) in the memory of the CPU: first in 0..1 (see
        lib.audio.spectrogram.normalize), then the levels themselves, in decibels down to top_db below a window's
        loudest point, or in amplitudes. (None, None) if no signal is loaded. Raises SettingsError for values that
        cannot be.
        """
        if self._signal is None:
            return None, None
        if not np.isfinite(start_times).all():
            raise SettingsError("start_times: one is no finite number; give seconds")
        given = {
            "spec_duration": spec_duration,
            "freq_scale": freq_scale,
            "decibels": None if decibels is None else bool(decibels),
            "top_db": top_db,
            "db_power": db_power,
        }
        changes = {key: value for key, value in given.items() if value is not None}
        audio = self._audio.model_copy(update=changes).checked() if changes else self._audio
        levels = self._windows(frame_at(start_times, audio), audio, skip_cache)
        normalized = normalize(levels, audio)
        if audio.decibels:
            levels = np.maximum(levels, levels.max(axis=(1, 2), keepdims=True) - np.float32(audio.top_db))
        return torch.from_numpy(normalized), torch.from_numpy(levels)

    def _windows(self, starts: np.ndarray, audio: config.Audio, skip_cache: bool) -> np.ndarray:
        """Levels, float32 (n, height, width), of the windows that begin at those frames."""
        levels = np.empty((len(starts), audio.spec_height, audio.spec_width), np.float32)
        held = None if skip_cache else self._whole(audio, levels.shape[0] * levels.shape[2])
        for i, start in enumerate(starts.tolist()):
            if held is None:
                stop = min(start + audio.spec_width, self._n_frames(audio))
                first = min(max(start, 0), max(stop, 0))
                levels[i] = window_at(self._levels(first, stop, audio), first, start, audio)
            else:
                levels[i] = window_at(held, 0, start, audio)
        return levels

    def _whole(self, audio: config.Audio, n_needed: int) -> np.ndarray | None:
        """Levels of the whole recording, where they are there or worth their while."""
        key = audio.model_copy(update={"spec_duration": 1.0, "top_db": 1.0, "db_power": 1.0})  # they change no frame
        if self._frames is None or self._frames[0] != key:
            if n_needed <= self._n_frames(audio):
                return None
            self._frames = key, self._levels(0, self._n_frames(audio), audio)
        return self._frames[1]

    def _n_frames(self, audio: config.Audio) -> int:
        return 1 + self.signal_len() // audio.hop_length

    def _levels(self, first: int, stop: int, audio: config.Audio) -> np.ndarray:
        """Levels of some of the recording's frames, float32 (height, n). Beyond its ends, frames hear silence."""
        if stop <= first:
            return np.empty((audio.spec_height, 0), np.float32)
        assert self._signal is not None
        start = first * audio.hop_length - audio.win_length // 2
        end = start + (stop - first - 1) * audio.hop_length + audio.win_length
        samples = self._signal[max(start, 0) : max(end, 0)]
        missing_before = max(-start, 0)
        samples = np.pad(samples, (missing_before, end - start - missing_before - len(samples)))
        return whole_frames(samples, audio) if self.device == "cpu" else torch_frames(samples, audio, self.device)

    def seconds(self) -> float:
        """Duration of the signal in seconds; 0 if none is loaded."""
        return self.signal_len() / self.sampling_rate

    def signal_len(self) -> int:
        """Length of the signal in samples; 0 if none is loaded."""
        return 0 if self._signal is None else len(self._signal)


def torch_frames(samples: np.ndarray, audio: config.Audio, device: str) -> np.ndarray:
    """What lib.audio.spectrogram.whole_frames returns, to 1e-4 once normalized, computed by torch on a device."""
    window, bank = (torch.from_numpy(values).to(device) for values in (hann(audio.win_length), filterbank(audio)))
    frames = torch.from_numpy(samples).to(device).unfold(0, audio.win_length, audio.hop_length)
    pieces = [bank @ torch.fft.rfft(piece * window).abs().square().T for piece in frames.split(FRAMES_AT_ONCE)]
    power = torch.cat(pieces, dim=1)
    if not audio.decibels:
        return power.sqrt().cpu().numpy()
    quietest = 10 ** (silence(audio) / 10)
    return (10 * power.clamp_min(quietest).log10()).cpu().numpy()


def _device(name: str | None) -> str:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None or name == "auto":
        return next(device for device, available in there.items() if available)
    if not there.get(name.partition(":")[0]):
        available = ", ".join(device for device, is_there in there.items() if is_there)
        raise SettingsError(f"device = {name!r}: this machine has none that torch can use; give one of {available}")
    return name
