"""One recording in memory, and its spectrograms at any times and settings.

For looking closely at one; lib.audio.spectrograms does the same for long recordings, in constant memory.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
from torch import Tensor

from lib.audio import reader
from lib.audio.spectrogram_tensors import filtered_power, levels_of
from lib.audio.spectrograms import filterbank, frame_at, hann, normalize, whole_frames, windows_at
from lib.config.load import get_config
from lib.config.schema import AudioSettings, Settings
from lib.core.devices import choose_device
from lib.core.errors import AudioError, Problem, SettingsError

FRAMES_AT_ONCE = 2**14
"""Frames that a GPU transforms together: 64 MB of spectra at 1024 samples a window."""

logger = logging.getLogger(__name__)


class _Source(NamedTuple):
    """What the signal is resampled from: samples, their rate (Hz), and the file that they come from, if any."""

    samples: np.ndarray
    rate: int
    file: str | Path | None = None


class Audio:
    """Reads a recording and makes spectrograms of it.

    Args:
        device: `cpu`, `cuda` or `mps`, which transforms; None: a GPU where there is one.
        cfg: settings, of which `audio` is used, as it is at the time of this call or of set_config; None: get_config().

    Attributes:
        path: of the loaded recording, or None.
        signal: float32 (samples,), mono, or None; it may be set.
        sampling_rate: of the signal, Hz.
        load_error: why the last load() failed, or None.
    """

    def __init__(self, device: str | None = None, cfg: Settings | None = None) -> None:
        self.device = str(choose_device(device or "auto"))
        self.path: str | None = None
        self.load_error: str | None = None
        self.cfg = cfg or get_config()
        self._audio = self.cfg.audio.checked()
        self._set_source(None)

    @property
    def sampling_rate(self) -> int:
        return self._audio.sampling_rate

    @property
    def signal(self) -> np.ndarray | None:
        return self._signal

    @signal.setter
    def signal(self, samples: np.ndarray | None) -> None:
        self.path = None
        self._set_source(None if samples is None else _Source(np.asarray(samples, np.float32), self.sampling_rate))

    def _set_source(self, source: _Source | None) -> None:
        self._source = source
        self._signal = None if source is None else source.samples
        if source is not None and source.rate != self.sampling_rate:
            self._signal = soxr.resample(source.samples, source.rate, self.sampling_rate)
        self._cache: tuple[AudioSettings, np.ndarray] | None = None  # levels of the whole signal, and their settings

    def load(self, path: str | Path) -> tuple[np.ndarray | None, int]:
        """Read a whole recording, of any format and number of channels, as mono at the configured sampling rate.

        Of several channels, cfg.audio.channel selects the mean, the first or the cleanest one.
        Returns the signal, float32 (samples,), and its sampling rate (Hz). If the file cannot be read, the signal is
        None, and the log and load_error tell why.
        """
        self.path, self.load_error = None, None
        self._set_source(None)
        try:
            self._set_source(self._read(path))
            self.path = str(path)
        except AudioError as error:
            self.load_error = str(error)
            logger.error(self.load_error)
        return self.signal, self.sampling_rate

    def _read(self, path: str | Path) -> _Source:
        def warn(problem: Problem) -> None:
            logger.warning(str(problem))

        try:
            samples = reader.load(path, self.sampling_rate, self._audio.channel, warn)
        except (OSError, TypeError, ValueError) as error:  # the last two: not a path
            raise AudioError(path, f"cannot be read ({error})", "check the path") from None
        return _Source(samples, self.sampling_rate, path)

    def set_config(self, cfg: Settings | None = None, resample: bool = True) -> None:
        """Use other settings for the spectrograms to come, without reading the recording again.

        A lower rate is made from the signal as it was loaded, so that going down and up again loses nothing. For a rate
        above that, the file is read again, since the signal lacks the frequencies; if that fails, the signal is
        resampled. The channel that was chosen at load() stays.

        Args:
            cfg: settings; None: get_config().
            resample: where the sampling rate has changed, resample the signal; if false, the samples stay and count as
                ones of the new rate, which makes the sound slower or faster.
        """
        cfg = cfg or get_config()
        audio, old_rate = cfg.audio.checked(), self.sampling_rate
        self.cfg, self._audio = cfg, audio
        source, rate = self._source, audio.sampling_rate
        if source is None or self._signal is None or rate == old_rate:
            return
        if not resample:
            source = _Source(self._signal, rate)
        elif rate > source.rate and source.file is not None:
            try:
                source = self._read(source.file)
            except AudioError as error:
                logger.warning("%s; the signal at %d Hz is used", error, source.rate)
        self._set_source(source)

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

        Args:
            start_times: seconds, in any order, on no particular grid: a spectrogram begins at the nearest frame, at
                most half of audio.hop_length away. Beyond the start and the end of the recording it is silent.
            spec_duration, freq_scale, decibels, top_db, db_power: instead of those settings.
            skip_cache: transform each window by itself; otherwise, once the windows hold more frames than the
                recording, its frames are transformed and kept, and the windows are cut out of them. The results agree.

        Returns two float32 tensors (n, height, width) on the CPU: first in 0..1 (see lib.audio.spectrograms.normalize),
        then the levels themselves, in decibels down to top_db below a window's loudest point, or in amplitudes; or
        (None, None) if no signal is loaded. Raises SettingsError for impossible values.
        """
        if self._signal is None:
            return None, None
        if not np.isfinite(start_times).all():
            raise SettingsError("start_times", "are not all finite numbers", "give seconds")
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

    def _windows(self, starts: np.ndarray, audio: AudioSettings, skip_cache: bool) -> np.ndarray:
        """Levels, float32 (n, height, width), of the windows that begin at those frames."""
        n_frames = 1 + self.signal_len() // audio.hop_length
        if not skip_cache and (frames := self._whole(n_frames, audio, len(starts) * audio.spec_width)) is not None:
            return windows_at(frames, 0, starts, audio)
        windows = [np.empty((0, audio.spec_height, audio.spec_width), np.float32)]
        for start in starts:
            first, stop = np.clip([start, start + audio.spec_width], 0, n_frames).tolist()
            windows.append(windows_at(self._levels(first, stop, audio), first, np.array([start]), audio))
        return np.concatenate(windows)

    def _whole(self, n_frames: int, audio: AudioSettings, n_needed: int) -> np.ndarray | None:
        """Levels of all frames, if they are cached, or worth caching for n_needed frames of windows."""
        key = audio.model_copy(update={"spec_duration": 1.0, "top_db": 1.0, "db_power": 1.0})  # these change no frame
        if self._cache is None or self._cache[0] != key:
            if n_needed <= n_frames:
                return None
            self._cache = key, self._levels(0, n_frames, audio)
        return self._cache[1]

    def _levels(self, first: int, stop: int, audio: AudioSettings) -> np.ndarray:
        """Levels of some of the recording's frames, float32 (height, n). Frames hear silence beyond its ends."""
        if stop <= first or self._signal is None:
            return np.empty((audio.spec_height, 0), np.float32)
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


def torch_frames(samples: np.ndarray, audio: AudioSettings, device: str) -> np.ndarray:
    """What lib.audio.spectrograms.whole_frames returns, to 1e-4 once normalized, computed by torch on a device."""
    window, bank = (torch.from_numpy(values).to(device) for values in (hann(audio.win_length), filterbank(audio)))
    whole, hop = torch.from_numpy(samples).to(device), audio.hop_length
    n_frames, pieces = 1 + (len(samples) - audio.win_length) // hop, list[Tensor]()
    for first in range(0, n_frames, FRAMES_AT_ONCE):
        last = min(first + FRAMES_AT_ONCE, n_frames) - 1
        heard = whole[first * hop : last * hop + audio.win_length]
        pieces.append(levels_of(filtered_power(heard, window, bank, hop), audio))
    return torch.cat(pieces, dim=1).cpu().numpy()
