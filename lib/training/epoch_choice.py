"""Which epochs are better than others: for early stopping, for the schedule plateau, and to keep the best of them."""

from collections.abc import Sequence

from lib.config.schema import TrainSettings
from lib.core.errors import EarshotError
from lib.training.validation import TrainingFigures

LOWER_IS_BETTER = {"val_loss"}


def better_than_before(rows: Sequence[TrainingFigures], settings: TrainSettings) -> list[bool]:
    """Whether each epoch, by its figures, has a better settings.metric than all before it; the first one has.

    Raises EarshotError if an epoch lacks that figure.
    """
    is_better, best = list[bool](), 0.0
    for row in rows:
        if settings.metric not in row:
            fault = "no validation window tells it"
            raise EarshotError(f"train.metric = {settings.metric!r}", fault, "set train.val_fraction above 0")
        value = row[settings.metric] * (-1 if _is_lower_better(settings) else 1)
        is_better.append(not is_better or value > best)
        best = value if is_better[-1] else best
    return is_better


def best_epoch(rows: Sequence[TrainingFigures], settings: TrainSettings) -> int:
    """The number of the best epoch, from 1; of equal ones, the first."""
    is_better = better_than_before(rows, settings)
    return max(number for number, better in enumerate(is_better, 1) if better)


def best_so_far(rows: Sequence[TrainingFigures], settings: TrainSettings) -> int:
    """As best_epoch, but the last epoch where the metric is not known."""
    return best_epoch(rows, settings) if all(settings.metric in row for row in rows) else len(rows)


def is_over(rows: Sequence[TrainingFigures], settings: TrainSettings) -> bool:
    """Whether training ends after these epochs: they are all, or none of the last stop_after was better.

    Epochs of the head alone do not count.
    """
    if len(rows) >= settings.epochs:
        return True
    if not (settings.stop_after and rows):
        return False
    return len(rows) - max(best_epoch(rows, settings), settings.head_epochs) >= settings.stop_after


def _is_lower_better(settings: TrainSettings) -> bool:
    if settings.metric_mode == "auto":
        return settings.metric in LOWER_IS_BETTER
    return settings.metric_mode == "min"
