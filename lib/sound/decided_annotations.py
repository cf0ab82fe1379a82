"""Annotations after decisions, one after another.

- accept: the class sounds in the stretch. Where an annotation of it there says so already, all stays; else the stretch
  becomes one.
- reject: it does not. Its annotations are removed from the stretch; those that reach beyond it are cut.
- relabel: what sounds there is the new class. The parts of annotations in the stretch take that class; if there are
  none, the new class is accepted there.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.config.schema import PRESENCE_SECONDS
from lib.core.errors import Problem
from lib.sound.classes import ClassList
from lib.sound.decisions import Decision

if TYPE_CHECKING:
    import pandas as pd

SHORTEST_PART = 0.001
"""Seconds; a shorter remainder of an annotation is a rounding error."""
LEAST_SHARE = 0.05
"""Part of an accepted stretch that annotations must cover to explain it: a call of 0.15 s explains a window of 3 s, but
not a minute in which a model heard the class all the time."""

Stretch = tuple[float, float]
"""Start and end, s."""
Row = dict[str, Any]
"""An annotation; `is_added`: whether a decision made it of its stretch."""


class Judgement(NamedTuple):
    """What decisions say of a recording besides its annotations.

    Args:
        rejected: stretches in which a class was rejected: what is there without any event is background.
        judged: stretches that were decided about; the rest of the recording is unknown. None: it is annotated, and what
            is not annotated is silent.
    """

    rejected: list[Stretch]
    judged: list[Stretch] | None


def apply_decisions(
    annotations: "pd.DataFrame",
    decisions: "pd.DataFrame",
    classes: ClassList,
    annotated: Iterable[str],
    min_seconds: float = PRESENCE_SECONDS,
) -> "tuple[pd.DataFrame, dict[str, Judgement], list[Problem]]":
    """Annotations after decisions.

    Args:
        annotations: the annotation table, with class names.
        decisions: as read_decisions returns them, about recordings of the data set.
        classes: of the data set.
        annotated: names of the recordings that people annotated, of which the whole is known.
        min_seconds: of an annotation that must lie in an accepted stretch to explain it, as windows with an event need.

    Returns the annotation table, the Judgement of each recording that was decided about, and a Problem for each
    decision that a class sounds which the data set does not have.
    """
    import pandas as pd

    known, problems = set(annotated), list[Problem]()
    names = {label: classes.resolve(label) for label in {*decisions["class"], *decisions["new_class"]}}
    recordings: dict[str, _Annotations] = {}
    judgements: dict[str, Judgement] = {}
    decided = annotations["recording"].isin(set(decisions["recording"]))
    for row in annotations[decided].to_dict("records"):
        recordings.setdefault(row["recording"], _Annotations(min_seconds)).add({**row, "is_added": False})  # type: ignore[dict-item]
    for *fields, line in decisions.itertuples(index=False):
        decision = Decision(*fields)
        label = {"accept": decision.class_name, "relabel": decision.new_class}.get(decision.decision, "")
        if label and names[label] is None:
            fault = "several classes have this label" if label in classes.shared else "unknown class"
            shown = f"{decision.recording}, {label}"
            problems.append(Problem(line, f"{fault} ({shown})", "correct it or add it to classes.csv"))
            continue
        stretch = float(decision.start_time), float(decision.end_time)
        judgement = judgements.setdefault(
            decision.recording, Judgement([], None if decision.recording in known else [])
        )
        if decision.decision == "reject":
            judgement.rejected.append(stretch)
        if judgement.judged is not None:
            judgement.judged.append(stretch)
        decision = decision._replace(
            class_name=names[decision.class_name] or "", new_class=names[decision.new_class] or ""
        )
        recordings.setdefault(decision.recording, _Annotations(min_seconds)).apply(decision)
    if not judgements:
        return annotations, {}, problems

    changed = pd.DataFrame([row for name in sorted(recordings) for row in recordings[name].rows()])
    parts = [part for part in (annotations[~decided], changed.reindex(columns=annotations.columns)) if len(part)]
    table = pd.concat(parts or [annotations[:0]], ignore_index=True)
    if "annotator" in table:
        table["annotator"] = table["annotator"].fillna("")
    order = ["recording", "class", "start_time", "end_time"]
    return table.sort_values(order, kind="stable", ignore_index=True), judgements, problems


class _Annotations:
    """The annotations of a recording, each class sorted by start."""

    def __init__(self, min_seconds: float) -> None:
        self._min_seconds = min_seconds
        self._rows: dict[str, list[Row]] = {}
        self._longest: dict[str, float] = {}  # s, an upper bound

    def rows(self) -> Iterable[Row]:
        return (row for of_class in self._rows.values() for row in of_class)

    def add(self, row: Row) -> None:
        name, of_class = row["class"], self._rows.setdefault(row["class"], [])
        of_class.insert(bisect_left(of_class, row["start_time"], key=_start), row)
        self._longest[name] = max(self._longest.get(name, 0.0), row["end_time"] - row["start_time"])

    def apply(self, decision: Decision) -> None:
        if decision.decision == "accept":
            self._accept(decision, decision.class_name)
        elif decision.decision == "reject":
            self._cut_out(decision)
        else:
            self._relabel(decision)

    def _within(self, name: str, start: float, end: float) -> tuple[slice, list[Row]]:
        """Where the annotations of a class are among which are all that reach into a stretch, and those that do."""
        of_class = self._rows.get(name, [])
        first = bisect_left(of_class, start - self._longest.get(name, 0.0), key=_start)
        place = slice(first, bisect_left(of_class, end, key=_start))
        return place, [row for row in of_class[place] if row["end_time"] > start]

    def _accept(self, decision: Decision, name: str) -> None:
        start, end = decision.start_time, decision.end_time
        place, within = self._within(name, start, end)
        explaining = [row for row in within if not row["is_added"]]
        if self._says_so(explaining, start, end):
            return
        merged = [row for row in within if row["is_added"]]
        rest = [row for row in self._rows.get(name, [])[place] if not (row["is_added"] and row["end_time"] > start)]
        self._rows.setdefault(name, [])[place] = rest
        start = min([start, *map(_start, merged)])
        end = max([end, *(row["end_time"] for row in merged)])
        added = {"recording": decision.recording, "class": name, "start_time": start, "end_time": end}
        self.add(added | {"annotator": decision.by, "is_added": True})

    def _cut_out(self, decision: Decision) -> list[Row]:
        """Remove a class from a stretch; returns the parts that were removed."""
        name, start, end = decision.class_name, decision.start_time, decision.end_time
        place, within = self._within(name, start, end)
        if not within:
            return []
        rest = [row for row in self._rows[name][place] if row["end_time"] <= start]
        self._rows[name][place] = rest
        removed = []
        for row in within:
            first, last = row["start_time"], row["end_time"]
            removed.append(row | {"start_time": max(first, start), "end_time": min(last, end)})
            for part in ((first, start), (end, last)):
                if part[1] - part[0] > SHORTEST_PART:
                    self.add(row | {"start_time": part[0], "end_time": part[1]})
        return removed

    def _relabel(self, decision: Decision) -> None:
        removed, name = self._cut_out(decision), decision.new_class
        if not self._says_so(removed, decision.start_time, decision.end_time):
            self._accept(decision, name)
            return
        for part in removed:
            _, there = self._within(name, part["start_time"], part["end_time"])
            if not any(_start(row) <= part["start_time"] and row["end_time"] >= part["end_time"] for row in there):
                self.add(part | {"class": name})

    def _says_so(self, rows: list[Row], start: float, end: float) -> bool:
        """Whether annotations of a class tell that it sounds in a stretch: enough of one is there, by the rule of
        lib.sound.grid, and they are not too little for so long a stretch."""
        inside = [min(row["end_time"], end) - max(row["start_time"], start) for row in rows]
        is_present = any(
            seconds >= min(self._min_seconds, end - start, row["end_time"] - row["start_time"]) - SHORTEST_PART
            for row, seconds in zip(rows, inside, strict=True)
        )
        return is_present and (sum(inside) >= LEAST_SHARE * (end - start) or end == float("inf"))


def _start(row: Row) -> float:
    return row["start_time"]
