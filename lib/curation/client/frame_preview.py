"""A picture of a frame with its labels, to see whether sound and labels fit together before they are uploaded."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lib.audio.reader import probe, stream
from lib.config.schema import AudioSettings
from lib.core.errors import EarshotError
from lib.core.files import project_root
from lib.curation.client.label_class_map import LabelClassMap
from lib.curation.store.label_rows import LabelRules, place_of, rows_of_labels

LONGEST = 60.0
"""Seconds of a frame that are shown."""


def draw_frame(frame: Mapping[str, Any], predictions: Mapping[str, Any] | None, classes: LabelClassMap) -> Path:
    """Draw the spectrogram of a frame with its labels, and predictions where there are any; returns the PNG file.

    Args:
        frame, predictions: as to_dict gives them.
        classes: of the project, for colors.

    Raises EarshotError if the frame has no sound that can be read.
    """
    from lib.audio.spectrogram_plots import Span, SpectrogramPlot, overview
    from lib.audio.spectrograms import level_frames

    place = place_of(frame)
    if not place.audio_url:
        raise EarshotError(f"frame {frame['frame_id']!r}", "has no sound", "add_audio to it")
    path = project_root() / unquote(place.audio_url.removeprefix("file://"))
    info = probe(path)
    audio = AudioSettings(sampling_rate=info.sampling_rate, max_freq=info.sampling_rate // 2)
    end = min(info.seconds if place.end_time is None else place.end_time, place.start_time + LONGEST)

    def blocks() -> Iterator:
        n_left = round((end - place.start_time) * audio.sampling_rate)
        for block in stream(path, audio.sampling_rate, start=place.start_time):
            yield block[:n_left]
            n_left -= len(block)
            if n_left <= 0:
                return

    spectrogram, seconds = overview(level_frames(blocks(), audio), audio)
    rules = LabelRules({entry.name: entry.class_id for entry in classes.entries}, {})
    colors = {entry.name: entry for entry in classes.entries}
    spans = []
    for content in filter(None, (frame, predictions)):
        for row in rows_of_labels(content, place, rules):
            entry = colors[row["Class"]]
            color = (entry.train_color if content is predictions else None) or entry.color
            shown = "#" + "".join(f"{part:02x}" for part in color)
            start, stop = row["StartTime"], row["EndTime"]
            times = (place.start_time if start is None else start), (end if stop is None else stop)
            score = "" if row["Confidence"] is None else f" {row['Confidence']:.2f}"
            spans.append(Span(*times, row["Class"] + score, shown, row["LowFreq"], row["HighFreq"]))
    target = Path(tempfile.mkdtemp(prefix="frame-")) / "preview.png"
    SpectrogramPlot(audio).save(target, spectrogram, place.start_time, seconds, frame["frame_id"], spans)
    return target
