"""From scores to labels: stretches of a recording that a person can look at."""

from typing import NamedTuple

import numpy as np

LABEL_FIELDS = {"names": "name", "codes": "code", "alt_names": "alt_name", "alt_codes": "alt_code"}
"""What classes can be called by, and the key of a class that holds it."""


class Label(NamedTuple):
    """A class heard from start_time to end_time (s), with the highest score of its windows or frames."""

    name: str
    start_time: float
    end_time: float
    score: float


class Hits(NamedTuple):
    """Windows and classes that score high enough, as three arrays (n,): start (s), index of the class, score."""

    starts: np.ndarray
    columns: np.ndarray
    scores: np.ndarray


def find_hits(starts: np.ndarray, scores: np.ndarray, min_score: float | np.ndarray) -> Hits:
    """The pairs of scores (n_windows, n_classes) that are min_score or more; starts: (n_windows,) s.

    min_score: of all classes, or of each, (n_classes,).
    """
    windows, columns = np.nonzero(scores >= min_score)
    return Hits(starts[windows], columns, scores[windows, columns])


def make_labels(hits: Hits, length: float, names: list[str], merge: bool) -> list[Label]:
    """Labels of hits in windows of `length` s, in the order of start time and class.

    merge: windows of a class that overlap or touch become one label.
    """
    labels: list[Label] = []
    for i in np.lexsort((hits.starts, hits.columns)):
        name, start, score = names[hits.columns[i]], float(hits.starts[i]), float(hits.scores[i])
        last = labels[-1] if labels else None
        if merge and last is not None and last.name == name and start <= last.end_time + 1e-6:
            labels[-1] = Label(name, last.start_time, start + length, max(last.score, score))
        else:
            labels.append(Label(name, start, start + length, score))
    return sorted(labels, key=lambda label: label.start_time)  # stable: of equal starts, classes stay in order


def class_fields(classes: list[dict[str, str]]) -> dict[str, list[str]]:
    """What each class is called, by label field. Without a code or other name it goes by its name, without an other
    code by its code.
    """
    fields = {field: [entry.get(key, "") for entry in classes] for field, key in LABEL_FIELDS.items()}
    for field, instead in (("codes", "names"), ("alt_names", "names"), ("alt_codes", "codes")):
        fields[field] = [own or other for own, other in zip(fields[field], fields[instead], strict=True)]
    return fields


def find_class(label: str, fields: dict[str, list[str]], first: str = "names") -> str | None:
    """The name of the class that a label means in any of the label fields, first of all in `first`; None: of no class.

    fields: as class_fields gives them.
    """
    for field in (first, *fields):
        if label in fields[field]:
            return fields["names"][fields[field].index(label)]
    return None
