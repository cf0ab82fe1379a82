"""Containers of frames on their way into a set or a file: JSONL streams, whose size only the disk limits."""

import json
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TextIO

from lib.core.errors import EarshotError, Problem
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.frames.frame_parts import Content
from lib.curation.frames.inferences_frame import InferencesFrame
from lib.curation.frames.labeled_frame import LabeledFrame, UnlabeledFrame

EMBEDDING_PARTS = ("frame_embeddings", "crop_embeddings")
LONGEST_LINE = 64 * 2**20
"""Characters of a frame."""
DAMAGE = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
"""What a frame raises that is made of other plain data than to_dict gives."""


class FrameStream:
    """Frames in the order in which they are to be taken, in a temporary file.

    Frames are checked when they are made, and again when a stream is read.
    """

    frame_class: ClassVar[type[LabeledFrame] | type[InferencesFrame]]

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=2**20, mode="w+", encoding="utf-8")  # noqa: SIM115
        self._n_lines = 0

    def __len__(self) -> int:
        """How many frames were added or deleted."""
        return self._n_lines

    def add_frame(self, frame: Any) -> None:
        """Add a frame. Raises EarshotError if it is of another kind of set."""
        if not isinstance(frame, self.frame_class):
            fault, name = f"takes no {type(frame).__name__}", self.frame_class.__name__
            raise EarshotError(type(self).__name__, fault, f"add frames of {name}")
        self._append(frame.to_dict())

    def delete_frame(self, frame_id: str) -> None:
        """Delete a frame of that id: from this stream, and from the set that it is uploaded to."""
        check_entry_name("frame", frame_id)
        self._append({"frame_id": frame_id, "update_type": "DELETE"})

    def _append(self, content: Content) -> None:
        self._file.seek(0, 2)
        self._file.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
        self._n_lines += 1

    def lines(self) -> Iterator[str]:
        """The frames as JSON texts."""
        position = 0
        while True:  # others may add frames meanwhile
            self._file.seek(position)
            line = self._file.readline()
            position = self._file.tell()
            if not line:
                return
            yield line

    def _write(self, filelike: TextIO, part_of: Callable[[Content], Content | None]) -> None:
        for line in self.lines():
            if part := part_of(json.loads(line)):
                filelike.write(json.dumps(part, ensure_ascii=False) + "\n")

    def write_to_file(self, filelike: TextIO) -> None:
        """Write the frames with their labels, without embeddings, one a line."""
        self._write(filelike, lambda frame: {key: frame[key] for key in frame if key not in EMBEDDING_PARTS})

    def write_embeddings_to_file(self, filelike: TextIO) -> None:
        """Write the embeddings of frames and labels, those of a frame a line."""
        self._write(filelike, lambda frame: _parts(frame, EMBEDDING_PARTS))

    def write_label_assets_to_file(self, filelike: TextIO) -> None:
        """Write the masks, those of a frame a line, as write_to_file has them in the labels."""
        self._write(filelike, _masks_of)

    def read_from_file(self, filelike: TextIO) -> list[Problem]:
        """Add the frames of a stream that write_to_file wrote, or embeddings; returns a Problem for each bad line."""
        problems = []
        for number, line in enumerate(iter(lambda: filelike.readline(LONGEST_LINE + 1), ""), 1):
            if not line.strip():
                continue
            try:
                content = content_of_line(line)
                if content.get("update_type") == "DELETE":
                    self.delete_frame(content["frame_id"])
                else:
                    self.add_frame(self.frame_class.from_dict(content))
            except EarshotError as error:
                problems.append(error.problem()._replace(subject=f"line {number}: {error.subject}"))
            except DAMAGE as error:
                problems.append(Problem(f"line {number}", damage(error), "write it with write_to_file"))
        return problems


class LabeledDataset(FrameStream):
    """Frames of a labelled data set: create it, add LabeledFrames, and give it to Client.create_dataset.

    Args:
        pipeline_mode: STREAMING: the data set can be added to later; BATCH: it cannot.
        experimental_streaming_v2: kept for scripts that set it.
    """

    frame_class: ClassVar[type[LabeledFrame] | type[InferencesFrame]] = LabeledFrame

    def __init__(self, *, pipeline_mode: str = "STREAMING", experimental_streaming_v2: bool = False) -> None:
        super().__init__()
        self.pipeline_mode = checked_mode(pipeline_mode)

    def write_frames_to_file_streaming(self, filelike: TextIO) -> None:
        """Write the frames without their labels and embeddings, one a line."""
        left_out = ("label_data", *EMBEDDING_PARTS)
        self._write(filelike, lambda frame: {key: frame[key] for key in frame if key not in left_out})

    def write_labels_to_file_streaming(self, filelike: TextIO) -> None:
        """Write the labels, those of a frame a line."""
        self._write(filelike, lambda frame: _parts(frame, ("label_data",)))

    def write_frame_embeddings_to_file_streaming(self, filelike: TextIO) -> None:
        """Write the embeddings of frames, those of a frame a line."""
        self._write(filelike, lambda frame: _parts(frame, ("frame_embeddings",)))

    def write_crop_embeddings_to_file_streaming(self, filelike: TextIO) -> None:
        """Write the embeddings of labels, those of a frame a line."""
        self._write(filelike, lambda frame: _parts(frame, ("crop_embeddings",)))


class UnlabeledDataset(LabeledDataset):
    """Frames of an unlabelled data set, as LabeledDataset: add UnlabeledFrames.

    pipeline_mode: see LabeledDataset.
    """

    frame_class: ClassVar[type[LabeledFrame] | type[InferencesFrame]] = UnlabeledFrame

    def __init__(self, *, pipeline_mode: str = "STREAMING") -> None:
        super().__init__(pipeline_mode=pipeline_mode)


class Inferences(FrameStream):
    """Predictions: create it, add InferencesFrames, and give it to Client.create_inferences.

    experimental_streaming_v2: kept for scripts that set it.
    """

    frame_class: ClassVar[type[LabeledFrame] | type[InferencesFrame]] = InferencesFrame

    def __init__(self, experimental_streaming_v2: bool = False) -> None:
        super().__init__()
        self.pipeline_mode = "STREAMING"


def checked_mode(pipeline_mode: str) -> str:
    """A pipeline mode. Raises EarshotError if it is another word."""
    if pipeline_mode not in ("STREAMING", "BATCH"):
        raise EarshotError(f"pipeline_mode {pipeline_mode!r}", "is unknown", "give STREAMING or BATCH")
    return pipeline_mode


def content_of_line(line: str) -> Content:
    """The frame in a line of a stream, as plain data. Raises EarshotError, or ValueError where it is no JSON."""
    if len(line) > LONGEST_LINE:
        raise EarshotError("line", f"is longer than {LONGEST_LINE} characters", "split the frame")
    content = json.loads(line, parse_constant=_no_constant)
    if not isinstance(content, dict) or not isinstance(content.get("frame_id"), str):
        raise EarshotError("line", "is no frame", 'write a JSON object with "frame_id"')
    return content


def damage(error: Exception) -> str:
    """What an error of DAMAGE says about a line, in words."""
    return f"is damaged ({type(error).__name__}: {str(error)[:200]})"


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _parts(frame: Content, names: tuple[str, ...]) -> Content | None:
    parts = {name: frame[name] for name in names if frame.get(name)}
    return {"frame_id": frame["frame_id"], **parts} if parts else None


def _masks_of(frame: Content) -> Content | None:
    labels = [label for label in frame.get("label_data", ()) if "mask_data" in label]
    masks = [{"label_id": label["label_id"], "mask_data": label["mask_data"]} for label in labels]
    return {"frame_id": frame["frame_id"], "label_assets": masks} if masks else None
