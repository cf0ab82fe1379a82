"""Recordings as streams of mono float32 blocks at one sampling rate, in constant memory.

libsndfile (through soundfile) decodes WAV, FLAC, Ogg, AIFF, W64 and more; what it does not know (M4A, AAC, WebM), MP3
(about damaged ones it writes to stderr) and what it gives up on go to FFmpeg's libraries (through PyAV). The content
tells the format, so a wrong suffix does not matter.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from lib.errors import AudioError, Problem
from lib.files import printable

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("wav", "wave", "w64", "rf64", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "caf"),
        *("m4a", "mp4", "aac", "webm", "wma", "mka"),
    )
)
SNDFILE_HEADS = frozenset({b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b"caff", b".snd"})
"""First bytes of the files that libsndfile gets."""
BLOCK_SAMPLES = 2**19
"""Samples of all channels that are decoded at once; after each block, libsndfile costs a search for its end."""
CHECK_SECONDS = 10.0
"""Seconds at the start of a recording by which its cleanest channel is chosen."""
LOUDEST = np.float32(1e9)
"""Values from here on are no sound but damage, and would overflow when squared."""

Note = Callable[[str], None]


def find_recordings(path: str | Path, include: str | None = None) -> tuple[dict[str, Path], list[Problem]]:
    """Recordings below a folder (or one file) by name, sorted, and what is odd about their names.

    include: a glob on file names without suffix. Raises AudioError if the path does not exist.
    """
    files = [file for file in recording_files(path) if include is None or fnmatchcase(printable(file.stem), include)]
    return name_recordings(files, Path(path))


def recording_files(path: str | Path) -> list[Path]:
    """The recordings below a folder, sorted, or the one file that the path names. Raises AudioError if it is none."""
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise AudioError(f"{root}: no such file or folder; check the path")
    return sorted(_walk(root))


def name_recordings(files: list[Path], root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Recordings by name, sorted, and what is odd about their names.

    A recording's name is its file name without suffix; where several share one, their paths within the root without
    suffix, and if that is not enough, with suffix.
    """
    found: dict[str, Path] = {}
    for name_of in (
        lambda file: printable(file.stem),
        lambda file: printable(str(file.relative_to(root).with_suffix(""))),
        lambda file: printable(str(file.relative_to(root))),
    ):
        named = set(found.values())
        distinct = _distinct([file for file in files if file not in named], name_of)
        found |= {name: file for name, file in distinct.items() if name not in found}
    problems = [problem for file in files for problem in _odd_name(file)]
    for file in sorted(set(files) - set(found.values())):
        problems.append(Problem(printable(str(file)), "another recording has the same name", "rename one of them"))
    return dict(sorted(found.items())), problems


def _walk(root: Path) -> Iterator[Path]:
    seen: set[str] = set()  # a link may lead back to a folder above it
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(folder, name)


def _distinct(files: list[Path], name_of: Callable[[Path], str]) -> dict[str, Path]:
    """The files whose name no other file has, by name."""
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(name_of(file), []).append(file)
    return {name: group[0] for name, group in by_name.items() if len(group) == 1}


def _odd_name(file: Path) -> list[Problem]:
    name = printable(file.name)
    if name == file.name:
        return []
    return [
        Problem(printable(str(file)), "the name is not UTF-8", f"it is shown as {name}; rename the file", lost=False)
    ]


class Info(NamedTuple):
    """What a recording's header says: duration in seconds (0: unknown), sampling rate in Hz, number of channels."""

    seconds: float
    sampling_rate: int
    channels: int


def probe(path: str | Path) -> Info:
    """Read a recording's header. Raises AudioError."""
    with _open(path) as source:
        return source.info


def stream(
    path: str | Path, sampling_rate: int, channel: str = "mix", start: float = 0.0, note: Note = lambda text: None
) -> Iterator[np.ndarray]:
    """Yield a recording as mono blocks, float32 (samples,) in -1..1, resampled to sampling_rate (Hz).

    channel: `mix` (mean of all), `first`, or `cleanest` (see cleanest_channel). start: seconds to skip. note: called
    with a line about what was repaired on the way (a truncated end, values that are no sound).
    Raises AudioError if nothing can be read.
    """
    with _open(path) as source:
        native = source.info.sampling_rate
        resampler = soxr.ResampleStream(native, sampling_rate, 1, dtype="float32") if native != sampling_rate else None
        n_read = n_bad = 0
        for block in _mono(source.blocks(start), channel, native):
            n_read += len(block)
            with np.errstate(over="ignore"):
                energy = np.dot(block, block)  # several times faster than looking at each sample
            if not energy < LOUDEST**2:  # true for NaN, too
                bad = ~(np.abs(block) < LOUDEST)
                n_bad += int(bad.sum())
                block = np.where(bad, np.float32(0), block)
            if resampler is not None:
                block = resampler.resample_chunk(block)
            if len(block):
                yield block
        if n_read == 0 and start == 0:
            raise AudioError(f"holds no sound ({source.fault or 'no samples'}); remove it or copy it anew")
        if resampler is not None and len(rest := resampler.resample_chunk(np.empty(0, np.float32), last=True)):
            yield rest
    expected = source.promised - start
    if source.fault or n_read / native < expected - 0.1:
        note(f"truncated or damaged: {n_read / native:.1f} of {expected:.1f} s could be read")
    if n_bad:
        note(f"{n_bad} samples are not numbers, or far too large, and were taken as silence")


def load(path: str | Path, sampling_rate: int, channel: str = "mix") -> np.ndarray:
    """A whole recording, float32 (samples,). For short ones: memory grows with its length. Raises AudioError."""
    return np.concatenate([np.empty(0, np.float32), *stream(path, sampling_rate, channel)])


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


def _mono(blocks: Iterable[np.ndarray], channel: str, rate: int) -> Iterator[np.ndarray]:
    chosen = 0
    head: list[np.ndarray] | None = []
    for block in blocks:
        if block.shape[1] == 1:
            yield block[:, 0]
        elif channel == "mix":
            yield block.mean(axis=1)
        elif channel == "first":
            yield np.ascontiguousarray(block[:, 0])
        elif head is None:
            yield np.ascontiguousarray(block[:, chosen])
        else:
            head.append(block)
            if sum(map(len, head)) >= CHECK_SECONDS * rate:
                start = np.concatenate(head)
                chosen, head = cleanest_channel(start), None
                yield np.ascontiguousarray(start[:, chosen])
    if head:
        start = np.concatenate(head)
        yield np.ascontiguousarray(start[:, cleanest_channel(start)])


def _open(path: str | Path) -> "_SoundFile | _AvFile":
    if not os.path.getsize(path):
        raise AudioError("the file is empty (0 bytes); remove it or copy it anew")
    with open(path, "rb") as file:
        head = file.read(4)
    reason = "no known sound format"
    if head in SNDFILE_HEADS:
        try:
            return _SoundFile(path)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.rstrip(".")
    try:
        return _AvFile(path)
    except AudioError:
        raise AudioError(f"cannot be decoded ({reason}); convert it to WAV or FLAC, or remove it") from None


class _SoundFile:
    """A recording that libsndfile reads. promised: its duration (s) if it were whole; fault: what kept it from that."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        # By its descriptor, for by its name libsndfile would take any file that ends in .mp3 for one.
        self._file = soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True)
        self.info = Info(self._file.frames / self._file.samplerate, self._file.samplerate, self._file.channels)
        self.promised = self.info.seconds
        self.fault = ""
        # Of a truncated WAV or AIFF, libsndfile takes what is there and says so in its log only.
        sizes = re.search(r"^ ?(?:data|SSND) *: (\d+) \(should be (\d+)\)", self._file.extra_info, re.MULTILINE)
        if sizes and int(sizes[2]) < int(sizes[1]) < 0xFFFFFFFF:  # that size stands for an unknown one
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
        except soundfile.LibsndfileError as error:
            self.fault = error.error_string.rstrip(".")
            yield from self._rest(position)

    def _rest(self, position: int) -> Iterator[np.ndarray]:
        """Blocks from a sample on of a file in which libsndfile stumbled; of such a block, it gives nothing."""
        try:
            with _AvFile(self._path) as file:
                yield from file.blocks(position / self.info.sampling_rate)
        except AudioError:
            return

    def __enter__(self) -> "_SoundFile":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


class _AvFile:
    """A recording that FFmpeg's libraries read; see _SoundFile."""

    def __init__(self, path: str | Path) -> None:
        import av  # takes a moment, and most recordings do without

        try:
            self._file = av.open(os.fsdecode(path))
            self._stream = self._file.streams.audio[0]
        except (av.FFmpegError, IndexError, ValueError, UnicodeError) as error:
            raise AudioError(f"cannot be decoded ({error})") from None
        if not self._stream.rate or not self._stream.channels:  # taken for sound because of its suffix
            raise AudioError("cannot be decoded (no sound in it)")
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

    def __enter__(self) -> "_AvFile":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()
