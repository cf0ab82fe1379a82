"""Recognizers as ONNX files, which run without torch and without this project: on field devices, in R, in JavaScript.

Such a file stands alone. Its graph takes spectrograms and gives the scores that the infer stage would give, a stored
Platt scaling included; its metadata say in JSON what the classes are called and how spectrograms are made. It is
written only if ONNX Runtime, running it, gives torch's scores.
"""

import contextlib
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lib.config import Audio
from lib.errors import EarshotError
from lib.files import atomic
from lib.models.calibration import END
from lib.models.checkpoint import load_checkpoint
from lib.models.description import Description
from lib.models.recognizer import Recognizer

FORMAT = "earshot-onnx-1"
TOLERANCE = 1e-4
"""Largest difference between a score of the file and torch's."""
INPUT, SCORES, FRAME_SCORES, EMBEDDINGS = "spectrograms", "scores", "frame_scores", "embeddings"
LIMIT = math.log(1 - END) - math.log(END)
"""Logit of the highest score that is scaled, see lib.models.calibration."""
UNSCALED = (1.0, 0.0)
BATCHES = (1, 2, 7, 32)
"""Numbers of random spectrograms to verify with: the first axis must take any."""


class Port(NamedTuple):
    """An input or output of a graph; shape: numbers, and the names of axes of any length."""

    name: str
    type: str
    shape: tuple[int | str, ...]
    meaning: str


class Exported(NamedTuple):
    """A file that was written; difference: the largest one between its scores and torch's."""

    path: Path
    inputs: list[Port]
    outputs: list[Port]
    difference: float
    n_random: int
    n_real: int


class Scorer(nn.Module):
    """A recognizer with what makes scores of its logits."""

    def __init__(self, model: Recognizer, description: Description) -> None:
        super().__init__()
        self.model, self.multi_label = model, description.multi_label
        self.scaling = _scaling(description)

    def forward(self, spectrograms: Tensor) -> tuple[Tensor, ...]:
        """Scores (n, n_classes) of spectrograms (n, height, width), if the head knows of frames those of frames
        (n, n_frames, n_classes), and embeddings (n, dim).
        """
        logits, frame_logits = self.model.forward_frames(spectrograms)
        frames = () if frame_logits is None else (self._scores(frame_logits).transpose(1, 2),)
        return (
            self._scores(logits),
            *frames,
            self.model.embed(spectrograms),
        )  # the exporter joins what is computed twice

    def _scores(self, logits: Tensor) -> Tensor:
        if not self.multi_label:
            scores = torch.softmax(logits, dim=1)
            if self.scaling == UNSCALED:
                return scores
            scores = scores.clamp(END, 1 - END)
            logits = torch.log(scores) - torch.log(1 - scores)
        coefficient, intercept = self.scaling
        if self.scaling != UNSCALED:
            logits = logits.clamp(-LIMIT, LIMIT)
        return torch.sigmoid(coefficient * logits + intercept)


def _scaling(description: Description) -> tuple[float, float]:
    """Coefficient and intercept of the stored Platt scaling."""
    calibration = description.calibration
    return (calibration.coefficient, calibration.intercept) if calibration else UNSCALED


class OnnxRecognizer:
    """An exported file, ready to score on the CPU without torch's weights.

    description: of the model that it was made from. Raises EarshotError if the file is none that was exported here.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        self.path = Path(path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised as well
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self.description = Description.model_validate_json(
                self._session.get_modelmeta().custom_metadata_map["description"]
            )
        except Exception as error:  # ONNX Runtime's own have no base class of theirs
            fault = f"is no exported model that can be used ({_first_line(error)})"
            raise EarshotError(f"{path}: {fault}; export it anew") from None

    def run(self, spectrograms: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name: SCORES (n, n_classes), if the head knows of frames FRAME_SCORES
        (n, n_frames, n_classes), EMBEDDINGS (n, dim). spectrograms: float32 (n, height, width) in 0..1.
        Raises EarshotError if the graph does not take them.
        """
        names = [port.name for port in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, {INPUT: spectrograms}), strict=True))
        except Exception as error:
            reason = _first_line(error)
            raise EarshotError(f"{self.path}: cannot take spectrograms {spectrograms.shape} ({reason})") from None

    def ports(self) -> tuple[list[Port], list[Port]]:
        """What goes in, and what comes out."""
        meta = self._session.get_modelmeta().custom_metadata_map
        inputs, outputs = (
            [Port(port.name, "float32", tuple(port.shape), meta[port.name]) for port in ports]
            for ports in (self._session.get_inputs(), self._session.get_outputs())
        )
        return inputs, outputs


def export_onnx(checkpoint: str | Path, output: str | Path, real: np.ndarray | None = None) -> Exported:
    """Write a checkpoint as an ONNX file, verified with random spectrograms and those given.

    real: float32 (n, height, width) in 0..1. Raises EarshotError if the model cannot be exported, or if a score of the
    file differs from torch's by more than TOLERANCE; then no file is left.
    """
    model, description = load_checkpoint(checkpoint)
    scorer = Scorer(model, description).eval()
    graph = _graph(scorer, description, checkpoint)
    batches = _random_spectrograms(description.audio)
    n_random = sum(map(len, batches))
    if real is not None and len(real):
        batches.append(np.ascontiguousarray(real, np.float32))
    with atomic(output) as part:
        part.write_bytes(graph)
        written = OnnxRecognizer(part)
        difference = max(_difference(scorer, written, batch) for batch in batches)
        if not difference <= TOLERANCE:
            fault = f"outputs of the exported model differ from torch's by up to {difference:.2g}"
            raise EarshotError(f"{checkpoint}: {fault}, more than {TOLERANCE:g}; train with another backbone")
        return Exported(Path(output), *written.ports(), difference, n_random, 0 if real is None else len(real))


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _graph(scorer: Scorer, description: Description, checkpoint: str | Path) -> bytes:
    audio = description.audio
    example = torch.zeros(2, audio.spec_height, audio.spec_width)  # of one, a graph would be made for one alone
    meanings = _meanings(description)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                scorer,
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[name for name in meanings if name != INPUT],
                dynamic_shapes={INPUT: {0: torch.export.Dim("n", min=1)}},
            )
    except Exception as error:  # of many kinds; the innermost says what it was about
        while (inner := error.__cause__ or error.__context__) is not None:
            error = inner  # type: ignore[assignment]
        fault = f"its backbone {description.backbone!r} cannot be exported ({_first_line(error)})"
        raise EarshotError(f"{checkpoint}: {fault}; train with another") from None
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    proto.producer_name, proto.producer_version = "earshot", ""
    for key, value in (_metadata(description) | meanings).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    return proto.SerializeToString(deterministic=True)


def _strip(proto: Any) -> None:
    """Remove what the exporter notes of the code that a graph came from, with the paths of this machine."""
    del proto.metadata_props[:]
    for graph in (proto.graph, *proto.functions):
        del graph.metadata_props[:]
        for part in (*graph.node, *getattr(graph, "input", []), *graph.value_info, *getattr(graph, "initializer", [])):
            if hasattr(part, "metadata_props"):
                del part.metadata_props[:]
            if hasattr(part, "doc_string"):
                part.doc_string = ""


def _metadata(description: Description) -> dict[str, str]:
    thresholds = description.calibration.thresholds if description.calibration else {}
    content = {
        "class_names": description.class_names,
        "audio": description.audio.model_dump() | {"spec_width": description.audio.spec_width},
        "thresholds": thresholds,
        "description": description.model_dump(),
    }
    return {"format": FORMAT} | {key: json.dumps(value, ensure_ascii=False) for key, value in content.items()}


def _meanings(description: Description) -> dict[str, str]:
    """What the graph's input and outputs are, by name, in their order."""
    audio = description.audio
    if audio.decibels:
        levels = f"in decibels, 1 at the loudest point of the window, 0 at {audio.top_db:g} dB below it"
        levels += f", to the power of {audio.db_power:g}" if audio.db_power != 1 else ""
    else:
        levels = "as amplitudes, 1 at the loudest point of the window"
    kind = "independent of each other" if description.multi_label else "that sum to 1"
    if _scaling(description) != UNSCALED:
        kind = "Platt-scaled"
    bands = f"{audio.spec_height} {audio.freq_scale} bands"
    meanings = {
        INPUT: f"windows of {audio.spec_duration:g} s at {audio.sampling_rate} Hz: {bands}, low frequency first, "
        f"by {audio.spec_width} frames; levels {levels}",
        SCORES: f"score in 0..1 of each class of class_names, {kind}",
    }
    if description.head == "sed":
        meanings[FRAME_SCORES] = f"such scores of each frame, {description.sed_fps:g} frames a second"
    meanings[EMBEDDINGS] = "what makes windows comparable: like sounds lie in like directions"
    return meanings


def _random_spectrograms(audio: Audio) -> list[np.ndarray]:
    """Spectrograms of each density, from almost empty to full, in batches of several sizes."""
    rng = np.random.default_rng(1)
    shapes = [(n, audio.spec_height, audio.spec_width) for n in BATCHES]
    return [(rng.random(shape) ** rng.uniform(0.2, 8, (shape[0], 1, 1))).astype(np.float32) for shape in shapes]


@torch.inference_mode()
def _difference(scorer: Scorer, written: OnnxRecognizer, spectrograms: np.ndarray) -> float:
    largest = 0.0
    expected = scorer(torch.from_numpy(spectrograms))
    for (name, values), wanted in zip(written.run(spectrograms).items(), expected, strict=True):
        difference = float(np.abs(values - wanted.numpy()).max())
        if name == EMBEDDINGS:  # which may be of any size
            difference /= max(1.0, float(wanted.abs().max()))
        largest = max(largest, difference)
    return largest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter tells of its steps from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
