"""A test by annotated recordings."""

import math
from typing import Any

import numpy as np

from lib.evaluation import tester_reports
from lib.evaluation import tester_statistics as statistics
from lib.evaluation.assembly import Assembled, Parts, Sources, assemble, listened
from lib.evaluation.tester import Tester
from lib.evaluation.truths import read_recordings


class PerRecordingTester(Tester):
    """A test by annotated recordings; a unit is a recording.

    All that is found of a class that a recording holds counts as right, by seconds too; what was missed is known by
    recordings only. annotation_path: CSV file of recording (file name without suffix) and classes (their names or
    codes, with commas between; none: it holds nothing). tp_secs_at_precision: the summary tells how many seconds are
    right at that precision, by which two models can be compared. Other arguments are those of PerSegmentTester.
    """

    _read = staticmethod(read_recordings)

    def __init__(
        self,
        annotation_path: str,
        recording_dir: str,
        label_dir: str,
        output_dir: str,
        threshold: float,
        tp_secs_at_precision: float = 0.95,
    ) -> None:
        super().__init__(annotation_path, recording_dir, label_dir, output_dir, threshold)
        self.tp_secs_at_precision = tp_secs_at_precision

    def get_pr_table(self) -> dict[str, Any]:
        """Precision and recall of the annotated classes at the thresholds 0.01, 0.02, ... 1.00.

        Lists: precisions and recalls (by recordings), precision_secs, tp_secs, fp_secs (by seconds), thresholds. Rows
        at the end in which nothing right was found are left out.
        """
        here = statistics.rates(self.y_true_annotated, self.y_pred_annotated, statistics.THRESHOLDS)
        tp, fp = self._seconds(statistics.THRESHOLDS)
        rows = int(np.max(np.flatnonzero(here.precision), initial=-1)) + 1
        table = {
            "precisions": here.precision,
            "recalls": here.recall,
            "precision_secs": statistics.seconds_precision(tp, fp),
            "tp_secs": tp.sum(axis=0),
            "fp_secs": fp.sum(axis=0),
            "thresholds": statistics.THRESHOLDS,
        }
        return {name: column[:rows].tolist() for name, column in table.items()}

    def produce_reports(self) -> None:
        """Write the report files to output_dir: tables and a picture, listed in lib.evaluation.tester_reports."""
        right, wrong = tester_reports.seconds_by_recording(self._assembled.evidence, self.units, self.threshold)
        tester_reports.write_recordings(
            self.output_dir,
            self._findings(),
            self.pr_table_dict,
            (right / self.segment_len, wrong / self.segment_len),
            self.tp_secs_at_precision,
            self.recording_dir,
        )

    def _assemble(self, sources: Sources) -> Assembled:
        names, problems = listened(sources, self.annotation_path)
        column = {name: number for number, name in enumerate(sources.labels.classes)}
        held = sources.truths.annotations
        present = [(owner, column[label]) for owner, name in enumerate(names) for label in held[name]]
        owners, columns = np.reshape(np.array(present, dtype=np.int64), (-1, 2)).T
        parts = Parts(np.arange(len(names)), np.zeros(len(names), dtype=np.int64))
        where = Parts(owners, np.zeros_like(owners))
        return assemble(names, parts, math.inf, math.inf, sources, (where, columns), problems)
