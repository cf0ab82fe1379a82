"""Collection campaigns: what is looked for, and how like it a frame is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lib.core.errors import EarshotError

THRESHOLD = 0.5
"""Least similarity of what is collected, where a campaign's sampling_threshold does not say it."""
TINY = 1e-12


@dataclass
class Campaign:
    """An issue whose elements are examples of what is wanted.

    Args:
        project: of the issue.
        issue_id, name: of the issue.
        threshold: least similarity of what is collected.
        examples: by model, the embeddings of the elements as unit vectors, float32 (n, dim).
        sampled: similarity and content (see LabeledFrame.to_dict) of each frame that was scored, by its ID; vectors of
            frame_embeddings may be arrays.
    """

    project: str
    issue_id: str
    name: str
    threshold: float
    examples: dict[str, np.ndarray]
    sampled: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    def similarity(self, model: str, vectors: np.ndarray) -> np.ndarray:
        """The cosine between each vector, float32 (n, dim), and the example most like it, float32 (n,), -1..1.

        Raises EarshotError if the examples have no embeddings by that model, or of another dimension.
        """
        examples = self.examples.get(model)
        if examples is None:
            known = ", ".join(repr(name) for name in self.examples)
            fault = f"has no embeddings of {model!r}, which the frames have"
            raise EarshotError(f"issue {self.name!r}", fault, f"embed both by one model; the issue has {known}")
        if examples.shape[1] != vectors.shape[1]:
            fault = f"has embeddings of {examples.shape[1]} dimensions, the frames of {vectors.shape[1]}"
            raise EarshotError(f"issue {self.name!r}", fault, "embed both by one model")
        return np.clip((unit_vectors(vectors) @ examples.T).max(axis=1), -1, 1)

    def score_frame(self, embeddings: Mapping[str, Sequence[float]]) -> float:
        """The similarity of a frame by its embeddings, by model: of several models, the highest."""
        shared = [model for model in embeddings if model in self.examples] or list(embeddings)[:1]
        return max(float(self.similarity(model, np.asarray([embeddings[model]], np.float32))[0]) for model in shared)

    def chosen(self, threshold: float | None, count: int | None) -> list[str]:
        """The sampled frames to collect, most similar first: the `count` most similar, else those at the threshold."""
        order = sorted(self.sampled, key=lambda frame: (-self.sampled[frame][0], frame))
        if count is not None:
            return order[:count]
        least = self.threshold if threshold is None else threshold
        return [frame for frame in order if self.sampled[frame][0] >= least]


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, dim) of length 1; those without length stay as they are."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), TINY)


def examples_of(blocks: Iterable[Any], elements: set[tuple[str, str]]) -> dict[str, np.ndarray]:
    """The unit vectors of elements, (frame, label or ""), by model.

    blocks: EmbeddingBlocks of the set that they are in.
    """
    found: dict[str, list[np.ndarray]] = {}
    for block in blocks:
        names = zip(block.frame_ids, block.label_ids, strict=True)
        rows = [row for row, name in enumerate(names) if name in elements]
        if rows:
            found.setdefault(block.model, []).append(unit_vectors(block.vectors[rows]))
    return {model: np.concatenate(parts) for model, parts in found.items()}
