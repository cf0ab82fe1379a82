"""Tables of what matched in a recording, for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lib.results.predictions import Prediction

if TYPE_CHECKING:
    import pandas as pd

GROUND_TRUTH_COLUMNS = ["ground_truth_label", "ground_truth_start", "ground_truth_end"]
PREDICTION_COLUMNS = ["annotation_id", "label", "start_time", "end_time", "confidence"]


def match_table(
    numbers: "pd.DataFrame", annotations: "pd.DataFrame", predictions: Mapping[int, Prediction]
) -> "pd.DataFrame":
    """The table that ModelRun.matches returns.

    Args:
        numbers: of matches, as lib.evaluation.matches_store.ItemMatches has them.
        annotations: of the recording, in their order in the data set.
        predictions: those of the recording, by number.
    """
    import pandas as pd

    annotated = annotations[["class", "start_time", "end_time"]].set_axis(GROUND_TRUTH_COLUMNS, axis=1)
    found = pd.DataFrame(list(predictions.values()), columns=list(Prediction._fields))[PREDICTION_COLUMNS]
    found = found.set_axis(list(predictions), axis=0)
    numbers = numbers.rename(columns={"label": "number"})
    table = numbers.join(annotated.reset_index(drop=True), on="annotation").join(found, on="number")
    return table[["iou", "annotation", *GROUND_TRUTH_COLUMNS, *PREDICTION_COLUMNS]]
