"""Metrics of inference sets, and queries of what was confused with what, as Aquarium's client gives them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired, TypedDict

import numpy as np

from lib.core.errors import EarshotError
from lib.curation.issues.scenarios import ScenarioInfo, read_scenarios
from lib.curation.metrics.class_figures import WEIGHTED, ClassFigures, class_figures, stratum_figures
from lib.curation.metrics.confusion_queries import DEFAULT_PAGE, QueryEntry, QueryOrdering, select_rows
from lib.curation.metrics.event_sources import merged_classes
from lib.curation.metrics.matched_events import NONE, MatchedEvents
from lib.curation.metrics.matching_cache import MatchingCache, stratifications

if TYPE_CHECKING:
    from lib.curation.client.client import Client


class ConfusionsOpts(TypedDict):
    """What fetch_confusions is asked.

    Args:
        confidence_threshold, iou_threshold: 0..1.
        queries: rows that any of them asks for.
        ordering: one of MetricsManager.ORDER_...
        max_results: 10,000 by default.
        cur_offset: how many rows were fetched before.
    """

    confidence_threshold: float
    iou_threshold: float
    queries: Sequence[QueryEntry]
    ordering: QueryOrdering
    max_results: NotRequired[int]
    cur_offset: NotRequired[int]


class ConfusionRow(TypedDict):
    """A pair of a true and a predicted event, or one of them alone: what belongs to the other one is None then.

    Args:
        frame_id: of both.
        gt_label_id, inf_label_id: of the labels.
        gt_class, inf_class: names, after classes were merged for evaluation.
        confidence: of the prediction.
        iou: of the pair.
        box_size: s x Hz, of events without frequencies s; of the true event or, where there is none, the prediction.
    """

    frame_id: str
    gt_label_id: str | None
    inf_label_id: str | None
    gt_class: str | None
    inf_class: str | None
    confidence: float | None
    iou: float | None
    box_size: float


class ConfusionsResult(TypedDict):
    """A page of rows, the number of rows in all, and the offset of the next page; None: this was the last one."""

    results: list[ConfusionRow]
    total: int
    next_offset: int | None


class ScenarioMetricResult(TypedDict):
    """Figures of a class, or the weighted averages over classes, in a scenario; scenario None: in the whole set."""

    scenario: str | None
    metrics_class: str
    figures: ClassFigures


class MetricsManager:
    """Metrics and confusions of the inference sets of a project.

    Truth and predictions are read where they are, in annotations, in a results store or among uploaded frames, and
    matched once for each pair of thresholds; until labels change, queries are answered from a file.

    Args:
        client: of the curation database.
        project_id: the project.
    """

    ORDER_CONF_DESC: ClassVar = QueryOrdering("confidence", True)
    ORDER_CONF_ASC: ClassVar = QueryOrdering("confidence", False)
    ORDER_IOU_DESC: ClassVar = QueryOrdering("iou", True)
    ORDER_IOU_ASC: ClassVar = QueryOrdering("iou", False)
    ORDER_BOX_SIZE_DESC: ClassVar = QueryOrdering("box_size", True)
    ORDER_BOX_SIZE_ASC: ClassVar = QueryOrdering("box_size", False)

    def __init__(self, client: "Client", project_id: str) -> None:
        self._client, self._project = client, project_id
        self._cache = MatchingCache(client, project_id)

    def make_confusions_query(self) -> QueryEntry:
        """All pairs of two classes that differ."""
        return QueryEntry("confusions")

    def make_confused_as_query(self, name: str) -> QueryEntry:
        """Pairs of two classes that differ, of which the predicted one is `name`."""
        return QueryEntry("confused_as", inf=name)

    def make_confused_from_query(self, name: str) -> QueryEntry:
        """Pairs of two classes that differ, of which the true one is `name`."""
        return QueryEntry("confused_from", gt=name)

    def make_correct_query(self) -> QueryEntry:
        """All pairs of the same class."""
        return QueryEntry("correct")

    def make_false_positives_query(self) -> QueryEntry:
        """All predictions without a true counterpart."""
        return QueryEntry("false_positives")

    def make_false_negatives_query(self) -> QueryEntry:
        """All true events without a predicted counterpart."""
        return QueryEntry("false_negatives")

    def make_cell_query(self, gt: str, inf: str) -> QueryEntry:
        """Pairs of the true class `gt` and the predicted class `inf`."""
        return QueryEntry("cell", gt, inf)

    def fetch_confusions(self, dataset_id: str, inferences_id: str, opts: ConfusionsOpts) -> ConfusionsResult:
        """The rows of an inference set that the queries ask for, in order. Raises EarshotError for what there is not.

        Equal rows are in the order of frames and labels, so that pages fit together.
        """
        unknown = set(opts) - set(ConfusionsOpts.__annotations__)
        missing = ConfusionsOpts.__required_keys__ - set(opts)
        if unknown or missing:
            fault = f"lack {sorted(missing)[0]}" if missing else f"have no {sorted(unknown)[0]}"
            raise EarshotError("options of fetch_confusions", fault, "see ConfusionsOpts")
        thresholds = [_fraction(name, opts[name]) for name in ("confidence_threshold", "iou_threshold")]  # type: ignore[literal-required]
        matched = self._cache.matched(dataset_id, inferences_id, *thresholds)
        offset = opts.get("cur_offset", 0)
        page = select_rows(matched, opts["queries"], opts["ordering"], opts.get("max_results", DEFAULT_PAGE), offset)
        end = offset + len(page.rows)
        return {
            "results": _confusion_rows(matched, page.rows),
            "total": page.total,
            "next_offset": end if len(page.rows) and end < page.total else None,
        }

    def get_metrics(
        self,
        dataset_id: str,
        inferences_id: str,
        confidence_pct: float,
        iou_pct: float,
        scenario_ids: Sequence[str] | None = (),
        metrics_class: str | None = None,
    ) -> list[ScenarioMetricResult]:
        """Figures of an inference set as a whole, then of scenarios.

        Args:
            dataset_id, inferences_id: the sets.
            confidence_pct, iou_pct: thresholds, 0..100.
            scenario_ids: names of scenarios; None: all of the data set.
            metrics_class: a class; None: the averages over classes, weighted by their numbers of true events.

        Raises EarshotError for sets, scenarios and classes that there are not.
        """
        matched = self._matched_at(dataset_id, inferences_id, confidence_pct, iou_pct)
        scenarios = {scenario.name: scenario for scenario in self.list_scenarios(dataset_id)}
        names = list(scenarios) if scenario_ids is None else list(scenario_ids)
        name = self._class_name(matched, metrics_class)
        rows: list[tuple[str | None, np.ndarray | None]] = [(None, None)]
        for each in names:
            if each not in scenarios:
                raise EarshotError(f"scenario {each!r}", f"{dataset_id!r} has none of this name", "see list_scenarios")
            rows.append((each, scenario_rows(matched, scenarios[each])))
        return [
            {"scenario": scenario, "metrics_class": name, "figures": _of_class(class_figures(matched, only), name)}
            for scenario, only in rows
        ]

    def get_stratified_metrics(
        self,
        dataset_id: str,
        inferences_id: str,
        confidence_pct: float,
        iou_pct: float,
        name: str,
        metrics_class: str | None = None,
    ) -> dict[str, ClassFigures]:
        """Figures for each value of an attribute, in their order; see get_metrics.

        name: of one of the project's StratifiedMetricsDefinitions. Events take its value from their label or, where
        that has none, from the metadata of their frame; those of other values are left out.
        """
        definitions = stratifications(self._client.catalog.project(self._project).Content)
        index = next((i for i, each in enumerate(definitions) if each.name == name), None)
        if index is None:
            known = ", ".join(each.name for each in definitions) or "none"
            raise EarshotError(f"attribute {name!r}", "the project does not stratify metrics by it", f"it has {known}")
        matched = self._matched_at(dataset_id, inferences_id, confidence_pct, iou_pct)
        class_name, values = self._class_name(matched, metrics_class), definitions[index].ordered_values
        figures = stratum_figures(matched, matched.strata[index], len(values))
        return {value: _of_class(each, class_name) for value, each in zip(values, figures, strict=True)}

    def list_scenarios(self, dataset_id: str) -> list[ScenarioInfo]:
        """The scenarios and regression tests of a data set: issues of these types, by name."""
        self._client.catalog.frame_set(self._project, dataset_id)
        return read_scenarios(self._client.database, self._project, dataset_id)

    def _matched_at(self, data_set: str, inferences: str, confidence_pct: float, iou_pct: float) -> MatchedEvents:
        percents = {"confidence_pct": confidence_pct, "iou_pct": iou_pct}
        thresholds = [_fraction(name, value, 100) for name, value in percents.items()]
        return self._cache.matched(data_set, inferences, *thresholds)

    def _class_name(self, matched: MatchedEvents, metrics_class: str | None) -> str:
        if metrics_class is None:
            return WEIGHTED
        merged = merged_classes(self._client.catalog.project(self._project).Content.get("label_class_map") or [])
        names = {*matched.classes.tolist(), *(name for name in merged.values() if name is not None)}
        if metrics_class not in names:
            remedy = f"evaluated are {', '.join(sorted(names)) or 'none'}"
            raise EarshotError(f"class {metrics_class!r}", "is not evaluated under this name", remedy)
        return metrics_class


def scenario_rows(matched: MatchedEvents, scenario: ScenarioInfo) -> np.ndarray:
    """The rows in a scenario, bool (n,): all of its frames, and those of its labels."""
    frames = np.array(sorted({frame for frame, label in scenario.elements if not label}), str)
    labels = {(frame, label.encode()) for frame, label in scenario.elements if label}
    chosen = np.isin(matched.frames, frames)[matched.frame]
    if labels:
        of_labels = np.isin(matched.frames, sorted({frame for frame, _ in labels}))[matched.frame]
        for row in np.flatnonzero(of_labels & ~chosen):
            frame = str(matched.frames[matched.frame[row]])
            chosen[row] = (frame, bytes(matched.truth_id[row])) in labels or (
                frame,
                bytes(matched.found_id[row]),
            ) in labels
    return chosen


def _of_class(figures: Mapping[str, ClassFigures], name: str) -> ClassFigures:
    nothing = ClassFigures(name, 0.0, float("nan"), float("nan"), 0, 0, 0, 0)
    return figures.get(name, nothing)


def _fraction(name: str, value: Any, most: int = 1) -> float:
    """A threshold, 0..most, as a fraction, without what rounding may add to it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise EarshotError(f"{name} {value!r}", f"must be a number within 0..{most}")
    return round(value / most, 9)


def _confusion_rows(matched: MatchedEvents, rows: np.ndarray) -> list[ConfusionRow]:
    columns = {
        "frame_id": matched.frames[matched.frame[rows]].tolist(),
        "gt_label_id": _ids(matched.truth_id[rows], matched.truth[rows]),
        "inf_label_id": _ids(matched.found_id[rows], matched.found[rows]),
        "gt_class": _names(matched.classes, matched.truth_class[rows]),
        "inf_class": _names(matched.classes, matched.found_class[rows]),
        "confidence": _numbers(matched.confidence[rows]),
        "iou": _numbers(matched.iou[rows]),
        "box_size": matched.box_size[rows].tolist(),
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]  # type: ignore[misc]


def _ids(ids: np.ndarray, positions: np.ndarray) -> list[str | None]:
    return [None if at == NONE else text.decode() for text, at in zip(ids.tolist(), positions.tolist(), strict=True)]


def _names(classes: np.ndarray, indices: np.ndarray) -> list[str | None]:
    names = [*classes.tolist(), None]
    return [names[index] for index in indices.tolist()]


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
