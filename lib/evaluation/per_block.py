"""A test by annotated blocks of recordings, such as minutes."""

from typing import Any

import numpy as np

from lib.evaluation import tester_reports
from lib.evaluation import tester_statistics as statistics
from lib.evaluation.assembly import Assembled, Parts, Sources, assemble, listened
from lib.evaluation.tester import Tester, derived
from lib.evaluation.truths import read_blocks


class PerBlockTester(Tester):
    """A test by annotated blocks of a fixed length; a unit is one of these, other blocks do not count.

    annotation_path: CSV file of recording (file name without suffix), block (1: the first) and classes (their names or
    codes, with commas between; none: the block holds nothing). block_size: length of a block (s). gen_pr_table: whether
    reports have tables and curves of precision and recall over thresholds. Other arguments are those of
    PerSegmentTester. A block's labels are those of the segments that start in it.
    """

    _read = staticmethod(read_blocks)

    def __init__(
        self,
        annotation_path: str,
        recording_dir: str,
        label_dir: str,
        output_dir: str,
        threshold: float,
        block_size: int = 60,
        gen_pr_table: bool = False,
    ) -> None:
        super().__init__(annotation_path, recording_dir, label_dir, output_dir, threshold)
        if not block_size > 0:
            raise ValueError(f"block_size = {block_size}: must be above 0 s")
        self.block_size = block_size
        self.gen_pr_table = gen_pr_table

    @derived
    def segments_per_recording(self) -> dict[str, list[int]]:
        """Indexes of the annotated blocks of each recording, from 0."""
        return {name: [block - 1 for block in blocks] for name, blocks in self.annotations.items()}

    def get_pr_table(self) -> dict[str, Any]:
        """Precision and recall at the thresholds 0.01, 0.02, ... 1.00, and at every score.

        Lists at the 100 thresholds: annotated_thresholds; annotated_precisions_blocks and annotated_recalls, by blocks;
        annotated_precisions_seconds, by seconds of labels; trained_thresholds; trained_precisions and trained_recalls,
        by blocks. Arrays at every score, by blocks, as of scikit-learn's precision_recall_curve: *_thresholds_fine,
        *_precisions_fine and *_recalls_fine for annotated and trained.
        """
        table = self._threshold_table()
        return table | {"annotated_precisions_blocks": self._rates()[0].precision.tolist()}

    def produce_reports(self) -> None:
        """Write the report files to output_dir: tables and pictures, listed in lib.evaluation.tester_reports."""
        columns, size = self._report_columns() if self.gen_pr_table else None, float(self.block_size)
        tester_reports.write_parts(self.output_dir, self._findings(), tester_reports.BLOCKS, size, columns)

    def _report_columns(self) -> tester_reports.Columns:
        annotated, trained = self._rates()
        seconds = statistics.seconds_precision(*self._seconds(statistics.THRESHOLDS))
        return {
            "annotated": {
                "recall (blocks)": annotated.recall,
                "precision (blocks)": annotated.precision,
                "precision (seconds)": seconds,
            },
            "trained": {"recall (blocks)": trained.recall, "precision (blocks)": trained.precision},
        }

    def _assemble(self, sources: Sources) -> Assembled:
        names, problems = listened(sources, self.annotation_path)
        annotations, size = sources.truths.annotations, float(self.block_size)
        blocks = [(owner, block - 1) for owner, name in enumerate(names) for block in sorted(annotations[name])]
        column = {name: number for number, name in enumerate(sources.labels.classes)}
        present = [
            (owner, block - 1, column[label])
            for owner, name in enumerate(names)
            for block, classes in annotations[name].items()
            for label in classes
        ]
        owners, indexes, columns = np.reshape(np.array(present, dtype=np.int64), (-1, 3)).T
        parts = Parts(*np.array(blocks, dtype=np.int64).T)
        return assemble(names, parts, size, size, sources, (Parts(owners, indexes), columns), problems)
