"""A process that decodes recordings for the server, one after the other, with limits on memory and processor time.

It is started by lib.server.decoder_pool, reads jobs from its input and writes messages to its output, see
lib.server.decoder_messages. What goes wrong in it costs the recording that it reads, and no other.
"""

import ctypes
import math
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av  # noqa: F401  before there are limits: it maps 100 MB
import numpy as np

from lib.audio import reader
from lib.audio.spectrograms import level_frames, normalize
from lib.core.errors import AudioError, Problem
from lib.core.incremental import Item, Progress, Source
from lib.server.decoder_messages import OUT_OF_MEMORY, DecoderMessage, DecodingJob, send
from lib.server.process_limits import limit_memory_and_files

MOST_FILES = 64
PR_SET_PDEATHSIG = 1


def decode_jobs(memory_mb: int, seconds: int) -> None:
    output = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # decoders print there what they think of a recording
    os.dup2(nowhere, 2)
    _die_with_parent()
    limit_memory_and_files(memory_mb * 2**20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    send(output, DecoderMessage("ready"))
    for line in sys.stdin.buffer:
        if not line.strip():  # to give up a recording that was just done
            continue
        used = resource.getrusage(resource.RUSAGE_SELF)
        end = math.ceil(used.ru_utime + used.ru_stime) + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))
        _decode(DecodingJob.model_validate_json(line), output)


def _die_with_parent() -> None:
    """Also where the server is killed while this process computes; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _decode(job: DecodingJob, output: BinaryIO) -> None:
    """Send what a recording holds. Ends the process if memory runs out, since some of it may be lost."""
    try:
        for message in _messages(job):
            send(output, message)
            if message.kind != "end" and select.select([sys.stdin], [], [], 0)[0]:
                send(output, DecoderMessage("end"))
                return
    except AudioError as error:
        text = f"{error.fault}; {error.remedy}" if error.remedy else error.fault
        send(output, DecoderMessage("failed", text=text))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BrokenPipeError:
        sys.exit()
    except Exception:
        place = " ".join(traceback.format_exc(limit=-3).split())
        send(output, DecoderMessage("problem", text=place))
        send(output, DecoderMessage("failed", text="cannot be decoded; convert it to WAV or FLAC"))


def _messages(job: DecodingJob) -> Iterator[DecoderMessage]:
    path = Path(job.path)
    _check_length(path, reader.probe(path).seconds, job.longest)
    seconds = 0.0
    for piece in job.windows.read(Source(Item(path.stem, path), "")):
        if isinstance(piece, Problem):
            yield DecoderMessage("problem", text=f"{piece.fault}; {piece.remedy}", is_damage=piece.again)
        elif not isinstance(piece, Progress):
            _, windows, _ = piece
            seconds = windows.seconds
            _check_length(path, seconds, job.longest)
            yield DecoderMessage("windows", windows.inputs, tuple(windows.starts.tolist()), seconds)
    if job.columns:
        yield from _overview(job, seconds)
    yield DecoderMessage("end", seconds=seconds)


def _check_length(path: Path, seconds: float, longest: float) -> None:
    if seconds > longest:
        raise AudioError(path, f"is longer than {longest:g} s by its header or its sound", "send a part of it")


def _overview(job: DecodingJob, seconds: float) -> Iterator[DecoderMessage]:
    """A picture of a recording that lasts `seconds`, of constant size: extremes of the samples and highest levels."""
    audio = job.windows.audio
    blocks = reader.stream(job.path, audio.sampling_rate, audio.channel, job.windows.start)
    columns = min(job.columns, max(1, round(seconds * audio.frame_rate)))
    waveform = np.tile(np.array([[np.inf], [-np.inf]], np.float32), columns)
    n_samples, n_samples_all = 0, max(1, round(seconds * audio.sampling_rate))

    def drawn() -> Iterator[np.ndarray]:
        nonlocal n_samples
        for block in blocks:
            column = _columns(n_samples, len(block), n_samples_all, columns)
            np.minimum.at(waveform[0], column, block)
            np.maximum.at(waveform[1], column, block)
            n_samples += len(block)
            yield block

    levels = np.full((audio.spec_height, columns), -np.inf, np.float32)
    n_frames, n_frames_all = 0, max(1, round(seconds * audio.frame_rate))
    for piece in level_frames(drawn(), audio):
        column = _columns(n_frames, piece.shape[1], n_frames_all, columns)
        np.maximum.at(levels.T, column, piece.T)
        n_frames += piece.shape[1]
    yield DecoderMessage("waveform", np.where(np.isfinite(waveform), waveform, np.float32(0)))
    lowest = levels[np.isfinite(levels)].min(initial=0)
    levels = np.where(np.isfinite(levels), levels, lowest)
    yield DecoderMessage("spectrogram", normalize(levels[None], audio)[0])


def _columns(first: int, n: int, n_all: int, columns: int) -> np.ndarray:
    """In which of the columns each of n values lies, the first of which is at `first` of n_all: int (n,)."""
    return np.minimum((first + np.arange(n)) * columns // n_all, columns - 1)


if __name__ == "__main__":
    decode_jobs(int(sys.argv[1]), int(sys.argv[2]))
