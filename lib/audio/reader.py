"""Recordings as streams of mono float32 blocks at one sampling rate, in constant memory.

libsndfile (through soundfile) decodes WAV, FLAC, Ogg, AIFF, W64 and more. FFmpeg's libraries (through PyAV) decode what
it does not know (M4A, AAC, WebM) or gives up on, and MP3, since it prints to stderr about damaged ones. The format is
recognized by content, so a wrong suffix does not matter. Playlists and descriptions of streams are refused: they would
make FFmpeg's libraries open other files, or listen to the network.

To both decoders, a disk that fails for a moment looks like the end of the file, or like another header. So a recording
that ends early is decoded once more: the file is damaged only if it ends at the same place again and all its bytes can
be read. And libsndfile must read the header of the same file again when it is done.

Decoders run in this process, not in a child with limits: headers are checked before a decoder sees them, and since then
none of 200,000 damaged recordings (tests/fuzz) crashed one, or took more than 10 s or 1 GB. A server that decodes what
strangers send is another matter.
"""

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from lib.audio.caf import caf_damage, caf_is_cut
from lib.core.digests import digest_file, state_of
from lib.core.errors import AudioError, Problem, failed_for_a_moment, reading
from lib.core.files import open_regular, printable
from lib.core.wording import counted
from lib.sound.recordings import SNDFILE_HEADS
from lib.sound.riff import UNKNOWN_SIZE, riff_chunks

BLOCK_SAMPLES = 2**19
"""Samples of all channels that are decoded at once; after each block, libsndfile searches for its end."""
CHECK_SECONDS = 10.0
"""Seconds at the start of a recording by which its cleanest channel is chosen."""
LOUDEST = np.float32(1e9)
"""Values from here on are damage, not sound, and would overflow when squared."""

RATES = range(100, 10_000_001)
"""Sampling rates (Hz) of recordings: hydrophones for whales record at 250, for porpoises at a million. Others are
damage, and resampling would take gigabytes."""
PCM_TAGS = (1, 3, 0xFFFE)
"""Format tags of WAV files that are not compressed: integers, floats, and either."""

TRUNCATED = re.compile(r"^ *(?:data|SSND|riff|Riff size|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""In libsndfile's log: bytes that the header of a WAV, AIFF, W64, RF64 or AU file promises, and those there are."""
UNFINISHED = (UNKNOWN_SIZE, 2**63 - 1, 2**64 - 1)
"""Sizes in the headers of files that were written as streams."""
LONGEST_OGG_PAGE = 65307
"""Bytes (RFC 3533)."""
MOST_FRAMES = 2**62
"""No file has as many; libsndfile tells more where it does not know."""
BARE_STREAMS = {"aac", "ac3", "dts", "eac3", "loas", "mlp", "mp3", "truehd"}
"""FFmpeg's formats without a header: packets of sound and nothing else."""
CONTAINERS = (
    "aac,ac3,aea,aiff,amr,ape,au,avr,caf,dsf,dss,dts,dtshd,eac3,flac,gsm,iff,ircam,loas,mlp,mp3,mpc,mpc8,nistsphere,"
    "ogg,oma,paf,pvf,qcp,shn,sox,tak,truehd,tta,voc,w64,wav,wv,xwma,"
    "asf,avi,dv,flv,matroska,mov,mpeg,mpegts,mxf"
)
"""FFmpeg's names of the formats that it may open: those of recordings, and of films."""
NOTHING_ELSE = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}
"""Options of FFmpeg: other formats are refused, and so is opening anything besides the file that it is given."""
FIRST_FRAME_BYTES = 4096
BYTES_AT_ONCE = 2**18
"""How many bytes of a file FFmpeg's libraries ask for: each time they wait for Python's lock."""
Note = Callable[[Problem], None]


class Info(NamedTuple):
    """What a recording's header says: duration in seconds (0: unknown), sampling rate in Hz, number of channels."""

    seconds: float
    sampling_rate: int
    channels: int


def probe(path: str | Path) -> Info:
    """Read a recording's header. Raises AudioError."""
    with reading(path), closing(_open(path)) as source:
        return source.info


def stream(
    path: str | Path,
    sampling_rate: int,
    channel: str = "mix",
    start: float = 0.0,
    note: Note = lambda problem: None,
    needed_rate: float = 0.0,
) -> Iterator[np.ndarray]:
    """Yield a recording as mono blocks, float32 (samples,) in -1..1.

    Args:
        sampling_rate: Hz, to which it is resampled.
        channel: `mix` (mean of all), `first`, or `cleanest` (see cleanest_channel), which is chosen by the beginning of
            the recording, wherever the stream starts.
        start: seconds to skip.
        note: called with a Problem for each repair (a truncated end, values that are not sound).
        needed_rate: Hz; a recording of a lower sampling rate is noted.

    Raises AudioError if nothing can be read, or if the disk fails while it is read.
    """
    with reading(path), closing(_open(path)) as source:
        native = source.info.sampling_rate
        if native < needed_rate:
            note(unusual(path, f"recorded at {native:,} Hz, which lacks most of the band that is analyzed"))
        resampler = soxr.ResampleStream(native, sampling_rate, 1, dtype="float32") if native != sampling_rate else None
        n_at_once = max(1, BLOCK_SAMPLES * native // sampling_rate)  # what is resampled may be many times longer
        n_read = n_bad = 0
        is_chosen_before = start > 0 and channel == "cleanest" and source.info.channels > 1
        number = _cleanest_at_start(str(path), state_of(path)) if is_chosen_before else None
        for block in _mono(source.blocks(start), channel, source.info, number):
            n_read += len(block)
            with np.errstate(over="ignore"):
                energy = np.dot(block, block)  # several times faster than checking each sample
            if not energy < LOUDEST**2:  # also true for NaN
                bad = ~(np.abs(block) < LOUDEST)
                n_bad += int(bad.sum())
                block = np.where(bad, np.float32(0), block)
            if resampler is None:
                yield block
                continue
            for i in range(0, len(block), n_at_once):
                if len(resampled := resampler.resample_chunk(block[i : i + n_at_once])):
                    yield resampled
        if n_read == 0 and start == 0:
            raise AudioError(path, f"holds no sound ({source.fault or 'no samples'})", "remove it or copy it again")
        if resampler is not None and len(rest := resampler.resample_chunk(np.empty(0, np.float32), last=True)):
            yield rest
        expected = source.promised - start
        is_short = n_read / native < expected - 0.1
        if is_short or source.trouble():
            _check_that_it_is_the_file(path, start, n_read, source.trouble())
        if is_short or source.fault:
            whole = f" of {expected:.1f}" if is_short else ""
            fault = f"truncated or damaged: {n_read / native:.1f}{whole} s could be read"
            note(unusual(path, fault)._replace(again=True))
    if n_bad:
        fault = f"{counted(n_bad, 'sample')} not a number, or far too large, taken as silence"
        note(unusual(path, fault))


def unusual(path: str | Path, fault: str) -> Problem:
    """A Problem of a recording that is used all the same."""
    return Problem(printable(str(path)), fault, "check the file", lost=False)


def load(path: str | Path, sampling_rate: int, channel: str = "mix", note: Note = lambda problem: None) -> np.ndarray:
    """A whole recording, float32 (samples,); memory grows with its length. Arguments and errors as for stream."""
    return np.concatenate([np.empty(0, np.float32), *stream(path, sampling_rate, channel, note=note)])


def cleanest_channel(samples: np.ndarray) -> int:
    """Index of the channel with the least noise; of no samples, the first. samples: (n, channels).

    A channel's noise is the 20th percentile of the power of its 20 ms stretches over their mean: steady noise fills the
    gaps between sounds. A dead or damaged channel comes last.
    """
    if not len(samples):
        return 0
    stretches = np.array_split(samples, max(1, len(samples) // 960))
    power = np.array([np.square(stretch).mean(axis=0) for stretch in stretches])
    mean = power.mean(axis=0)
    usable = (mean > 0) & (mean < LOUDEST)
    noise = np.where(usable, np.percentile(power, 20, axis=0) / np.maximum(mean, 1e-30), np.inf)
    return int(np.argmin(noise))


def _mono(blocks: Iterator[np.ndarray], channel: str, info: Info, number: int | None = None) -> Iterator[np.ndarray]:
    """Blocks (n, channels) as mono ones (n,). number: of the channel, if it is chosen already."""
    if info.channels > 1 and channel == "mix":
        yield from (block.mean(axis=1) for block in blocks)
        return
    if info.channels > 1 and channel == "cleanest" and number is None:
        head = _first_seconds(blocks, info)
        number, blocks = cleanest_channel(head), chain([head], blocks)
    yield from (np.ascontiguousarray(block[:, number or 0]) for block in blocks)


def _first_seconds(blocks: Iterator[np.ndarray], info: Info) -> np.ndarray:
    """The blocks, (n, channels), that hold the first CHECK_SECONDS, as one."""
    head, n = [np.empty((0, info.channels), np.float32)], 0
    while n < CHECK_SECONDS * info.sampling_rate and (block := next(blocks, None)) is not None:
        head.append(block)
        n += len(block)
    return np.concatenate(head)


@lru_cache(maxsize=4096)
def _cleanest_at_start(path: str, state: str) -> int:
    """The channel that a stream from the start of a recording takes. state: of its file, for the cache."""
    with closing(_open(path)) as source:
        return cleanest_channel(_first_seconds(source.blocks(0.0), source.info))


def _check_that_it_is_the_file(path: str | Path, start: float, n_read: int, trouble: str) -> None:
    """Raise AudioError unless all bytes can be read, and decoding again, from `start` (s), ends in the same way."""
    digest_file(path)
    with closing(_open(path)) as source:
        n_again = sum(map(len, source.blocks(start)))
        trouble_again = source.trouble()
    if (n_again, trouble_again) != (n_read, trouble):
        raise failed_for_a_moment(path)


def _open(path: str | Path) -> "_SoundFile | _AvFile":
    with open_regular(path) as file:
        head = file.read(4)
        is_for_sndfile = head in SNDFILE_HEADS and _is_for_sndfile(file)
        damage = (caf_damage if head == b"caff" else _riff_damage)(file)
        is_cut = caf_is_cut(file) if head == b"caff" else head == b"OggS" and _ogg_is_cut(file)
    if not head:
        raise AudioError(path, "the file is empty (0 bytes)", "remove it or copy it again")
    if damage:
        raise AudioError(path, damage, "copy it again, or remove it")
    why = "no known sound format"
    source: _SoundFile | _AvFile | None = None
    if is_for_sndfile:
        try:
            source = _SoundFile(path)
        except soundfile.LibsndfileError as error:
            why = error.error_string.rstrip(".")
        except _Undecodable:
            pass
    try:
        source = source or _AvFile(path)
    except _Undecodable:
        raise AudioError(path, f"cannot be decoded ({why})", "convert it to WAV or FLAC, or remove it") from None
    if (rate := source.info.sampling_rate) not in RATES:
        source.close()
        raise AudioError(path, f"has a sampling rate of {rate} Hz in its header", "copy it again, or remove it")
    if is_cut:
        source.fault = "its end is missing"
    return source


def _is_for_sndfile(file: BinaryIO) -> bool:
    """Whether libsndfile reads a file right, as far as its chunks tell if it is a WAV file.

    It counts the samples of compressed ones in 32 bits.
    """
    end, seconds_a_byte, rate, is_compressed = os.fstat(file.fileno()).st_size, 0.0, 0, False
    for chunk in riff_chunks(file):
        if chunk.name == b"fmt ":
            file.seek(chunk.start)
            if len(content := file.read(12)) < 12:
                return False
            tag, _, rate, bytes_a_second = struct.unpack("<HHII", content)
            is_compressed, seconds_a_byte = tag not in PCM_TAGS, 1 / max(bytes_a_second, 1)
        elif chunk.name == b"data":
            size = end - chunk.start if chunk.size == UNKNOWN_SIZE else min(chunk.size, end - chunk.start)
            return not (is_compressed and size * seconds_a_byte * rate >= 2**31)
    return True


def _riff_damage(file: BinaryIO) -> str:
    """What is wrong with the header of a WAV file, "" if nothing: decoders take memory for chunks as large as they
    claim to be, and do not find sound that would come behind the end of the file."""
    end = os.fstat(file.fileno()).st_size
    for chunk in riff_chunks(file):
        if chunk.name == b"data":
            break
        if chunk.start + chunk.size > end:
            name = printable(chunk.name.decode("latin-1"))
            return f"its header is damaged: chunk {name} is larger than the file"
    return ""


def _ogg_is_cut(file: BinaryIO) -> bool:
    """Whether the last page of an Ogg file does not say that it is the last."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST_OGG_PAGE))
    _, page, rest = file.read(LONGEST_OGG_PAGE).rpartition(b"OggS")
    return bool(page) and len(rest) > 1 and not rest[1] & 4


class _Undecodable(Exception):
    """A decoder does not read a file, or finds no sound in it."""


class _Header(NamedTuple):
    """What libsndfile makes of a file's header, with what it notes in its log meanwhile."""

    frames: int
    sampling_rate: int
    channels: int
    log: str


def _header(file: soundfile.SoundFile) -> _Header:
    return _Header(file.frames, file.samplerate, file.channels, _log(file))


def _log(file: soundfile.SoundFile) -> str:
    """libsndfile's log, without what it says of the last page of an Ogg file: that depends on uninitialized memory."""
    return re.sub("^ *Ogg ?: .*\n", "", file.extra_info, flags=re.MULTILINE)


class _SoundFile:
    """A recording that libsndfile reads.

    Attributes:
        promised: its duration (s) if it were whole.
        fault: why reading stopped early, or "".
        trouble: that, and what libsndfile's log says of reads that gave less than it wanted.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        # By its descriptor: given a name that ends in .mp3, libsndfile takes any file for one.
        self._file = soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True)
        if self._file.frames >= MOST_FRAMES:  # a FLAC file that was written as a stream: its end would be a fault
            self._file.close()
            raise _Undecodable
        self._header = _header(self._file)
        self.info = Info(self._file.frames / self._file.samplerate, self._file.samplerate, self._file.channels)
        self.promised = self.info.seconds
        self.fault = ""
        # libsndfile reads a truncated file as far as it goes, and reports that in its log only.
        sizes = TRUNCATED.search(self._header.log)
        if sizes and int(sizes[2]) < int(sizes[1]) and int(sizes[1]) not in UNFINISHED:
            self.promised *= int(sizes[1]) / max(int(sizes[2]), 1)

    def blocks(self, start: float) -> Iterator[np.ndarray]:
        rate = self.info.sampling_rate
        position, size = round(start * rate), BLOCK_SAMPLES // self.info.channels
        try:
            if start:
                self._file.seek(min(position, self._file.frames))
            while len(block := self._file.read(size, dtype="float32", always_2d=True)):
                yield block
                position += len(block)
            self._check_header()
        except soundfile.LibsndfileError as error:  # nothing is given of the block in which it stumbled
            self.fault = error.error_string.rstrip(".")
            with suppress(_Undecodable), closing(_AvFile(self._path)) as file:
                yield from file.blocks(position / rate)

    def _check_header(self) -> None:
        """Raise AudioError if the header reads otherwise now."""
        try:
            with soundfile.SoundFile(os.open(self._path, os.O_RDONLY), closefd=True) as again:
                now = _header(again)
        except soundfile.LibsndfileError:
            raise failed_for_a_moment(self._path) from None
        if now != self._header:
            raise failed_for_a_moment(self._path)

    def trouble(self) -> str:
        return self.fault + _log(self._file).removeprefix(self._header.log)

    def close(self) -> None:
        self._file.close()


class _AvFile:
    """A recording that FFmpeg's libraries read; see _SoundFile."""

    def __init__(self, path: str | Path) -> None:
        import av  # takes a moment, and most recordings do without

        self._bytes = _File(path)
        try:
            self._file = av.open(self._bytes, "r", container_options=NOTHING_ELSE, buffer_size=BYTES_AT_ONCE)
            self._stream = self._file.streams.audio[0]
            context = self._stream.codec_context
            if context is None or not context.sample_rate or not context.channels:  # it lacks the codec, or has guessed
                raise _Undecodable
        except (av.FFmpegError, IndexError, ValueError, UnicodeError, _Undecodable) as error:
            self._bytes.close()
            self._bytes.check()
            raise _Undecodable from error
        self._bytes.check()
        self.promised = self._duration(path)
        self.info = Info(self.promised, context.sample_rate, context.channels)
        self.fault = ""

    def _duration(self, path: str | Path) -> float:
        """Seconds of sound by the header; 0 if it does not tell, and FFmpeg guesses by the size of the file."""
        import av

        if self._file.format.name in BARE_STREAMS and not _counts_frames(path):
            return 0.0
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        is_alone = len(self._file.streams) == 1  # else a video may be longer than its sound
        return float(self._file.duration or 0) / av.time_base if is_alone else 0.0

    def blocks(self, start: float) -> Iterator[np.ndarray]:
        import av

        rate, channels = self.info.sampling_rate, self.info.channels
        skip = round(start * rate)
        pending: list[np.ndarray] = []
        try:
            to_float = av.AudioResampler("flt", self._stream.layout, rate)
            for frame in self._file.decode(self._stream):
                for part in to_float.resample(frame):
                    samples = part.to_ndarray().reshape(-1, channels)
                    dropped = min(skip, len(samples))
                    skip -= dropped
                    pending.append(samples[dropped:])
                if sum(map(len, pending)) >= BLOCK_SAMPLES // channels:
                    yield np.concatenate(pending)
                    pending = []
        except (av.FFmpegError, ValueError) as error:
            self.fault = str(error)
        self._bytes.check()
        if any(map(len, pending)):
            yield np.concatenate(pending)

    def trouble(self) -> str:
        return self.fault

    def close(self) -> None:
        self._file.close()
        self._bytes.close()


def _counts_frames(path: str | Path) -> bool:
    """Whether an MP3 file begins with a frame that tells how many there are (Xing, Info or VBRI)."""
    with open_regular(path) as file:
        head = file.read(10)
        tag = 0
        if head[:3] == b"ID3" and len(head) == 10:
            tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        file.seek(tag)
        frame = file.read(FIRST_FRAME_BYTES)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


class _File(io.FileIO):
    """A file that remembers that reading it failed, whatever its reader makes of that."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._error: OSError | None = None

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size) or b""
        except OSError as error:  # PyAV would print it
            self._error = error
            return b""

    def check(self) -> None:
        """Raise the error of a read that failed."""
        if self._error is not None:
            raise self._error
