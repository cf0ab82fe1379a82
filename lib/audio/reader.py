"""Recordings as streams of mono float32 blocks at one sampling rate, in constant memory.

libsndfile (through soundfile) decodes WAV, FLAC, Ogg, AIFF, W64 and more. FFmpeg's libraries (through PyAV) decode what
it does not know (M4A, AAC, WebM) or gives up on, and MP3, since it prints to stderr about damaged ones. The format is
recognized by content, so a wrong suffix does not matter.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from lib.core.errors import AudioError, unreadable
from lib.sound.recordings import SNDFILE_HEADS

BLOCK_SAMPLES = 2**19
"""Samples of all channels that are decoded at once; after each block, libsndfile searches for its end."""
CHECK_SECONDS = 10.0
"""Seconds at the start of a recording by which its cleanest channel is chosen."""
LOUDEST = np.float32(1e9)
"""Values from here on are damage, not sound, and would overflow when squared."""

Note = Callable[[str], None]


class Info(NamedTuple):
    """What a recording's header says: duration in seconds (0: unknown), sampling rate in Hz, number of channels."""

    seconds: float
    sampling_rate: int
    channels: int


def probe(path: str | Path) -> Info:
    """Read a recording's header. Raises AudioError."""
    with closing(_open(path)) as source:
        return source.info


def stream(
    path: str | Path, sampling_rate: int, channel: str = "mix", start: float = 0.0, note: Note = lambda text: None
) -> Iterator[np.ndarray]:
    """Yield a recording as mono blocks, float32 (samples,) in -1..1.

    Args:
        sampling_rate: Hz, to which it is resampled.
        channel: `mix` (mean of all), `first`, or `cleanest` (see cleanest_channel).
        start: seconds to skip.
        note: called with a line about each repair (a truncated end, values that are not sound).

    Raises AudioError if nothing can be read.
    """
    with closing(_open(path)) as source:
        native = source.info.sampling_rate
        resampler = soxr.ResampleStream(native, sampling_rate, 1, dtype="float32") if native != sampling_rate else None
        n_read = n_bad = 0
        for block in _mono(source.blocks(start), channel, source.info):
            n_read += len(block)
            with np.errstate(over="ignore"):
                energy = np.dot(block, block)  # several times faster than checking each sample
            if not energy < LOUDEST**2:  # also true for NaN
                bad = ~(np.abs(block) < LOUDEST)
                n_bad += int(bad.sum())
                block = np.where(bad, np.float32(0), block)
            if resampler is not None:
                block = resampler.resample_chunk(block)
            if len(block):
                yield block
        if n_read == 0 and start == 0:
            raise AudioError(path, f"holds no sound ({source.fault or 'no samples'})", "remove it or copy it again")
        if resampler is not None and len(rest := resampler.resample_chunk(np.empty(0, np.float32), last=True)):
            yield rest
    expected = source.promised - start
    if source.fault or n_read / native < expected - 0.1:
        note(f"truncated or damaged: {n_read / native:.1f} of {expected:.1f} s could be read")
    if n_bad:
        note(f"{n_bad} samples are not numbers, or far too large, and were taken as silence")


def load(path: str | Path, sampling_rate: int, channel: str = "mix", note: Note = lambda text: None) -> np.ndarray:
    """A whole recording, float32 (samples,); memory grows with its length. Arguments and errors as for stream."""
    return np.concatenate([np.empty(0, np.float32), *stream(path, sampling_rate, channel, note=note)])


def cleanest_channel(samples: np.ndarray) -> int:
    """Index of the channel with the least noise. samples: (n, channels).

    A channel's noise is the 20th percentile of the power of its 20 ms stretches over their mean: steady noise fills the
    gaps between sounds. A dead or damaged channel comes last.
    """
    stretches = np.array_split(samples, max(1, len(samples) // 960))
    power = np.array([np.square(stretch).mean(axis=0) for stretch in stretches])
    mean = power.mean(axis=0)
    usable = (mean > 0) & (mean < LOUDEST)
    noise = np.where(usable, np.percentile(power, 20, axis=0) / np.maximum(mean, 1e-30), np.inf)
    return int(np.argmin(noise))


def _mono(blocks: Iterator[np.ndarray], channel: str, info: Info) -> Iterator[np.ndarray]:
    """Blocks (n, channels) as mono ones (n,)."""
    if info.channels > 1 and channel == "mix":
        yield from (block.mean(axis=1) for block in blocks)
        return
    chosen, head = 0, list[np.ndarray]()
    if info.channels > 1 and channel == "cleanest":
        while sum(map(len, head)) < CHECK_SECONDS * info.sampling_rate and (block := next(blocks, None)) is not None:
            head.append(block)
        if head:
            head = [np.concatenate(head)]
            chosen = cleanest_channel(head[0])
    yield from (np.ascontiguousarray(block[:, chosen]) for block in chain(head, blocks))


def _open(path: str | Path) -> "_SoundFile | _AvFile":
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise unreadable(path, error) from None
    if not head:
        raise AudioError(path, "the file is empty (0 bytes)", "remove it or copy it again")
    why = "no known sound format"
    if head in SNDFILE_HEADS:
        try:
            return _SoundFile(path)
        except soundfile.LibsndfileError as error:
            why = error.error_string.rstrip(".")
    try:
        return _AvFile(path)
    except _Undecodable:
        raise AudioError(path, f"cannot be decoded ({why})", "convert it to WAV or FLAC, or remove it") from None


class _Undecodable(Exception):
    """FFmpeg's libraries find no sound in a file."""


class _SoundFile:
    """A recording that libsndfile reads.

    Attributes:
        promised: its duration (s) if it were whole.
        fault: why reading stopped early, or "".
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        # By its descriptor: given a name that ends in .mp3, libsndfile takes any file for one.
        self._file = soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True)
        self.info = Info(self._file.frames / self._file.samplerate, self._file.samplerate, self._file.channels)
        self.promised = self.info.seconds
        self.fault = ""
        # libsndfile reads a truncated WAV or AIFF as far as it goes, and reports that in its log only.
        sizes = re.search(r"^ ?(?:data|SSND) *: (\d+) \(should be (\d+)\)", self._file.extra_info, re.MULTILINE)
        if sizes and int(sizes[2]) < int(sizes[1]) < 0xFFFFFFFF:  # which means an unknown size
            self.promised *= int(sizes[1]) / int(sizes[2])

    def blocks(self, start: float) -> Iterator[np.ndarray]:
        rate = self.info.sampling_rate
        position, size = round(start * rate), BLOCK_SAMPLES // self.info.channels
        try:
            if start:
                self._file.seek(min(position, self._file.frames))
            while len(block := self._file.read(size, dtype="float32", always_2d=True)):
                yield block
                position += len(block)
        except soundfile.LibsndfileError as error:  # nothing is given of the block in which it stumbled
            self.fault = error.error_string.rstrip(".")
            with suppress(_Undecodable), closing(_AvFile(self._path)) as file:
                yield from file.blocks(position / rate)

    def close(self) -> None:
        self._file.close()


class _AvFile:
    """A recording that FFmpeg's libraries read; see _SoundFile."""

    def __init__(self, path: str | Path) -> None:
        import av  # takes a moment, and most recordings do without

        try:
            self._file = av.open(os.fsdecode(path))
            self._stream = self._file.streams.audio[0]
        except (av.FFmpegError, IndexError, ValueError, UnicodeError) as error:
            raise _Undecodable from error
        if not self._stream.rate or not self._stream.channels:  # FFmpeg went by the suffix
            raise _Undecodable
        known = self._file.format.name != "aac"  # a bare AAC stream has no header; FFmpeg guesses
        self.promised = float(self._file.duration or 0) / av.time_base if known else 0.0
        self.info = Info(self.promised, self._stream.rate, self._stream.channels)
        self.fault = ""

    def blocks(self, start: float) -> Iterator[np.ndarray]:
        import av

        rate, channels = self.info.sampling_rate, self.info.channels
        to_float = av.AudioResampler("flt", self._stream.layout, rate)
        skip = round(start * rate)
        pending: list[np.ndarray] = []
        try:
            for frame in self._file.decode(self._stream):
                for part in to_float.resample(frame):
                    samples = part.to_ndarray().reshape(-1, channels)
                    dropped = min(skip, len(samples))
                    skip -= dropped
                    pending.append(samples[dropped:])
                if sum(map(len, pending)) >= BLOCK_SAMPLES // channels:
                    yield np.concatenate(pending)
                    pending = []
        except av.FFmpegError as error:
            self.fault = str(error)
        if any(map(len, pending)):
            yield np.concatenate(pending)

    def close(self) -> None:
        self._file.close()
