"""Tests of a model by labels and annotations: three definitions of a unit, one way to measure.

| tester | a unit is | annotations say |
| --- | --- | --- |
| PerSegmentTester | a segment that the model scored | from when to when a class is heard |
| PerBlockTester | an annotated block, such as a minute | which classes a block holds |
| PerRecordingTester | a recording | which classes a recording holds |

The score of a unit and a class is the highest of its labels. Files are read once, until get_annotations reads them
again; all else is computed from that when it is asked for, so methods can be called in any order, and what the
reference has as attributes that methods fill in are properties, which can also be set. `run` does everything and writes
the reports. Classes are called what the labels call them, whichever of their names the annotations use.

Unlike BriteKit 1.8.4, from which names and conventions are: recordings without labels count, as such in which nothing
was found, unless a results store tells that they were not analyzed; a class without negative units has no area (NaN)
and takes no part in macro averages; an annotated sound of which no segment holds min_seconds counts, too, in the
segment that holds most of it; classes of the model that it never found count as trained if manifest.yaml lists them; a
block's seconds are those in it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from lib.core.errors import Problem
from lib.evaluation.units import Units
from lib.sound.recordings import find_recordings
from lib.testers import tester_statistics as statistics
from lib.testers.assembly import Assembled, Sources
from lib.testers.label_folder import FolderLabels, read_label_folder
from lib.testers.truths import Truths, annotated_recordings, class_entries

Value = TypeVar("Value")


class derived(Generic[Value]):
    """A property that is computed whenever it is asked for, unless it was set."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, tester: object, owner: type) -> Value:
        return self.compute(tester) if tester is not None else self  # type: ignore[return-value]


class Tester(ABC):
    """What the testers share: everything but what a unit is, and how annotations say what is in it."""

    _read: Callable[..., Truths]

    def __init__(
        self, annotation_path: str, recording_dir: str, label_dir: str, output_dir: str, threshold: float
    ) -> None:
        self.annotation_path = annotation_path
        self.recording_dir = recording_dir
        self.label_dir = label_dir
        self.output_dir = output_dir
        self.threshold = threshold

    def initialize(self) -> None:
        """Read labels and annotations, and bring them together. Raises DataSetError."""
        Path(self.output_dir).mkdir(parents=True, exist_ok=True)
        self._assembled  # noqa: B018

    def run(self) -> dict[str, float]:
        """Do everything: read, measure, and write the reports to output_dir; returns what produce_reports does.

        Raises DataSetError.
        """
        self.initialize()
        return self.produce_reports()

    def get_annotations(self) -> None:
        """Read the annotations again, and the labels, which may be called by other names in them.

        Classes that the model does not know are left out, which `problems` tells. Raises DataSetError.
        """
        for kept in ("_sources", "_assembled"):
            self.__dict__.pop(kept, None)
        self._sources  # noqa: B018

    @abstractmethod
    def produce_reports(self) -> dict[str, float]:
        """Write the report files to output_dir.

        Returns the figures of get_pr_auc_stats, get_roc_auc_stats and, at the threshold, get_precision_recall that are
        single numbers, by their names there; NaN where one is undefined.
        """

    @abstractmethod
    def get_pr_table(self) -> dict[str, Any]:
        """Precision and recall over thresholds."""

    def _durations(self, labels: FolderLabels, files: dict[str, Path]) -> dict[str, float]:
        """Recording -> duration (s), if a tester needs that. files: of recording_dir, by name."""
        return {}

    @abstractmethod
    def _assemble(self, sources: Sources) -> Assembled:
        """Units of what was read."""

    # What was read, and brought together

    @cached_property
    def _sources(self) -> Sources:
        is_folder = self.recording_dir and Path(self.recording_dir).is_dir()
        files = find_recordings(self.recording_dir)[0] if is_folder else {}
        names = annotated_recordings(self.annotation_path) | set(files)
        labels = read_label_folder(self.label_dir, names, class_entries(self.annotation_path))
        truths = type(self)._read(self.annotation_path, labels.aliases)
        return Sources(labels, truths, self._durations(labels, files))

    @cached_property
    def _assembled(self) -> Assembled:
        return self._assemble(self._sources)

    @property
    def labels(self) -> FolderLabels:
        """The labels of label_dir."""
        return self._sources.labels

    @derived
    def annotated_classes(self) -> list[str]:
        """Classes of the model that are annotated somewhere, sorted."""
        return self._sources.truths.classes

    @derived
    def annotated_class_set(self) -> set[str]:
        """annotated_classes as a set."""
        return set(self.annotated_classes)

    @derived
    def trained_classes(self) -> list[str]:
        """Classes of the model, sorted: those of manifest.yaml, else those of the labels."""
        return self.labels.classes

    @derived
    def segment_len(self) -> float:
        """Length of the segments that were scored (s)."""
        return self.labels.segment_len

    @derived
    def overlap(self) -> float:
        """What neighbouring segments share (s)."""
        return self.labels.overlap

    @property
    def problems(self) -> list[Problem]:
        """What was passed over while reading."""
        return [*self.labels.problems, *self._sources.truths.problems, *self._assembled.problems]

    @property
    def units(self) -> Units:
        """Truth and scores of all units."""
        return self._assembled.units

    @derived
    def y_true_trained(self) -> np.ndarray:
        """Truth of all trained classes, uint8 (units, classes)."""
        return self.units.truth.view(np.uint8)

    @derived
    def y_pred_trained(self) -> np.ndarray:
        """Scores of all trained classes, float32 (units, classes)."""
        return self.units.scores

    @derived
    def y_true_annotated(self) -> np.ndarray:
        """Truth of the annotated classes, uint8 (units, classes)."""
        return self._annotated(self.y_true_trained)

    @derived
    def y_pred_annotated(self) -> np.ndarray:
        """Scores of the annotated classes, float32 (units, classes)."""
        return self._annotated(self.y_pred_trained)

    @property
    def annotated_columns(self) -> list[int]:
        """Positions of the annotated classes among the trained ones."""
        position = {name: number for number, name in enumerate(self.trained_classes)}
        return [position[name] for name in self.annotated_classes]

    def _annotated(self, matrix: np.ndarray) -> np.ndarray:
        columns = self.annotated_columns
        return matrix if len(columns) == matrix.shape[1] else matrix[:, columns]

    @property
    def _pairs(self) -> dict[str, statistics.Pair]:
        """Truth and scores of the annotated, and of all trained classes."""
        return {
            "annotated": (self.y_true_annotated, self.y_pred_annotated),
            "trained": (self.y_true_trained, self.y_pred_trained),
        }

    # Statistics

    def get_pr_auc_stats(self) -> dict[str, Any]:
        """PR-AUC (average precision), NaN where it is undefined.

        macro_pr_auc, micro_pr_auc_annotated, micro_pr_auc_trained, class_pr_auc (class -> area),
        combined_pr_auc_annotated and combined_pr_auc_trained (means of macro and micro).
        """
        return self.area_statistics()[0]

    def get_roc_auc_stats(self) -> dict[str, Any]:
        """ROC-AUC under keys like those of get_pr_auc_stats, with roc in place of pr, and the curves of all pairs:
        roc_fpr_*, roc_tpr_*, roc_thresholds_* for annotated and trained (falling thresholds, from infinity).
        """
        stats = self.area_statistics()[1]
        for suffix, curve in self.curves().items():
            fpr, tpr, threshold = statistics.roc_curve(curve)
            stats |= {f"roc_fpr_{suffix}": fpr, f"roc_tpr_{suffix}": tpr, f"roc_thresholds_{suffix}": threshold}
        return stats

    def area_statistics(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The areas of get_pr_auc_stats and get_roc_auc_stats."""
        return statistics.area_statistics(self._pairs["annotated"], self._pairs["trained"], self.annotated_classes)

    def get_precision_recall(self, threshold: float, details: bool = False) -> dict[str, Any]:
        """Precision and recall of all pairs of a unit and a class that score at least the threshold.

        precision_annotated, recall_annotated, precision_trained, recall_trained; precision_secs, tp_secs, fp_secs: by
        seconds, of the annotated classes. details: for each annotated class also class_precision, class_recall (NaN
        without positives), class_valid and class_invalid (seconds found where it is, and where it is not).
        """
        at = np.array([threshold])
        rates, (tp, fp) = self.rates(at), self.seconds(at)
        stats = {
            f"{name}_{suffix}": float(getattr(here, name)[0])
            for suffix, here in rates.items()
            for name in ("precision", "recall")
        }
        stats |= {
            "precision_secs": float(statistics.seconds_precision(tp, fp)[0]),
            "tp_secs": float(tp.sum()),
            "fp_secs": float(fp.sum()),
        }
        if not details:
            return stats
        here = rates["annotated"]
        by_class = {"class_precision": here.class_precision[:, 0], "class_recall": here.class_recall[:, 0]}
        return stats | by_class | {"class_valid": tp[:, 0], "class_invalid": fp[:, 0]}

    @derived
    def map_dict(self) -> dict[str, Any]:
        """What get_pr_auc_stats returns."""
        return self.get_pr_auc_stats()

    @derived
    def roc_dict(self) -> dict[str, Any]:
        """What get_roc_auc_stats returns."""
        return self.get_roc_auc_stats()

    @derived
    def details_dict(self) -> dict[str, Any]:
        """What get_precision_recall returns at the tester's threshold, with details."""
        return self.get_precision_recall(self.threshold, details=True)

    @derived
    def pr_table_dict(self) -> dict[str, Any]:
        """What get_pr_table returns."""
        return self.get_pr_table()

    def curves(self) -> dict[str, statistics.Points]:
        """Points of the curves of all pairs, for `annotated` and `trained` classes."""
        return {suffix: statistics.points(*pair) for suffix, pair in self._pairs.items()}

    def rates(self, thresholds: np.ndarray = statistics.THRESHOLDS) -> dict[str, statistics.Rates]:
        """Precision and recall at thresholds, for `annotated` and `trained` classes."""
        return {suffix: statistics.rates(*pair, thresholds) for suffix, pair in self._pairs.items()}

    def seconds(self, thresholds: np.ndarray = statistics.THRESHOLDS) -> statistics.Pair:
        """Seconds right and wrong at thresholds, float (annotated classes, thresholds) each."""
        return statistics.seconds(map(self._assembled.labels, self.annotated_columns), thresholds)

    def _threshold_table(self) -> dict[str, Any]:
        """What the tables of precision and recall of segments and of blocks have in common."""
        rates, thresholds = self.rates(), statistics.THRESHOLDS.tolist()
        table: dict[str, Any] = {
            "annotated_thresholds": thresholds,
            "annotated_precisions_seconds": statistics.seconds_precision(*self.seconds()).tolist(),
            "annotated_recalls": rates["annotated"].recall.tolist(),
            "trained_thresholds": list(thresholds),
            "trained_precisions": rates["trained"].precision.tolist(),
            "trained_recalls": rates["trained"].recall.tolist(),
        }
        for suffix, curve in self.curves().items():
            fine, recall, threshold = statistics.precision_recall_curve(curve)
            table |= {f"{suffix}_thresholds_fine": threshold, f"{suffix}_precisions_fine": fine}
            table[f"{suffix}_recalls_fine"] = recall
        return table
