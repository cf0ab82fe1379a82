"""Frames: what the client does with single ones."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lib.core.errors import EarshotError
from lib.curation.client.client_base import FRAME_CLASSES
from lib.curation.client.frame_preview import draw_frame
from lib.curation.client.set_methods import SetMethods
from lib.curation.frames.ground_truth_update import UpdateGTLabelSet
from lib.curation.frames.inferences_frame import InferencesFrame
from lib.curation.frames.labeled_frame import LabeledFrame


class FrameMethods(SetMethods):
    """Methods of the client about frames."""

    def get_frame_ids(self, project_id: str, dataset_id: str) -> list[str]:
        """The ids of all frames of a data set."""
        return [frame.frame_id for frame in self.source(project_id, dataset_id).frames()]

    def get_frame(self, project_id: str, dataset_id: str, frame_id: str) -> LabeledFrame:
        """A frame of a data set with its labels, without embeddings. Raises EarshotError if there is none of the id."""
        frames = self.get_frames(project_id, dataset_id, [frame_id])
        if frame_id not in frames:
            raise EarshotError(f"frame {frame_id!r} of {dataset_id!r}", "there is none of this id", "see get_frame_ids")
        return frames[frame_id]

    def get_frames(self, project_id: str, dataset_id: str, frame_ids: Collection[str]) -> dict[str, LabeledFrame]:
        """Frames of a data set with their labels, by id; those that there are."""
        row = self.catalog.frame_set(project_id, dataset_id)
        frame_class = FRAME_CLASSES[row.Kind]
        frames = map(frame_class.from_dict, self.source(project_id, dataset_id).contents(frame_ids))
        return {frame.frame_id: frame for frame in frames}  # type: ignore[misc]

    def update_dataset_frames(
        self, project_id: str, dataset_id: str, update: Sequence[LabeledFrame], upload_version: str | None = None
    ) -> None:
        """Change frames of a data set: sensors, metadata and labels that an update has replace those that there are.

        Args:
            project_id, dataset_id: names.
            update: the changes, whatever their update_type; those of frames that there are not become ingest errors.
            upload_version: name of the set of changes; None: the last one.
        """
        self._change(project_id, dataset_id, update, LabeledFrame, upload_version)

    def update_dataset_labels(
        self, project_id: str, dataset_id: str, update: Sequence[UpdateGTLabelSet], upload_version: str | None = None
    ) -> None:
        """Add labels to frames of a data set, and change some of those that they have; see update_dataset_frames."""
        self._change(project_id, dataset_id, update, UpdateGTLabelSet, upload_version)

    def update_frames_metadata(
        self, project_id: str, dataset_id: str, frame_metadata_updates: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Change fields of frames' user metadata, by frame_id and key; see update_dataset_frames."""
        updates = []
        for frame_id, fields in frame_metadata_updates.items():
            frame = LabeledFrame(frame_id=frame_id, update_type="MODIFY")
            for key, value in fields.items():
                (frame.add_user_metadata_list if isinstance(value, list) else frame.add_user_metadata)(key, value)
            updates.append(frame)
        self.update_dataset_frames(project_id, dataset_id, updates)

    def _change(
        self,
        project_id: str,
        dataset_id: str,
        updates: Sequence[LabeledFrame] | Sequence[UpdateGTLabelSet],
        parsed_as: type[LabeledFrame] | type[UpdateGTLabelSet],
        version: str | None,
    ) -> None:
        project, row = self.catalog.project(project_id), self.catalog.frame_set(project_id, dataset_id)
        mirrored = self._mirrored(project_id, dataset_id, _lines_of(updates))
        with self.database.writing() as connection:
            row = self.catalog.ensure_set(connection, project, None, dataset_id, Kind=row.Kind)
            self._upload(
                connection,
                project,
                row,
                _lines_of(updates),
                version,
                mirrored,
                lambda content: parsed_as.from_dict(content).to_dict(),
            )

    def preview_frame(
        self, project_id: str, labeled_frame: LabeledFrame, inference_frame: InferencesFrame | None = None
    ) -> None:
        """Print the path of a picture of a frame: its spectrogram, labels and predictions in the classes' colors."""
        predictions = None if inference_frame is None else inference_frame.to_dict()
        print(draw_frame(labeled_frame.to_dict(), predictions, self._class_map(self.catalog.project(project_id))))


def _lines_of(updates: Sequence[LabeledFrame] | Sequence[UpdateGTLabelSet]) -> Iterator[str]:
    return (json.dumps(update.to_dict(), ensure_ascii=False) for update in updates)
