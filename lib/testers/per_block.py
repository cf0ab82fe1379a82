"""A test by annotated blocks of recordings, such as minutes."""

from typing import Any

import numpy as np

from lib.testers import tester_reports
from lib.testers import tester_statistics as statistics
from lib.testers.assembly import Assembled, Sources, assemble_blocks
from lib.testers.tester import Tester, derived
from lib.testers.truths import classes_by_block, read_blocks


class PerBlockTester(Tester):
    """A test by annotated blocks of a fixed length; a unit is one of these, other blocks do not count.

    A block's labels are those of the segments that start in it.

    Args:
        annotation_path: CSV file of recording (file name without suffix), block (1: the first) and classes (their names
            or codes, with commas between; none: the block holds nothing).
        recording_dir, label_dir, output_dir, threshold: as for PerSegmentTester.
        block_size: length of a block, s.
        gen_pr_table: whether reports have tables and curves of precision and recall over thresholds.
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
    def annotations(self) -> dict[str, dict[int, list[str]]]:
        """Recording -> annotated block (from 1) -> its classes."""
        return classes_by_block(self._sources.truths)

    @derived
    def segments_per_recording(self) -> dict[str, list[int]]:
        """Indexes of the annotated blocks of each recording, from 0."""
        return {name: [block - 1 for block in blocks] for name, blocks in self.annotations.items()}

    def get_pr_table(self) -> dict[str, Any]:
        """What PerSegmentTester.get_pr_table returns, by blocks: with annotated_precisions_blocks, but no _minutes."""
        by_blocks = self.rates()["annotated"].precision
        return self._threshold_table() | {"annotated_precisions_blocks": by_blocks.tolist()}

    def produce_reports(self) -> dict[str, float]:
        """Write tables and pictures to output_dir, listed in lib.testers.tester_reports; returns single figures."""
        columns = None
        if self.gen_pr_table:
            columns = {
                suffix: {"recall (blocks)": rates.recall, "precision (blocks)": rates.precision}
                for suffix, rates in self.rates().items()
            }
            columns["annotated"]["precision (seconds)"] = statistics.seconds_precision(*self.seconds())
        numbers = np.rint(self.units.start_time / self.block_size).astype(np.int64) + 1
        return tester_reports.write_parts(self, tester_reports.BLOCKS, numbers, columns)

    def _assemble(self, sources: Sources) -> Assembled:
        return assemble_blocks(sources, self.annotation_path, float(self.block_size))
