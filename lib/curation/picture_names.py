"""What pictures of windows are called, as Extractor.extract_by_image reads them back, and what they say besides."""

from pathlib import Path
from typing import NamedTuple

from lib.core.csv_files import number_in
from lib.core.files import fitting_name
from lib.core.wording import seconds_text

AROUND = len("001~~0.123.png")


def picture_name(recording: str, start: float) -> str:
    """`<recording>-<start>`: seconds to hundredths, or to thousandths where needed.

    >>> picture_name("dawn", 1.5), picture_name("dawn", 0.375)
    ('dawn-1.50', 'dawn-0.375')
    """
    return fitting_name(recording, f"-{f'{start:.3f}'.removesuffix('0')}", more=AROUND)


class PictureAbout(NamedTuple):
    """What a picture of a spectrogram is about; "" and NaN: it does not say.

    Args:
        class_name: the class that was found, annotated or suggested.
        start_time, end_time: of the sound in its recording, s.
    """

    class_name: str = ""
    start_time: float = float("nan")
    end_time: float = float("nan")

    def texts(self) -> dict[str, str]:
        """What the PNG file holds of it."""
        times = {"start_time": seconds_text(self.start_time), "end_time": seconds_text(self.end_time)}
        values = {"class": self.class_name} | times
        return {key: value for key, value in values.items() if value not in ("", "nan")}


def read_about(path: str | Path) -> PictureAbout:
    """What a picture file says that it is about; nothing if it is none, or damaged."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            texts = dict(picture.info)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return PictureAbout()
    cells = {key: texts[key] if isinstance(texts.get(key), str) else "" for key in ("class", "start_time", "end_time")}
    return PictureAbout(cells["class"], number_in(cells["start_time"]), number_in(cells["end_time"]))
