"""What all testers share: reading, statistics, reports. lib.evaluation.testers tells what they are.

Nothing is computed before it is asked for, and nothing twice: what the reference has as attributes that methods fill in
are properties here, which can also be set.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lib.audio.reader import find_recordings
from lib.errors import DataSetError, Problem
from lib.evaluation import tester_reports
from lib.evaluation import tester_statistics as statistics
from lib.evaluation.assembly import Evidence
from lib.evaluation.labels import Labels, read_labels
from lib.evaluation.truths import Truths, annotated_recordings, class_entries
from lib.evaluation.units import Units

SUFFIXES = ("annotated", "trained")
FROM_ANNOTATIONS = (
    *("_truths", "annotations", "annotated_classes", "annotated_class_set", "segments_per_recording"),
    *("_assembled", "units", "y_true_trained", "y_pred_trained", "y_true_annotated", "y_pred_annotated"),
    *("map_dict", "roc_dict", "details_dict", "pr_table_dict"),
)


class Tester:
    """What the testers share: all but which units there are, and what is in them."""

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
        """Read labels and annotations, and bring them together. Raises DataSetError where that cannot be done."""
        Path(self.output_dir).mkdir(parents=True, exist_ok=True)
        self.units  # noqa: B018

    def run(self) -> None:
        """Do everything: read, measure, and write the reports to output_dir. Raises DataSetError."""
        self.initialize()
        self.produce_reports()

    def get_annotations(self) -> None:
        """Read the annotations anew, and with them annotated_classes and annotated_class_set.

        Classes that the model does not know are left out, which `problems` tells. Raises DataSetError.
        """
        for name in FROM_ANNOTATIONS:
            self.__dict__.pop(name, None)
        self.annotations  # noqa: B018

    def produce_reports(self) -> None:
        """Write the report files to output_dir."""
        raise NotImplementedError

    def get_pr_table(self) -> dict[str, Any]:
        """Precision and recall over thresholds."""
        raise NotImplementedError

    def _assemble(self) -> tuple[Units, Evidence]:
        raise NotImplementedError

    # What was read

    @cached_property
    def labels(self) -> Labels:
        """The labels of label_dir."""
        known = annotated_recordings(self.annotation_path) | set(self._files)
        return read_labels(self.label_dir, known, class_entries(self.annotation_path))

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Recordings of recording_dir by name; only segments cannot do without, which their tester says."""
        if not self.recording_dir or not Path(self.recording_dir).is_dir():
            return {}
        return find_recordings(self.recording_dir)[0]

    @cached_property
    def _truths(self) -> Truths:
        return type(self)._read(self.annotation_path, self.labels.aliases)

    @cached_property
    def annotations(self) -> dict[str, Any]:
        """What the annotations say of each recording; lib.evaluation.truths tells the form."""
        return self._truths.annotations

    @cached_property
    def annotated_classes(self) -> list[str]:
        """Classes of the model that are annotated somewhere, sorted."""
        return self._truths.classes

    @cached_property
    def annotated_class_set(self) -> set[str]:
        """annotated_classes as a set."""
        return set(self.annotated_classes)

    @cached_property
    def trained_classes(self) -> list[str]:
        """Classes of the model, sorted: those of manifest.yaml, else those of the labels."""
        return self.labels.classes

    @cached_property
    def trained_class_set(self) -> set[str]:
        """trained_classes as a set."""
        return set(self.trained_classes)

    @cached_property
    def segment_len(self) -> float:
        """Length of the segments that were scored (s)."""
        return self.labels.segment_len

    @cached_property
    def overlap(self) -> float:
        """What neighbouring segments share (s)."""
        return self.labels.overlap

    @property
    def problems(self) -> list[Problem]:
        """What was passed over while reading, a line each."""
        self.units  # noqa: B018
        return [*self.labels.problems, *self._truths.problems, *self._odd]

    # What is counted

    @cached_property
    def _odd(self) -> list[Problem]:
        return []

    def _listened(self) -> list[str]:
        """Names of the annotated recordings that can be evaluated, sorted."""
        labelled = set(self.labels.table["recording"].unique())
        names = []
        self._odd.clear()
        for name in sorted(self.annotations):
            if name in self.labels.failed:
                reason = f"left out of the test: {self.labels.failed[name] or 'could not be analyzed'}"
                self._odd.append(Problem(name, reason, "mend it and run inference again"))
                continue
            names.append(name)
            if name not in labelled:
                reason = "has no labels: all that is annotated in it counts as missed"
                self._odd.append(Problem(name, reason, "check that it was analyzed", lost=False))
        if not names:
            raise DataSetError(f"{self.annotation_path}: none of its recordings can be tested; see the label folder")
        return names

    @cached_property
    def _assembled(self) -> tuple[Units, Evidence]:
        return self._assemble()

    @cached_property
    def units(self) -> Units:
        """Truth and scores of all units."""
        return self._assembled[0]

    @cached_property
    def y_true_trained(self) -> np.ndarray:
        """Truth of all trained classes, uint8 (units, classes)."""
        return self.units.truth.view(np.uint8)

    @cached_property
    def y_pred_trained(self) -> np.ndarray:
        """Scores of all trained classes, float32 (units, classes)."""
        return self.units.scores

    @cached_property
    def y_true_annotated(self) -> np.ndarray:
        """Truth of the annotated classes, uint8 (units, classes)."""
        return self._annotated(self.y_true_trained)

    @cached_property
    def y_pred_annotated(self) -> np.ndarray:
        """Scores of the annotated classes, float32 (units, classes)."""
        return self._annotated(self.y_pred_trained)

    @property
    def _columns(self) -> np.ndarray:
        position = {name: number for number, name in enumerate(self.trained_classes)}
        return np.array([position[name] for name in self.annotated_classes], dtype=np.int64)

    def _annotated(self, matrix: np.ndarray) -> np.ndarray:
        whole = len(self._columns) == matrix.shape[1]
        return matrix if whole else matrix[:, self._columns]

    # Statistics

    def get_pr_auc_stats(self) -> dict[str, Any]:
        """PR-AUC (average precision), NaN where it is undefined.

        macro_pr_auc, micro_pr_auc_annotated, micro_pr_auc_trained, class_pr_auc (class -> area),
        combined_pr_auc_annotated and combined_pr_auc_trained (means of macro and micro).
        """
        return statistics.area_statistics("pr", *self._pairs(), self.annotated_classes)

    def get_roc_auc_stats(self) -> dict[str, Any]:
        """ROC-AUC under keys like those of get_pr_auc_stats, with roc in place of pr, and the curves of all pairs:
        roc_fpr_*, roc_tpr_*, roc_thresholds_* for annotated and trained (falling thresholds, from infinity).
        """
        stats = statistics.area_statistics("roc", *self._pairs(), self.annotated_classes)
        for suffix, curve in self._curves().items():
            fpr, tpr, threshold = statistics.roc_curve(curve)
            stats |= {f"roc_fpr_{suffix}": fpr, f"roc_tpr_{suffix}": tpr, f"roc_thresholds_{suffix}": threshold}
        return stats

    def get_precision_recall(self, threshold: float, details: bool = False) -> dict[str, Any]:
        """Precision and recall of all pairs of a unit and a class that score at least the threshold.

        precision_annotated, recall_annotated, precision_trained, recall_trained; precision_secs, tp_secs, fp_secs: by
        seconds, of the annotated classes. details: for each annotated class also class_precision, class_recall (NaN
        without positives), class_valid and class_invalid (seconds found where it is, and where it is not).
        """
        at = np.array([threshold])
        (annotated, trained) = (statistics.rates(*pair, at) for pair in self._pairs())
        tp, fp = self._seconds(at)
        stats = {
            "precision_annotated": float(annotated.precision[0]),
            "recall_annotated": float(annotated.recall[0]),
            "precision_trained": float(trained.precision[0]),
            "recall_trained": float(trained.recall[0]),
            "precision_secs": float(statistics.seconds_precision(tp, fp)[0]),
            "tp_secs": float(tp.sum()),
            "fp_secs": float(fp.sum()),
        }
        if not details:
            return stats
        by_class = {"class_precision": annotated.class_precision[:, 0], "class_recall": annotated.class_recall[:, 0]}
        return stats | by_class | {"class_valid": tp[:, 0], "class_invalid": fp[:, 0]}

    @cached_property
    def map_dict(self) -> dict[str, Any]:
        """What get_pr_auc_stats returns."""
        return self.get_pr_auc_stats()

    @cached_property
    def roc_dict(self) -> dict[str, Any]:
        """What get_roc_auc_stats returns."""
        return self.get_roc_auc_stats()

    @cached_property
    def details_dict(self) -> dict[str, Any]:
        """What get_precision_recall returns at the tester's threshold, with details."""
        return self.get_precision_recall(self.threshold, details=True)

    @cached_property
    def pr_table_dict(self) -> dict[str, Any]:
        """What get_pr_table returns."""
        return self.get_pr_table()

    def _pairs(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Truth and scores of the annotated, and of all trained classes."""
        return (self.y_true_annotated, self.y_pred_annotated), (self.y_true_trained, self.y_pred_trained)

    def _curves(self) -> dict[str, statistics.Points]:
        return {suffix: statistics.points(*pair) for suffix, pair in zip(SUFFIXES, self._pairs(), strict=True)}

    def _seconds(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tp, fp = statistics.seconds(self._assembled[1], self.units.truth, self._columns, thresholds)
        return tp, fp

    def _threshold_table(self, precision: str) -> dict[str, Any]:
        """The table of precision and recall that segments and blocks have; precision: key of the annotated classes'."""
        (annotated, trained) = (statistics.rates(*pair, statistics.THRESHOLDS) for pair in self._pairs())
        seconds = statistics.seconds_precision(*self._seconds(statistics.THRESHOLDS))
        thresholds = statistics.THRESHOLDS.tolist()
        table: dict[str, Any] = {
            "annotated_thresholds": thresholds,
            precision: annotated.precision.tolist(),
            "annotated_precisions_seconds": seconds.tolist(),
            "annotated_recalls": annotated.recall.tolist(),
            "trained_thresholds": list(thresholds),
            "trained_precisions": trained.precision.tolist(),
            "trained_recalls": trained.recall.tolist(),
        }
        for suffix, curve in self._curves().items():
            fine, recall, threshold = statistics.precision_recall_curve(curve)
            names = (f"{suffix}_thresholds_fine", f"{suffix}_precisions_fine", f"{suffix}_recalls_fine")
            table |= dict(zip(names, (threshold, fine, recall), strict=True))
        return table

    def _findings(self) -> tester_reports.Findings:
        return tester_reports.Findings(
            units=self.units,
            annotated=self.annotated_classes,
            columns=self._columns,
            threshold=self.threshold,
            scores=self.labels.table["score"].to_numpy(),
            pr_auc=self.map_dict,
            roc_auc=self.roc_dict,
            details=self.details_dict,
            curves=self._curves(),
            problems=self.problems,
        )
