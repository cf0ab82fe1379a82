"""What all methods of the client need: the database, names in it, and what reads a set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Row

from lib.config.schema import DataSettings
from lib.core.errors import EarshotError
from lib.core.files import project_root
from lib.curation.client.label_class_map import ClassMapEntry, LabelClassMap
from lib.curation.frames.foreign_methods import NoMeaningForSound
from lib.curation.frames.inferences_frame import InferencesFrame
from lib.curation.frames.labeled_frame import LabeledFrame, UnlabeledFrame
from lib.curation.store.curation_database import DEFAULT_URL, CurationDatabase
from lib.curation.store.curation_tables import EMBEDDING
from lib.curation.store.frame_catalog import INFERENCES, FrameCatalog
from lib.curation.store.linked_predictions import LinkedPredictions
from lib.curation.store.linked_truth import LinkedTruth
from lib.curation.store.uploaded_frames import UploadedFrames
from lib.results.predictions import as_json

if TYPE_CHECKING:
    from lib.curation.store.linked_embeddings import LinkedEmbeddings

UNLABELED = "unlabeled"
"""Kind of a data set without truth."""
FRAME_CLASSES: dict[str, type[LabeledFrame] | type[InferencesFrame]] = {
    "labeled": LabeledFrame,
    UNLABELED: UnlabeledFrame,
    INFERENCES: InferencesFrame,
}
"""Of the frames of a set, by its kind."""
EMBEDDING_STORE = "data/embeddings.db"
"""Of linked data sets that name none."""
Source = UploadedFrames | LinkedTruth | LinkedPredictions


class ClientBase:
    """A client without methods; see Client."""

    def __init__(self, *, api_endpoint: str = DEFAULT_URL, data: DataSettings | None = None) -> None:
        self.database = CurationDatabase(api_endpoint)
        self.catalog = FrameCatalog(self.database)
        self._data = data or DataSettings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def source(self, project_id: str, dataset_id: str, inferences_id: str | None = None) -> Source:
        """What reads the frames and labels of a data set or of its inference set, wherever these are."""
        return self._source_of(self.catalog.frame_set(project_id, dataset_id, inferences_id), project_id, dataset_id)

    def _source_of(self, row: Row, project_id: str, dataset_id: str) -> Source:
        if row.DataUrl is None:
            return UploadedFrames(self.database, row.ID)
        if row.Kind == INFERENCES:
            return LinkedPredictions(row.DataUrl, self.source(project_id, dataset_id))
        return self._linked_truth(row)

    def _linked_truth(self, row: Row) -> LinkedTruth:
        return LinkedTruth(row.DataUrl, self._data, row.Kind != UNLABELED)

    def linked_embeddings(self, project_id: str, dataset_id: str) -> "LinkedEmbeddings | None":
        """What reads the embeddings of a linked data set from its store (embeddings_url); None: it has none.

        A data set that names no store and for which no embeddings were uploaded has EMBEDDING_STORE, if any of its
        recordings are there. Raises EarshotError if the store cannot be read.
        """
        row = self.catalog.frame_set(project_id, dataset_id)
        url = row.Content.get("embeddings_url") if row.DataUrl is not None else None
        path = project_root() / (url or EMBEDDING_STORE)
        if row.DataUrl is None or (url is None and (not path.exists() or self.catalog.count(row, EMBEDDING))):
            return None
        from lib.curation.store.linked_embeddings import LinkedEmbeddings

        embeddings = LinkedEmbeddings(path, self._linked_truth(row), dataset_id)
        return embeddings if url is not None or embeddings.has_any() else None

    def _class_map(self, project: Row) -> LabelClassMap:
        return LabelClassMap(entries=[ClassMapEntry(**entry) for entry in project.Content["label_class_map"]])


def checked_metadata(metadata: Any) -> dict[str, Any]:
    """Metadata of a project or set as plain data; None: empty. Raises EarshotError if JSON cannot hold it."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or as_json(metadata) is None:
        raise EarshotError("external_metadata", "must be a mapping that JSON can hold", "convert its values")
    return dict(metadata)


def refuse_foreign(about: str, **options: Any) -> None:
    """Raise NoMeaningForSound for an option that is given. about: what they are for."""
    for name, value in options.items():
        if value is not None:
            raise NoMeaningForSound(name, about)
