"""What the server and its decoders tell each other through pipes.

The server sends a line of JSON for each job. A decoder answers with messages: a line of JSON, and the bytes of an array
where there is one. An empty line tells it to stop reading the recording, of which it then sends the end.

Nothing is pickled, and the server checks the shape of what it reads: a decoder that a hostile recording has taken over
must not take over the server, too.
"""

import json
import math
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lib.inference.streams import WindowReader

LONGEST_LINE = 2**20
"""Bytes of a message without its array."""
MOST_BYTES = 2**28
"""Of an array."""
OUT_OF_MEMORY = 77
"""Exit status of a decoder that has reached its limit."""


def most_windows(shape: tuple[int, ...]) -> int:
    """How many windows of that shape a message may hold, at least 1; each start takes up to 32 bytes of its line."""
    return max(1, min(MOST_BYTES // (4 * math.prod(shape)), LONGEST_LINE // 64))


class DecodingJob(BaseModel):
    """A recording to be decoded.

    Args:
        path: of the recording.
        windows: how its windows are read.
        longest: s; a longer recording is refused.
        columns: of an overview that follows the windows; 0: none.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    windows: WindowReader
    longest: float = Field(1e12, gt=0)
    columns: int = 0


class DecoderMessage(NamedTuple):
    """What a decoder tells of a recording.

    Args:
        kind: windows (values (n, height, width) or (n, samples), at `starts`), waveform (values (2, columns): lowest
            and highest sample), spectrogram (values (height, columns) in 0..1), problem (see lib.core.errors.Problem),
            end (of the recording), or failed (it cannot be read).
        values: float32; empty where there are none.
        starts: s.
        seconds: of sound, in windows and end.
        text: of problems and failures.
        is_damage: whether a problem is that a part of the recording is missing.
    """

    kind: Literal["ready", "windows", "waveform", "spectrogram", "problem", "end", "failed"]
    values: np.ndarray = np.empty(0, np.float32)
    starts: tuple[float, ...] = ()
    seconds: float = 0.0
    text: str = ""
    is_damage: bool = False


def send(file: BinaryIO, message: DecoderMessage) -> None:
    values = np.ascontiguousarray(message.values, "<f4")
    fields: dict[str, Any] = message._asdict() | {"values": values.shape}
    file.write(json.dumps(fields).encode() + b"\n")
    file.write(values.data)
    file.flush()


class _Line(BaseModel):
    """A message as it is sent, its array by its shape."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["ready", "windows", "waveform", "spectrogram", "problem", "end", "failed"]
    values: tuple[int, ...] = Field(max_length=3)
    starts: tuple[float, ...]
    seconds: float
    text: str
    is_damage: bool


def parse(line: bytes) -> tuple[DecoderMessage, tuple[int, ...]]:
    """A message without its array, and the array's shape. Raises ValueError."""
    fields = _Line.model_validate_json(line)
    shape = fields.values
    if min(shape, default=0) < 0 or 4 * int(np.prod(shape, dtype=object)) > MOST_BYTES:
        raise ValueError(f"an array of shape {shape}")
    if fields.kind == "windows" and (len(shape) < 2 or len(fields.starts) != shape[0]):
        raise ValueError(f"{len(fields.starts)} windows of shape {shape}")
    return DecoderMessage(**fields.model_dump(exclude={"values"})), shape
