"""Clips as files of sound with a table, for other people and other tools.

Each file holds the samples of its recording as they are, at its own sampling rate; clips.csv says what each one is.
"""

import math
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Literal, get_args

import soundfile

from lib.audio.reader import probe
from lib.audio.sound_stretches import longest, read_stretch
from lib.core.csv_files import write_csv
from lib.core.errors import AudioError, EarshotError, Problem, SettingsError
from lib.core.files import atomic, fitting_name
from lib.curation.clip_index import Clip

SoundFormat = Literal["wav", "flac"]
MOST_FLAC_RATE = 655_350
"""Hz; the format has no room for higher rates."""
CLIPS_TABLE = "clips.csv"
COLUMNS = [
    *("file", "recording", "start_time", "end_time", "class", "score", "low_freq", "high_freq"),
    *("origin", "outcome", "decision", "new_class"),
]


def export_clips(
    clips: Sequence[Clip], folder: str | Path, suffix: SoundFormat, context: float = 0.0, channel: str = "mix"
) -> tuple[int, list[Problem]]:
    """Write clips into a folder, and their table; what else is there stays.

    Args:
        clips: those to write.
        folder: which is made if it is missing.
        suffix: wav or flac.
        context: seconds before and after each.
        channel: see lib.audio.reader.stream.

    Returns how many there are, and a Problem for each that could not be written. Raises SettingsError for other
    formats.
    """
    if suffix not in get_args(SoundFormat):
        raise SettingsError(f"format {suffix!r}", f"must be one of {', '.join(get_args(SoundFormat))}")
    rows, problems, taken = [], [], set[str]()
    for clip in clips:
        try:
            start, end = _span(clip, context)
            stretch = read_stretch(clip.path, start, end, channel)
            if suffix == "flac" and stretch.sampling_rate > MOST_FLAC_RATE:
                raise AudioError(clip.path, f"{stretch.sampling_rate:,} Hz is more than FLAC holds", "export WAV files")
        except EarshotError as error:
            problems.append(error.problem())
            continue
        name = _free_name(f"{clip.recording}-{start:.3f}-{end:.3f}-{clip.class_name}", f".{suffix}", taken)
        subtype = "PCM_24" if suffix == "flac" else "FLOAT"
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            soundfile.write(part, stretch.samples, stretch.sampling_rate, format=suffix.upper(), subtype=subtype)
        about = [name, clip.recording, start, end, clip.class_name, clip.score, clip.low_freq, clip.high_freq]
        rows.append([*about, clip.origin, clip.outcome, clip.decision, clip.new_class])
    write_csv(Path(folder, CLIPS_TABLE), COLUMNS, [["" if cell is None else cell for cell in row] for row in rows])
    return len(rows), problems


def _span(clip: Clip, context: float) -> tuple[float, float]:
    """Start and end (s) of what is written of a clip. Raises AudioError."""
    info = probe(clip.path)
    start = max(0.0, clip.start_time - context)
    last = clip.seconds or info.seconds or math.inf
    return start, min(clip.end_time + context, last, start + longest(info.sampling_rate))


def _free_name(stem: str, suffix: str, taken: set[str]) -> str:
    """A file name that is not taken, also where upper and lower case are the same; it is added to those taken."""
    stem = re.sub(r"[^\w.~ -]", "_", stem)
    numbered = (f"{stem}-{k}" if k > 1 else stem for k in count(1))
    name = next(name for each in numbered if (name := fitting_name(each, suffix)).lower() not in taken)
    taken.add(name.lower())
    return name
