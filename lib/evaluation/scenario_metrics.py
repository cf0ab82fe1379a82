"""Scenarios and regression tests scored separately, from the matches of labels with annotated events.

An event counts in a scenario where it shares some time with one of its stretches and is of the class that the stretch
is about. As in the event figures, those of classes that the model does not have count nowhere.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lib.core.errors import Problem
from lib.core.wording import counted, shortened
from lib.evaluation.matches_store import MatchesStore
from lib.evaluation.metrics import Counts
from lib.results.results_store import ResultsStore
from lib.sound.classes import ClassList
from lib.sound.scenario_tables import Scenario, ScenarioStretch, overlapping

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet


SCENARIO_TABLE = [
    *("scenario", "kind", "annotated", "found", "tp", "precision", "recall", "f1"),
    *("recording", "start_time", "class"),
]
"""Columns of scenarios.csv."""


class ScenarioFault(NamedTuple):
    """An annotated event that was missed, or a label (is_found) that none matches; start: s."""

    recording: str
    start: float
    class_name: str
    is_found: bool

    def __str__(self) -> str:
        return f"{self.recording} at {self.start:.1f} s: {self.class_name}"


class ScenarioResult(NamedTuple):
    """What was counted in a scenario: events annotated, found, found rightly, and what is wrong."""

    scenario: Scenario
    annotated: int
    found: int
    matched: int
    faults: list[ScenarioFault]

    @property
    def figures(self) -> dict[str, float]:
        """precision, recall and f1; without those that are undefined for want of events."""
        tp, fp = (np.array([[float(n)]]) for n in (self.matched, self.found - self.matched))
        counts = Counts(tp, fp, np.array([[float(self.annotated)]]))
        values = {name: float(getattr(counts, name)[0, 0]) for name in ("precision", "recall", "f1")}
        if not self.found:
            del values["precision"]
        return {name: value for name, value in values.items() if value == value}


def measure_scenarios(
    scenarios: Iterable[Scenario], data_set: "DataSet", store: ResultsStore, matches: str | Path
) -> tuple[list[ScenarioResult], list[Problem]]:
    """Score scenarios.

    Args:
        scenarios: see read_scenario_files.
        data_set: the test set.
        store: its results.
        matches: folder of their MatchesStore.

    Returns also a Problem for each scenario with recordings that were not analyzed, and for each regression test that
    fails.
    """
    results, problems = [], []
    annotations = {str(name): rows for name, rows in data_set.annotations.groupby("recording")}
    with MatchesStore(matches) as matched:
        for scenario in scenarios:
            by_recording: dict[str, list[ScenarioStretch]] = {}
            for stretch in scenario.stretches:
                by_recording.setdefault(stretch.recording, []).append(stretch)
            result, lost = ScenarioResult(scenario, 0, 0, 0, []), []
            for name, stretches in by_recording.items():
                item = matched.item(name)
                if item is None:
                    lost.append(name)
                    continue
                result = _counted(result, name, stretches, item.table, annotations.get(name), store)
            results.append(result)
            if lost:
                fault = f"{counted(len(lost), 'recording')} of it were not analyzed ({shortened(sorted(lost))})"
                problems.append(Problem(_title(scenario), fault, "add them to data.test, or correct the scenario"))
            if scenario.is_regression and result.faults:
                fault = f"fails: {counted(len(result.faults), 'fault')} ({shortened(list(map(str, result.faults)))})"
                problems.append(Problem(_title(scenario), fault, "see scenarios.csv in the report", lost=False))
    return results, problems


def scenario_figures(results: Iterable[ScenarioResult]) -> dict[str, dict[str, dict[str, float]]]:
    """What metrics/evaluation.json holds of scenarios: their figures by name, with four digits; {} without any."""
    figures = {
        result.scenario.name: {name: round(value, 4) for name, value in result.figures.items()} for result in results
    }
    return {"scenarios": figures} if figures else {}


def scenario_table(results: Iterable[ScenarioResult]) -> pd.DataFrame:
    """scenarios.csv: figures of each scenario, and a row for each fault of a regression test."""
    rows: list[dict[str, object]] = []
    for scenario, annotated, found, matched, faults in results:
        figures = ScenarioResult(scenario, annotated, found, matched, faults).figures
        kind = "regression" if scenario.is_regression else "scenario"
        counts = {"annotated": annotated, "found": found, "tp": matched}
        rows.append({"scenario": scenario.name, "kind": kind, **counts, **figures})
        for fault in faults if scenario.is_regression else []:
            kind = "found" if fault.is_found else "missed"
            place = {"recording": fault.recording, "start_time": fault.start, "class": fault.class_name}
            rows.append({"scenario": scenario.name, "kind": kind, **place})
    table = pd.DataFrame(rows, columns=SCENARIO_TABLE)
    return table.astype(dict.fromkeys(["annotated", "found", "tp"], "Int64"))


def _title(scenario: Scenario) -> str:
    return f"{'regression test' if scenario.is_regression else 'scenario'} {scenario.name}"


def _counted(
    result: ScenarioResult,
    recording: str,
    stretches: list[ScenarioStretch],
    matches: pd.DataFrame,
    annotations: pd.DataFrame | None,
    store: ResultsStore,
) -> ScenarioResult:
    """A result with what is in a recording added to it."""
    classes = store.manifest.class_list
    labels = {event.number: event for event in store.found_events(recording)}
    annotated = found = matched = 0
    faults = []
    for annotation, label in matches[["annotation", "label"]].itertuples(index=False):
        is_matched = not pd.isna(annotation) and not pd.isna(label)
        if not pd.isna(annotation):
            assert annotations is not None
            row = annotations.iloc[int(annotation)]
            name = classes.resolve(row["class"])
            if name is None or not _is_in(stretches, row["start_time"], row["end_time"], name, classes):
                continue
            annotated, matched, found = annotated + 1, matched + is_matched, found + is_matched
            if not is_matched:
                faults.append(ScenarioFault(recording, float(row["start_time"]), name, False))
        else:
            event = labels[int(label)]
            name = classes.names[event.column]
            if _is_in(stretches, event.start_time, event.end_time, name, classes):
                found += 1
                faults.append(ScenarioFault(recording, event.start_time, name, True))
    return result._replace(
        annotated=result.annotated + annotated,
        found=result.found + found,
        matched=result.matched + matched,
        faults=result.faults + faults,
    )


def _is_in(stretches: list[ScenarioStretch], start: float, end: float, class_name: str, classes: ClassList) -> bool:
    return any(
        not each.class_name or (classes.resolve(each.class_name) or each.class_name) == class_name
        for each in overlapping(stretches, start, end)
    )
