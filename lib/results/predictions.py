"""Predictions: labels with everything that a model, of any origin, may say about them."""

import json
import math
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any, NamedTuple

from lib.core.files import printable
from lib.sound.classes import ClassList

LONGEST_ID = 500
"""Characters."""
LARGEST_NUMBER = 2**63 - 1
"""That SQLite holds."""


class Prediction(NamedTuple):
    """A sound that a model found in a recording: a time interval or, with frequencies, a box in time and frequency.

    Args:
        label: name or code of its class.
        reference_id: name of the recording.
        start_time, end_time: s from the start of the recording.
        confidence: 0..1.
        annotation_id: unique within the recording; None: a number is given to it.
        low_freq, high_freq: Hz; None: unknown.
        class_pdf: probability, 0..1, of each class that the model considered.
        metadata: anything else to store with it: a mapping that JSON can hold.

    >>> Prediction("Moor Frog", "dawn", 1.5, 2.25, 0.9, low_freq=300, high_freq=1200).annotation_id is None
    True
    """

    label: str
    reference_id: str
    start_time: float
    end_time: float
    confidence: float
    annotation_id: str | None = None
    low_freq: float | None = None
    high_freq: float | None = None
    class_pdf: Mapping[str, float] | None = None
    metadata: Mapping[str, Any] | None = None


def number_of(annotation_id: str) -> int | None:
    """The number of which an id is the text; None if it is another text.

    >>> number_of("12"), number_of("012"), number_of("call 12")
    (12, None, None)
    """
    is_number = annotation_id.isascii() and annotation_id.isdecimal() and len(annotation_id) < 20
    number = int(annotation_id) if is_number else LARGEST_NUMBER + 1
    return number if number <= LARGEST_NUMBER and str(number) == annotation_id else None


def fault_of(prediction: Prediction, classes: ClassList, recordings: Collection[str]) -> str:
    """What is wrong with a prediction, in words; "" if nothing is.

    Args:
        classes: those that it may be of.
        recordings: names of those that it may be about.
    """
    if not isinstance(prediction, Prediction):
        return f"is a {type(prediction).__name__}, not a Prediction"
    label, recording, start, end, confidence, annotation_id, low, high, pdf, metadata = prediction
    if not isinstance(label, str) or classes.resolve(label) is None:
        return f"label {label!r} is not a class of the model run"
    if not isinstance(recording, str) or recording not in recordings:
        return f"reference_id {recording!r} is not a readable recording of the data set"
    if not (_is_number(start) and _is_number(end) and 0 <= start < end):
        return f"times {start!r} to {end!r} must be seconds, 0 <= start_time < end_time"
    if not (_is_number(confidence) and 0 <= confidence <= 1):
        return f"confidence {confidence!r} must be within 0..1"
    if annotation_id is not None and not (isinstance(annotation_id, str) and 0 < len(annotation_id) <= LONGEST_ID):
        return f"annotation_id {annotation_id!r} must be a text of 1 to {LONGEST_ID} characters"
    if annotation_id is not None and not _is_printable(annotation_id):
        return f"annotation_id {annotation_id!r} must not hold control characters or invalid Unicode"
    if any(each is not None and not (_is_number(each) and each >= 0) for each in (low, high)):
        return f"frequencies {low!r} to {high!r} must be Hz, 0 or more"
    if low is not None and high is not None and low >= high:
        return f"low_freq {low!r} must be below high_freq {high!r}"
    if pdf is not None and not _is_distribution(pdf):
        return f"class_pdf {pdf!r} must give a probability, 0..1, for each class name"
    if metadata is not None and (not isinstance(metadata, Mapping) or as_json(metadata) is None):
        return "metadata must be a mapping that JSON can hold"
    return ""


def _is_printable(text: str) -> bool:
    return (text.isascii() and text.isprintable()) or printable(text) == text  # the first is fast, and enough for most


def as_json(content: Mapping[str, Any]) -> str | None:
    """A mapping as JSON; None if JSON cannot hold it, or one of its keys is not a string."""
    try:
        if not _has_text_keys(content):
            return None
        text = json.dumps(dict(content), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if _is_valid(text) else None


def _has_text_keys(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _has_text_keys(each) for key, each in value.items())
    return not isinstance(value, list | tuple) or all(map(_has_text_keys, value))


def _is_distribution(pdf: Any) -> bool:
    return isinstance(pdf, Mapping) and all(
        isinstance(name, str) and _is_valid(name) and _is_number(share) and 0 <= share <= 1
        for name, share in pdf.items()
    )


def _is_number(value: Any) -> bool:
    kind = type(value)
    if kind is not float and (kind is bool or not isinstance(value, Real)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _is_valid(text: str) -> bool:
    """Whether a text can be stored as UTF-8, which lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
