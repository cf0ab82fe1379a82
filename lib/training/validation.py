"""Figures of a model on the windows that are held out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch import Tensor

from lib.config.schema import TrainSettings
from lib.models.losses import classification_loss
from lib.training.batches import load_batches, scaled
from lib.training.window_embeddings import WindowEmbeddings
from lib.training_data.stored_windows import StoredWindows

AT_A_HALF: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "val_f1": lambda truth, found: float(f1_score(truth, found, average="macro", zero_division=0)),
    "val_hamming": lambda truth, found: float((truth == found).mean()),
}
TrainingFigures = dict[str, float]
"""Figures by name, of an epoch or of a training."""


@torch.inference_mode()
def window_logits(
    fabric: Fabric,
    model: Any,
    windows: StoredWindows,
    indices: np.ndarray,
    settings: TrainSettings,
    embeddings: WindowEmbeddings | None = None,
) -> Tensor:
    """Logits (n, n_classes), on the CPU, of windows given by their indices; puts the model into evaluation mode.

    embeddings: what its backbone makes of all windows, if it is frozen.
    """
    model.eval()
    batches = np.array_split(indices, -(-len(indices) // settings.batch_size))
    if embeddings is not None:
        features = (fabric.to_device(embeddings[batch]) for batch in batches)
        return torch.cat([model(x, are_features=True).float().cpu() for x in features])
    loaded = load_batches(windows, batches, settings.workers, model.description.takes)
    return torch.cat([model(scaled(fabric.to_device(x))).float().cpu() for x, _ in loaded])


def scores_of(logits: Tensor, multi_label: bool) -> np.ndarray:
    """Scores in 0..1 of logits (n, n_classes): sigmoids, or with a single label per window a softmax over classes."""
    return (logits.sigmoid() if multi_label else logits.softmax(dim=1)).numpy()


def validation_figures(
    logits: Tensor, truth: np.ndarray, multi_label: bool, metric: str = "val_loss"
) -> TrainingFigures:
    """Loss, PR-AUC and ROC-AUC; macro averages over the classes that some windows have and others have not.

    Args:
        logits: (n, n_classes).
        truth: bool (n, n_classes).
        multi_label: see scores_of.
        metric: val_f1 (macro) or val_hamming (1 - Hamming loss), at a score of 0.5, are measured if they are asked for.
    """
    loss = classification_loss(logits, torch.from_numpy(truth).float(), multi_label)
    usable = truth.any(axis=0) & ~truth.all(axis=0)
    row = {"val_loss": float(loss)}
    if metric in AT_A_HALF:
        row[metric] = AT_A_HALF[metric](truth, scores_of(logits, multi_label) >= 0.5)
    if usable.any():
        truth, scores = truth[:, usable], scores_of(logits, multi_label)[:, usable]
        row["val_macro_pr"] = float(average_precision_score(truth, scores, average="macro"))
        row["val_macro_roc"] = float(roc_auc_score(truth, scores, average="macro"))
    return row


def over_folds(rows: list[TrainingFigures]) -> TrainingFigures:
    """Mean, standard deviation (n - 1) and 95 % interval of the mean (Student's t) of each figure over folds.

    A figure that only one fold has gets its mean alone.
    """
    summary: TrainingFigures = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        values = np.array([row[key] for row in rows if key in row])
        summary[key] = float(values.mean())
        if len(values) > 1:
            deviation = float(values.std(ddof=1))
            reach = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
            summary |= {f"{key}_std": deviation, f"{key}_low": summary[key] - reach}
            summary[f"{key}_high"] = summary[key] + reach
    return {key: round(value, 6) for key, value in summary.items()}
