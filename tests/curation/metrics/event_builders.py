"""Tables of true and predicted events."""

import numpy as np
import pandas as pd

COLUMNS = ["frame_id", "label_id", "class", "start_time", "end_time", "low_freq", "high_freq"]


def truth_table(*rows) -> pd.DataFrame:
    """Rows (frame, id, class, start, end) with low and high, Hz, if they have any."""
    return pd.DataFrame([(*row, *[np.nan] * (7 - len(row))) for row in rows], columns=COLUMNS).assign(is_whole=False)


def found_table(*rows) -> pd.DataFrame:
    """The same, each row with the confidence at its end."""
    return truth_table(*(row[:-1] for row in rows)).assign(confidence=[float(row[-1]) for row in rows])
