"""Tests of a model by labels and annotations: three definitions of a unit, one way to measure.

| tester | a unit is | annotations say |
| --- | --- | --- |
| PerSegmentTester | a segment that the model scored | from when to when a class is heard |
| PerBlockTester | an annotated block, such as a minute | which classes a block holds |
| PerRecordingTester | a recording | which classes a recording holds |

The score of a unit and a class is the highest of its labels. A tester computes a thing when it is first asked for, so
its methods can be called in any order; `run` does everything and writes the reports. Classes are called what the labels
call them, whichever of their names the annotations use. What was passed over is in `problems`.

Unlike BriteKit 1.8.4, from which names and conventions are: recordings without labels count, as such in which nothing
was found; a class without negative units has no area (NaN) and takes no part in macro averages; an annotated sound of
which no segment holds min_seconds counts, too, in the segment that holds most of it; classes of the model that it
never found count as trained where manifest.yaml lists them; a block's seconds are those in it.
"""

from lib.evaluation.per_block import PerBlockTester
from lib.evaluation.per_recording import PerRecordingTester
from lib.evaluation.per_segment import PerSegmentTester

__all__ = ["PerBlockTester", "PerRecordingTester", "PerSegmentTester"]
