"""Two model runs on the same data set: which annotated sounds one finds and the other misses.

The labels of each run are matched with the annotations of the same class (see lib.evaluation.run_matching); a sound is
found by a run where a label matches it. Runs may know different classes: a class that only one of them has is missed by
the other.

The runs hear the same recordings, so that what is hard for one is often hard for the other. Both are therefore drawn
together: each bootstrap draw of the recordings (see lib.evaluation.intervals) gives the difference between the runs,
and the interval of a difference is much narrower than those of its two terms (paired resampling; Efron and Tibshirani,
An Introduction to the Bootstrap, 1993, chapter 8). Where it does not hold 0, the runs differ by more than the choice of
recordings explains. Differences are those of the second run less the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array

from lib.core.errors import DataSetError, Problem
from lib.core.wording import shortened
from lib.evaluation import intervals
from lib.evaluation.event_tables import annotated_events
from lib.evaluation.metrics import Counts, ratio
from lib.evaluation.run_matching import NONE, MatchingRules, RunMatching
from lib.evaluation.units import analyzed_recordings
from lib.results.recording_identity import is_of_file
from lib.results.results_store import AGAIN, RecordingResult, ResultsStore
from lib.sound.classes import ClassList

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

FOUND_BY = ("both", "only first", "only second", "neither")
"""By which of the two runs a sound is found."""
METRICS = ("recall", "precision", "f1")
SIDES = ("first", "second")


@dataclass(frozen=True)
class Comparison:
    """What `compare_runs` returns.

    Args:
        sounds: a row for each annotated sound: `recording`, `class`, `start_time`, `end_time`, s, and `found_by`, one
            of FOUND_BY.
        classes: a row for each class that is annotated or found: `class`; `annotated`, and how many of these are found
            by `both`, `only_first`, `only_second`, `neither`; `false_first`, `false_second`, labels that match nothing;
            recall, precision and f1 as `<metric>_first`, `<metric>_second` and `<metric>_difference`, the latter with
            its 95 % interval, `<metric>_difference_low` and `_high`.
        figures: the same of all classes pooled, and with macro_ before them means over the classes with annotated
            sounds; without what is not defined.
        problems: what was left out.
    """

    sounds: pd.DataFrame
    classes: pd.DataFrame
    figures: dict[str, float]
    problems: list[Problem]


class _Classes(NamedTuple):
    """The classes of two runs together.

    Args:
        names: in the first run or, if that does not have the class, in the second.
        columns: places, among these, of each run's classes, int (n,).
        annotated: place of each annotated class that one of the runs has.
    """

    names: list[str]
    columns: list[np.ndarray]
    annotated: dict[str, int]


class _Run(NamedTuple):
    """What became of the events of one run.

    Args:
        events: the annotated ones that take part: `recording` and `annotation`, int, and `is_found`.
        false: `recording` and `column`, a class of the run, of labels that match nothing.
    """

    events: pd.DataFrame
    false: pd.DataFrame


def compare_runs(
    data_set: "DataSet",
    first: ResultsStore,
    second: ResultsStore,
    iou: float = 0.5,
    resamples: int = 200,
    seed: int = 1,
) -> Comparison:
    """Compare two runs on the recordings that both have analyzed.

    Args:
        data_set: the data set.
        first, second: results of the runs.
        iou: least intersection over union of a label and the sound that it finds.
        resamples, seed: of the recordings, for 95 % intervals.

    A run's recording is left out where it was made from a file of other content than the data set's, such as one of the
    same name in another folder. Raises DataSetError if there is no recording that both have analyzed, or a run is of
    another data set.
    """
    stores = first, second
    names, problems = _common_recordings(data_set, stores)
    rules = MatchingRules(class_agnostic=False, iou=iou)
    runs = [_run(RunMatching(data_set, store, names, rules)) for store in stores]
    classes = _common_classes(data_set, stores)
    if unknown := sorted(set(data_set.annotations["class"]) - classes.annotated.keys()):
        fault = f"has classes that neither run knows: {shortened(unknown)}"
        problems.append(Problem("test set", fault, "they take no part", lost=False))
    sounds = _sounds(data_set, names, runs, classes)
    size = len(classes.names), len(names)
    kinds = {name: sounds[sounds["found_by"] == name] for name in FOUND_BY}
    counts = {name: _cells(rows["column"], rows["index"], size) for name, rows in kinds.items()}
    false = [
        _cells(of_class[run.false["column"]], run.false["recording"], size)
        for run, of_class in zip(runs, classes.columns, strict=True)
    ]
    weights = intervals.draw(len(names), resamples, seed).T.astype(np.float64)
    drawn = {name: table @ weights for name, table in counts.items()}
    sides = _sides(drawn, [table @ weights for table in false])
    table = _class_table(classes.names, drawn, sides)
    shown = sounds[["recording", "class", "start_time", "end_time", "found_by"]].reset_index(drop=True)
    return Comparison(shown, table, _figures(len(names), drawn, sides), problems)


def _common_recordings(data_set: "DataSet", stores: Sequence[ResultsStore]) -> tuple[list[str], list[Problem]]:
    """Names of the recordings that all runs have analyzed, and Problems of the others, which name the run."""
    names, problems = set(data_set.recordings), list[Problem]()
    for store in stores:
        folder, remedy = store.path.parent, _remedy(store)
        try:
            results, run_problems = analyzed_recordings(data_set, store)
        except DataSetError:
            remedy = f"check data.test, and {remedy}"
            raise DataSetError(folder, "has analyzed none of the test recordings", remedy) from None
        same = _of_data_set(data_set, store, results)
        others = sorted({result.name for result in results} - same)
        if not same:
            fault = f"is of another data set: its {shortened(others)} and the test set's are different recordings"
            raise DataSetError(folder, fault, f"check data.test, and {remedy}")
        run_problems += [Problem(name, "was analyzed from a file of other content", remedy) for name in others]
        names &= same
        problems += [
            one._replace(subject=f"{one.subject} in {folder}", remedy=remedy) if one.lost else one
            for one in run_problems
        ]
    if not names:
        both = " and ".join(str(store.path.parent) for store in stores)
        fault, remedy = f"has no recording that both {both} have analyzed", "check data.test, and that both are of it"
        raise DataSetError("test set", fault, remedy)
    return sorted(names), list(dict.fromkeys(problems))


def _of_data_set(data_set: "DataSet", store: ResultsStore, results: Sequence[RecordingResult]) -> set[str]:
    """Names of the results that are of the data set's recordings, not of others of the same names."""
    files, folder = data_set.recordings, data_set.folder
    return {each.name for each in results if is_of_file(store.manifest, each, files[each.name], folder)}


def _remedy(store: ResultsStore) -> str:
    """What to do about a recording that a run has not analyzed."""
    is_external = store.manifest.external_run is not None
    return f"check the file, and {'predict it by ModelRun.predict' if is_external else AGAIN}"


def _run(matching: RunMatching) -> _Run:
    events, false = [], []
    for matches in matching.matches():
        is_sound, is_label = matches.annotation != NONE, matches.label != NONE
        of_sounds = {"recording": matches.recording, "annotation": matches.annotation, "is_found": is_label}
        of_labels = {"recording": matches.recording, "column": matches.found}
        events.append(pd.DataFrame({name: values[is_sound] for name, values in of_sounds.items()}))
        false.append(pd.DataFrame({name: values[~is_sound] for name, values in of_labels.items()}))
    return _Run(pd.concat(events), pd.concat(false))


def _common_classes(data_set: "DataSet", stores: Sequence[ResultsStore]) -> _Classes:
    """An annotated class that the runs know by different names is one class."""
    first, second = (store.manifest.class_list for store in stores)
    annotated = sorted(set(data_set.annotations["class"]))
    in_first, in_second = (classes.indices(annotated) for classes in (first, second))
    places = first.indices(second.names)
    in_both = (in_first >= 0) & (in_second >= 0)
    places[in_second[in_both]] = in_first[in_both]
    is_new = places < 0
    places[is_new] = len(first) + np.arange(is_new.sum())
    names = [*first.names, *np.array(second.names, object)[is_new]]
    of_annotated = np.where(in_first >= 0, in_first, np.append(places, NONE)[in_second])
    known = {name: place for name, place in zip(annotated, of_annotated.tolist(), strict=True) if place != NONE}
    return _Classes(names, [np.arange(len(first)), places], known)


def _sounds(data_set: "DataSet", names: list[str], runs: Sequence[_Run], classes: _Classes) -> pd.DataFrame:
    """The sounds as Comparison has them, with `index` of the recording and `column` of the class."""
    events = annotated_events(data_set, names, ClassList([])).rename(columns={"recording": "index"})
    events = events.assign(column=events["class"].map(classes.annotated)).dropna(subset=["column"])
    for name, run in zip(SIDES, runs, strict=True):
        of_run = run.events.rename(columns={"recording": "index", "annotation": "number", "is_found": name})
        events = events.merge(of_run, on=["index", "number"])
    found = [events["first"] & events["second"], events["first"], events["second"]]
    return events.assign(
        recording=np.array(names, object)[events["index"]],
        column=events["column"].astype(np.int64),
        found_by=np.select(found, FOUND_BY[:3], FOUND_BY[3]),
    )


def _cells(column: pd.Series | np.ndarray, recording: pd.Series, size: tuple[int, int]) -> coo_array:
    """How often a class and a recording come together, (classes, recordings)."""
    return coo_array((np.ones(len(recording)), (np.asarray(column), np.asarray(recording))), shape=size)


def _sides(found: dict[str, np.ndarray], false: Sequence[np.ndarray]) -> list[Counts]:
    """The counts of each run by class, (classes, draws)."""
    annotated = sum(found.values())
    return [
        Counts(tp=found["both"] + found[only], fp=alone, positives=np.asarray(annotated))
        for only, alone in zip(("only first", "only second"), false, strict=True)
    ]


def _class_table(names: list[str], found: dict[str, np.ndarray], sides: Sequence[Counts]) -> pd.DataFrame:
    columns: dict[str, Any] = {"class": names, "annotated": sides[0].positives[:, 0].astype(int)}
    columns |= {name.replace(" ", "_"): numbers[:, 0].astype(int) for name, numbers in found.items()}
    columns |= {f"false_{name}": side.fp[:, 0].astype(int) for name, side in zip(SIDES, sides, strict=True)}
    for metric in METRICS:
        first, second = (getattr(side, metric) for side in sides)
        difference = second - first
        low, high = intervals.bounds(difference).T
        values = {"first": first[:, 0], "second": second[:, 0], "difference": difference[:, 0]}
        columns |= {f"{metric}_{name}": of_run for name, of_run in values.items()}
        columns |= {f"{metric}_difference_low": low, f"{metric}_difference_high": high}
    table = pd.DataFrame(columns)
    return table[table[["annotated", "false_first", "false_second"]].any(axis=1)].reset_index(drop=True)


def _figures(n_recordings: int, found: dict[str, np.ndarray], sides: Sequence[Counts]) -> dict[str, float]:
    pooled = [
        Counts(*(table.sum(axis=0, keepdims=True) for table in (side.tp, side.fp, side.positives))) for side in sides
    ]
    samples: dict[str, np.ndarray] = {}
    is_annotated = sides[0].positives > 0
    for metric in METRICS:
        micro = [getattr(side, metric)[0] for side in pooled]
        macro = [
            ratio(np.where(is_annotated, getattr(side, metric), 0).sum(axis=0), is_annotated.sum(axis=0))
            for side in sides
        ]
        for prefix, (first, second) in (("", micro), ("macro_", macro)):
            names = (f"{prefix}{metric}_{name}" for name in (*SIDES, "difference"))
            samples |= dict(zip(names, (first, second, second - first), strict=True))
    numbers = {"recordings": n_recordings, "sounds": int(pooled[0].positives[0, 0])}
    numbers |= {name.replace(" ", "_"): int(table[:, 0].sum()) for name, table in found.items()}
    numbers |= {f"false_{name}": int(side.fp[0, 0]) for name, side in zip(SIDES, pooled, strict=True)}
    return numbers | intervals.figures(samples)
