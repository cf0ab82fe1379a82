"""Embeddings of frames and labels in the curation database."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, bindparam, delete, insert, select

from lib.curation.store.curation_database import CurationDatabase
from lib.curation.store.curation_tables import EMBEDDING

VECTORS_A_BLOCK = 2_000
NAMES_A_STATEMENT = 400


class EmbeddingBlock(NamedTuple):
    """Some embeddings of a model. A frame or label may have several, of which the most similar one counts.

    Args:
        model: what made them.
        frame_ids: of their frames, (n,).
        label_ids: of their labels, (n,); "": of the frame.
        vectors: float32 (n, dim).
    """

    model: str
    frame_ids: list[str]
    label_ids: list[str]
    vectors: np.ndarray


def write_embeddings(connection: Connection, set_id: int, frames: Iterable[Mapping[str, Any]]) -> int:
    """Put the embeddings of frames, as to_dict gives them, in place of those that there are; returns how many."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for frame in frames:
        of_frame = [("", model, vector) for model, vector in (frame.get("frame_embeddings") or {}).items()]
        of_crops = [
            (crop["label_id"], crop["model_id"], crop["embedding"]) for crop in frame.get("crop_embeddings") or ()
        ]
        for crop, model, vector in (*of_frame, *of_crops):
            row = {"FrameSetID": set_id, "FrameName": frame["frame_id"], "CropName": crop, "Model": model}
            row |= {"Dimension": len(vector), "Vector": np.asarray(vector, "<f4").tobytes()}
            rows[frame["frame_id"], crop, model] = row
    if rows:
        keys = {"FrameSetID": "s", "FrameName": "f", "CropName": "c", "Model": "m"}
        conditions = [EMBEDDING.c[column] == bindparam(name) for column, name in keys.items()]
        values = [{name: row[column] for column, name in keys.items()} for row in rows.values()]
        connection.execute(delete(EMBEDDING).where(*conditions), values)
        connection.execute(insert(EMBEDDING), list(rows.values()))
    return len(rows)


def delete_embeddings(connection: Connection, set_id: int, frame_ids: Sequence[str]) -> None:
    """Remove the embeddings of frames and of their labels."""
    for first in range(0, len(frame_ids), NAMES_A_STATEMENT):
        names = frame_ids[first : first + NAMES_A_STATEMENT]
        statement = delete(EMBEDDING).where(EMBEDDING.c.FrameSetID == set_id, EMBEDDING.c.FrameName.in_(names))
        connection.execute(statement)


def embedding_blocks(
    database: CurationDatabase, set_id: int, of_crops: bool, frame_ids: Collection[str] | None = None
) -> Iterator[EmbeddingBlock]:
    """The embeddings of a set's frames, or of its labels, by model and name, in blocks of bounded size.

    frame_ids: only of these frames, or of their labels; None: all.
    """
    columns = EMBEDDING.c.Model, EMBEDDING.c.Dimension, EMBEDDING.c.FrameName, EMBEDDING.c.CropName, EMBEDDING.c.Vector
    query = select(*columns).where(EMBEDDING.c.FrameSetID == set_id)
    query = query.where(EMBEDDING.c.CropName != "" if of_crops else EMBEDDING.c.CropName == "").order_by(*columns[:4])
    if frame_ids is None:
        queries = [query]
    else:
        names = sorted(set(frame_ids))
        parts = (names[first : first + NAMES_A_STATEMENT] for first in range(0, len(names), NAMES_A_STATEMENT))
        queries = [query.where(EMBEDDING.c.FrameName.in_(part)) for part in parts]
    for rows in (rows for each in queries for rows in database.blocks(each, VECTORS_A_BLOCK)):
        for model, dimension in dict.fromkeys((row.Model, row.Dimension) for row in rows):
            of_model = [row for row in rows if (row.Model, row.Dimension) == (model, dimension)]
            vectors = np.frombuffer(b"".join(row.Vector for row in of_model), "<f4").reshape(len(of_model), dimension)
            frames, crops = [row.FrameName for row in of_model], [row.CropName for row in of_model]
            yield EmbeddingBlock(model, frames, crops, vectors)
