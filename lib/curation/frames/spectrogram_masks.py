"""Masks on a spectrogram: which class, or which instance, each of its pixels belongs to.

A mask covers its frame from start to end, and all frequencies from 0 Hz to half the sampling rate. Row 0 is the lowest
frequency, as in all spectrograms here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from lib.core.errors import EarshotError
from lib.core.files import project_root

MOST_PIXELS = 2**26
"""Of a mask: 16,384 frames by 4,096 bins."""
MOST_VALUES = 65_536


class MaskRegion(NamedTuple):
    """Where a value of a mask is, as shares 0..1 of the frame's duration and of half the sampling rate."""

    value: int
    start: float
    end: float
    low: float
    high: float


def encoded_mask(mask: Any) -> dict[str, Any]:
    """A mask, int (height, width) of values 0 to 65,535, as JSON can hold it: lengths of runs, row by row.

    Raises EarshotError for anything else.

    >>> encoded_mask([[0, 0, 3], [3, 3, 3]])
    {'shape': [2, 3], 'runs': [[0, 2], [3, 4]]}
    """
    try:
        pixels = np.asarray(mask)
    except ValueError:
        pixels = np.empty(0)
    if pixels.ndim != 2 or not 0 < pixels.size <= MOST_PIXELS or pixels.dtype.kind not in "biu":
        fault = f"must be an integer array (height, width) of at most {MOST_PIXELS} pixels"
        raise EarshotError("mask_data", fault, "give one value for each pixel of the spectrogram")
    flat = pixels.astype(np.int64).ravel()
    if flat.min() < 0 or flat.max() >= MOST_VALUES:
        raise EarshotError("mask_data", f"has values outside 0..{MOST_VALUES - 1}", "number classes and instances so")
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(np.append(starts, flat.size))
    runs = np.stack([flat[starts], lengths], axis=1).tolist()
    return {"shape": list(pixels.shape), "runs": runs}


def decoded_mask(content: Mapping[str, Any]) -> np.ndarray:
    """The mask, uint16 (height, width), that encoded_mask encoded. Raises EarshotError if it is damaged."""
    try:
        height, width = (int(n) for n in content["shape"])
        values, lengths = np.array(content["runs"], np.int64).reshape(-1, 2).T
        n_pixels = height * width
        is_possible = height > 0 and width > 0 and n_pixels <= MOST_PIXELS and lengths.size <= n_pixels
        if not (is_possible and 0 <= values.min() <= values.max() < MOST_VALUES):
            raise ValueError
        if not (0 < lengths.min() <= lengths.max() <= n_pixels and lengths.sum() == n_pixels):  # a sum may wrap around
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise EarshotError("mask", "its runs do not fill its shape", "write it with write_to_file") from None
    return np.repeat(values.astype(np.uint16), lengths).reshape(height, width)


def mask_of_picture(url: str) -> np.ndarray:
    """The mask that a PNG file shows, top row the highest frequency as pictures have it, uint (height, width).

    url: a path, which counts from the project's folder, or a file:// URL. Raises EarshotError.
    """
    from PIL import Image, UnidentifiedImageError

    path = project_root() / Path(unquote(url.removeprefix("file://")))
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS or picture.mode not in ("1", "L", "P", "I", "I;16"):
                raise EarshotError(path, "is no mask", "give a PNG picture with one number for each pixel")
            return np.flipud(np.asarray(picture))
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise EarshotError(
            path, f"cannot be read ({type(error).__name__})", "give a PNG file on this machine"
        ) from None


def mask_regions(mask: np.ndarray) -> Iterator[MaskRegion]:
    """The smallest box around all pixels of each value of a mask, (height, width), by value."""
    from scipy.ndimage import find_objects

    height, width = mask.shape
    for value, box in enumerate(find_objects(mask.astype(np.int32) + 1)):  # which takes 0 for the background
        if box is not None:
            rows, columns = box
            times = columns.start / width, columns.stop / width
            yield MaskRegion(value, *times, rows.start / height, rows.stop / height)
