"""A test by annotated recordings."""

import math
from typing import Any

import numpy as np

from lib.testers import tester_reports
from lib.testers import tester_statistics as statistics
from lib.testers.assembly import Assembled, Sources, assemble_blocks
from lib.testers.tester import Tester, derived
from lib.testers.truths import classes_by_block, read_recordings


class PerRecordingTester(Tester):
    """A test by annotated recordings; a unit is a recording.

    All that is found of a class that a recording holds counts as right, by seconds too; what was missed is known by
    recordings only.

    Args:
        annotation_path: CSV file of recording (file name without suffix) and classes (their names or codes, with commas
            between; none: it holds nothing).
        recording_dir, label_dir, output_dir, threshold: as for PerSegmentTester.
        tp_secs_at_precision: the summary tells how many seconds are right at that precision, by which two models can be
            compared.
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

    @derived
    def annotations(self) -> dict[str, list[str]]:
        """Recording -> its classes."""
        return {
            name: classes
            for name, blocks in classes_by_block(self._sources.truths).items()
            for classes in blocks.values()
        }

    def get_pr_table(self) -> dict[str, Any]:
        """Precision and recall of the annotated classes at the thresholds 0.01, 0.02, ... 1.00.

        Lists: precisions and recalls (by recordings), precision_secs, tp_secs, fp_secs (by seconds), thresholds. Rows
        at the end in which nothing right was found are left out.
        """
        here, (tp, fp) = self.rates()["annotated"], self.seconds()
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

    def produce_reports(self) -> dict[str, float]:
        """Write tables and a picture to output_dir, listed in lib.testers.tester_reports; returns single figures."""
        table, found = self.pr_table_dict, self._segments_found()
        return tester_reports.write_recordings(self, table, found, self.tp_secs_at_precision)

    def _segments_found(self) -> tuple[np.ndarray, np.ndarray]:
        """Segments right and wrong (recordings,) at the threshold, of all classes."""
        right, wrong = np.zeros((2, len(self.units.recordings)))
        for found in map(self._assembled.labels, range(len(self.units.classes))):
            is_found = found.score >= np.float32(self.threshold)
            for seconds, is_counted in ((right, found.is_right), (wrong, ~found.is_right)):
                seconds += np.bincount(found.unit, found.seconds * (is_found & is_counted), len(seconds))
        return right / self.segment_len, wrong / self.segment_len

    def _assemble(self, sources: Sources) -> Assembled:
        return assemble_blocks(sources, self.annotation_path, math.inf)
