"""Data sets and inference sets: what the client does with them as a whole."""

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from sqlalchemy import Row, select

from lib.core.errors import EarshotError
from lib.curation.client.client_base import checked_metadata
from lib.curation.client.set_creation import SetCreation
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.store.curation_tables import FRAME, INGEST_ERROR, UPLOAD_VERSION
from lib.curation.store.embedding_rows import EmbeddingBlock, embedding_blocks
from lib.curation.store.label_rows import OBJECT_TYPES

DONE = ("DONE", 100.0)
FAILED = ("ERROR", 0.0)


class SetMethods(SetCreation):
    """Methods of the client about data sets and inference sets."""

    # Looking

    def dataset_exists(self, project_id: str, dataset_id: str) -> bool:
        """Whether a project has a data set of this name."""
        return self.catalog.find_set(project_id, dataset_id) is not None

    def inferences_exists(self, project_id: str, dataset_id: str, inferences_id: str) -> bool:
        """Whether a data set has an inference set of this name."""
        return self.catalog.find_set(project_id, dataset_id, inferences_id) is not None

    def get_datasets(self, project_id: str, include_archived: bool | None = None) -> list[dict[str, Any]]:
        """The data sets of a project, by name, each as get_dataset gives it; include_archived: also archived ones."""
        return [self._described(row) for row in self.catalog.sets(project_id, bool(include_archived))]

    def get_inference_sets(self, project_id: str, dataset_id: str) -> list[dict[str, Any]]:
        """The inference sets of a data set, by name, each as get_dataset gives a data set."""
        base = self.catalog.frame_set(project_id, dataset_id)
        return [self._described(row) for row in self.catalog.sets(project_id, base=base)]

    def get_dataset(self, project_id: str, dataset_id: str) -> dict[str, Any]:
        """What is known of a data set: how it was created, archived, kind, data_url, upload_versions with their counts,
        n_frames (None: it is linked), external_metadata, created_at and updated_at."""
        return self._described(self.catalog.frame_set(project_id, dataset_id))

    def _described(self, row: Row) -> dict[str, Any]:
        query = select(UPLOAD_VERSION).where(UPLOAD_VERSION.c.FrameSetID == row.ID).order_by(UPLOAD_VERSION.c.ID)
        counted = ("Added", "Modified", "Deleted", "Unchanged", "Failed")
        versions = [
            {"name": version.Name, "created_at": version.CreatedAt, "updated_at": version.UpdatedAt}
            | {name.lower(): version._mapping[name] for name in counted}
            for version in self.database.rows(query)
        ]
        times = {"created_at": row.CreatedAt, "updated_at": row.UpdatedAt}
        about = {"id": row.Name, "kind": row.Kind, "data_url": row.DataUrl, "archived": bool(row.Archived)}
        n_frames = self.catalog.count(row, FRAME) if row.DataUrl is None else None
        about |= {"n_frames": n_frames, "upload_versions": versions, "external_metadata": row.Metadata}
        return about | row.Content | times

    def embeddings(
        self,
        project_id: str,
        dataset_id: str,
        inferences_id: str | None = None,
        crops: bool = False,
        frame_ids: Collection[str] | None = None,
    ) -> Iterator[EmbeddingBlock]:
        """The embeddings of a set's frames or, crops: of its labels, in blocks; frame_ids: only of these frames.

        They are those that were uploaded and, of a linked data set, those of its store: see embeddings_url of
        create_or_update_dataset. An inference set of it has them for its labels.
        """
        uploaded = self.uploaded_embeddings(project_id, dataset_id, inferences_id, crops, frame_ids)
        linked = self.linked_embeddings(project_id, dataset_id)
        if linked is None or (inferences_id is not None and not crops):
            return uploaded
        if not crops:
            return chain(uploaded, linked.of_frames(frame_ids))
        return chain(uploaded, linked.of_labels(self.source(project_id, dataset_id, inferences_id).labels(frame_ids)))

    def uploaded_embeddings(
        self,
        project_id: str,
        dataset_id: str,
        inferences_id: str | None = None,
        crops: bool = False,
        frame_ids: Collection[str] | None = None,
    ) -> Iterator[EmbeddingBlock]:
        """Those embeddings of a set that were uploaded; see embeddings."""
        row = self.catalog.frame_set(project_id, dataset_id, inferences_id)
        return embedding_blocks(self.database, row.ID, crops, frame_ids)

    # Errors and states

    def get_dataset_ingest_error_logs(self, project_id: str, dataset_id: str) -> list[dict[str, Any]]:
        """What is wrong with entries of a data set: frame_id, line (of its stream), error, remedy, upload_version."""
        row = self.catalog.frame_set(project_id, dataset_id)
        if row.DataUrl is None:
            return self._errors(row)
        problems = self._linked_truth(row).problems
        read = [
            {"frame_id": "", "line": None, "error": f"{p.subject}: {p.fault}", "remedy": p.remedy} for p in problems
        ]
        return [each | {"upload_version": None, "at": None} for each in read] + self._errors(row)

    def get_inferences_ingest_error_logs(
        self, project_id: str, dataset_id: str, inferences_id: str
    ) -> list[dict[str, Any]]:
        """What is wrong with entries of an inference set; see get_dataset_ingest_error_logs."""
        return self._errors(self.catalog.frame_set(project_id, dataset_id, inferences_id))

    def _errors(self, row: Row) -> list[dict[str, Any]]:
        query = select(INGEST_ERROR, UPLOAD_VERSION.c.Name.label("Version")).outerjoin(UPLOAD_VERSION)
        query = query.where(INGEST_ERROR.c.FrameSetID == row.ID).order_by(INGEST_ERROR.c.ID)
        return [
            {"frame_id": error.FrameName, "line": error.Line, "error": error.Fault, "remedy": error.Remedy}
            | {"upload_version": error.Version, "at": error.At}
            for error in self.database.rows(query)
        ]

    def current_dataset_process_state(self, project_id: str, dataset_id: str) -> tuple[str, float]:
        """("DONE", 100.0), as uploads are finished when they return; ("ERROR", 0.0): what it is linked to is gone."""
        return self._state(project_id, dataset_id, None)

    def current_inferences_process_state(
        self, project_id: str, dataset_id: str, inferences_id: str
    ) -> tuple[str, float]:
        """See current_dataset_process_state."""
        return self._state(project_id, dataset_id, inferences_id)

    def _state(self, project_id: str, dataset_id: str, inferences_id: str | None) -> tuple[str, float]:
        self.catalog.frame_set(project_id, dataset_id, inferences_id)
        try:
            self.source(project_id, dataset_id, inferences_id)
        except EarshotError:
            return FAILED
        return DONE

    def is_dataset_processed(self, project_id: str, dataset_id: str) -> bool:
        """Whether a data set can be read."""
        return self._state(project_id, dataset_id, None) == DONE

    def is_inferences_processed(self, project_id: str, dataset_id: str, inferences_id: str) -> bool:
        """Whether an inference set can be read."""
        return self._state(project_id, dataset_id, inferences_id) == DONE

    def current_abstract_dataset_process_step_status(self, project_id: str, dataset_id: str) -> dict[str, Any]:
        """State of each step of a data set, or of the only inference set of that name: frames and embeddings."""
        row = self.catalog.find_set(project_id, dataset_id) or self.catalog.inference_set(project_id, dataset_id)
        n_errors = self.catalog.count(row, INGEST_ERROR)
        n_embeddings = sum(len(block.frame_ids) for block in embedding_blocks(self.database, row.ID, False))
        ingest = {"status": "DONE", "frames": self.catalog.count(row, FRAME), "errors": n_errors}
        return {"ingest": ingest, "embeddings": {"status": "DONE", "frames": n_embeddings}}

    # Changing

    def is_dataset_archived(self, project_id: str, dataset_id: str) -> bool:
        """Whether a data set is archived; False if there is none of this name."""
        row = self.catalog.find_set(project_id, dataset_id)
        return row is not None and bool(row.Archived)

    def archive_dataset(self, project_id: str, dataset_id: str, archived: bool = True) -> None:
        """Leave a data set out of lists, or take it back into them."""
        self.catalog.change_set(self.catalog.frame_set(project_id, dataset_id), Archived=int(archived))

    def delete_dataset(self, project_id: str, dataset_id: str) -> None:
        """Delete a data set with its inference sets. What they are linked to stays as it is."""
        self.catalog.delete_set(self.catalog.frame_set(project_id, dataset_id))

    def delete_inferences(self, project_id: str, dataset_id: str, inferences_id: str) -> None:
        """Delete an inference set. What it is linked to stays as it is."""
        self.catalog.delete_set(self.catalog.frame_set(project_id, dataset_id, inferences_id))

    def update_dataset_metadata(self, project_id: str, dataset_id: str, external_metadata: dict[str, Any]) -> None:
        """Replace the metadata of a data set."""
        row = self.catalog.frame_set(project_id, dataset_id)
        self.catalog.change_set(row, Metadata=checked_metadata(external_metadata))

    def update_inferences_metadata(
        self, project_id: str, inferences_id: str, external_metadata: dict[str, Any]
    ) -> None:
        """Replace the metadata of the inference set of a project that has this name."""
        row = self.catalog.inference_set(project_id, inferences_id)
        self.catalog.change_set(row, Metadata=checked_metadata(external_metadata))

    def get_dataset_object_metadata_schema(self, project_id: str, dataset_id: str) -> list[dict[str, str]]:
        """Names and types of fields of labels' user_attrs that must have a type."""
        return self.catalog.frame_set(project_id, dataset_id).ObjectFields

    def update_dataset_object_metadata_schema(
        self, project_id: str, dataset_id: str, object_metadata_fields: list[dict[str, Any]]
    ) -> None:
        """Set names and types of fields of labels' user_attrs; labels that come later must keep to them.

        object_metadata_fields: `[{"name": "distance", "type": "FLOAT"}, ...]`; types are STRING, BOOL, NUMERIC,
            INTEGER, FLOAT and ARRAY<one of them>. Raises EarshotError for others.
        """
        row = self.catalog.frame_set(project_id, dataset_id)
        for each in object_metadata_fields:
            kind = each.get("type") if isinstance(each, Mapping) else None
            element = kind[6:-1] if isinstance(kind, str) and kind.startswith("ARRAY<") and kind.endswith(">") else kind
            if element not in OBJECT_TYPES:
                fault = f"{str(each)[:100]} has no known type"
                raise EarshotError("object metadata field", fault, f"types are {', '.join(OBJECT_TYPES)}, ARRAY<type>")
            check_entry_name("object metadata field", each.get("name"))
        fields = [{"name": each["name"], "type": each["type"]} for each in object_metadata_fields]
        self.catalog.change_set(row, ObjectFields=fields)
