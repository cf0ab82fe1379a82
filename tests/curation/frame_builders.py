"""Frames and clients for tests of the curation database."""

from pathlib import Path

from lib import Client, InferencesFrame, LabelClassMap, LabeledDataset, LabeledFrame
from lib.config.schema import DataSettings

BOX = {"left": 1.0, "width": 2.0, "top": 5000.0, "height": 1000.0}


def open_client(folder: Path, project: str = "marsh", data: DataSettings | None = None, **options) -> Client:
    """A client of a new database with a project of two classes, Wren and Owl."""
    client = Client(api_endpoint=f"sqlite:///{folder}/curation.db", data=data)
    client.create_project(project, LabelClassMap.from_classnames(["Wren", "Owl"]), **options)
    return client


def boxed(frame_id: str, class_name: str = "Wren", update_type: str = "ADD", **values) -> LabeledFrame:
    """A frame of a recording of its name, with one box, `<frame_id>-1`."""
    frame = LabeledFrame(frame_id=frame_id, update_type=update_type)
    frame.add_audio(audio_url=f"field/{frame_id}.wav")
    frame.add_label_2d_bbox(label_id=f"{frame_id}-1", classification=class_name, **(BOX | values))
    return frame


def predicted(frame_id: str, class_name: str = "Wren", confidence: float = 0.5) -> InferencesFrame:
    frame = InferencesFrame(frame_id=frame_id)
    frame.add_inference_2d_bbox(label_id=f"{frame_id}-p", classification=class_name, confidence=confidence, **BOX)
    return frame


def dataset_of(*frames: LabeledFrame) -> LabeledDataset:
    dataset = LabeledDataset()
    for frame in frames:
        dataset.add_frame(frame)
    return dataset


def truth_of(client: Client, dataset: str = "day", project: str = "marsh") -> dict[str, tuple]:
    """Frame and class of each label, by its id."""
    rows = [row for table in client.truth(project, dataset) for row in table.to_dict("records")]
    return {row["label_id"]: (row["frame_id"], row["class"]) for row in rows}
