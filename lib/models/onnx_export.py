"""Recognizers as ONNX files, which run without torch and without this project: on field devices, in R, in JavaScript.

The graph takes spectrograms and returns the scores of the infer stage, including a stored Platt scaling; metadata
say in JSON what the classes are called and how spectrograms are made. A file is only kept if ONNX Runtime, running it,
returns torch's scores.
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

from lib.audio.spectrograms import recording_windows
from lib.config.schema import AudioSettings
from lib.core.errors import AudioError, EarshotError
from lib.core.files import atomic
from lib.models.checkpoints import load_checkpoint
from lib.models.description import Description, read_description
from lib.models.platt_scaling import AS_IT_IS, END
from lib.models.recognizer import Recognizer

FORMAT = "earshot-onnx-1"
TOLERANCE = 1e-4
"""Largest difference between a score of the file and torch's."""
INPUT, SCORES, FRAME_SCORES, EMBEDDINGS = "spectrograms", "scores", "frame_scores", "embeddings"
LIMIT = math.log(1 - END) - math.log(END)
"""Logit of the highest score that is scaled, see lib.models.platt_scaling."""
BATCHES = (1, 2, 7, 32)
"""Numbers of random spectrograms to verify with: the first axis must take any."""


class Port(NamedTuple):
    """An input or output (`direction`) of a graph, float32; axes of the shape that take any length are names."""

    direction: str
    name: str
    shape: tuple[int | str, ...]
    meaning: str


class Exported(NamedTuple):
    """A file that was written, and the largest difference between its scores and torch's on so many spectrograms."""

    path: Path
    ports: list[Port]
    difference: float
    n_random: int
    n_real: int


class Scorer(nn.Module):
    """A recognizer that returns scores instead of logits."""

    def __init__(self, model: Recognizer, description: Description) -> None:
        super().__init__()
        self.model, self.multi_label = model, description.multi_label
        self.scaling = description.stored_calibration.scaling

    def forward(self, spectrograms: Tensor) -> tuple[Tensor, ...]:
        """Scores (n, n_classes) of spectrograms (n, height, width), scores of frames (n, n_frames, n_classes) if the
        head scores them, and embeddings (n, dim)."""
        logits, frame_logits = self.model.forward_frames(spectrograms)
        frames = () if frame_logits is None else (self._scores(frame_logits).transpose(1, 2),)
        embeddings = self.model.embed(spectrograms)  # the exporter merges what is computed twice
        return self._scores(logits), *frames, embeddings

    def _scores(self, logits: Tensor) -> Tensor:
        if self.scaling == AS_IT_IS:
            return torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=1)
        if not self.multi_label:
            logits = torch.logit(torch.softmax(logits, dim=1), eps=END)
        coefficient, intercept = self.scaling
        return torch.sigmoid(coefficient * logits.clamp(-LIMIT, LIMIT) + intercept)


def export_onnx(checkpoint: str | Path, output: str | Path, real: np.ndarray | None = None) -> Exported:
    """Write a checkpoint as an ONNX file, verified with random spectrograms and with those given.

    real: float32 (n, height, width) in 0..1. Raises EarshotError, and leaves no file, if the model cannot be exported
    or if a score of the file differs from torch's by more than TOLERANCE.
    """
    import onnxruntime

    model, description = load_checkpoint(checkpoint)
    scorer = Scorer(model, description).eval()
    batches = _random_spectrograms(description.audio)
    n_real = 0 if real is None else len(real)
    if n_real:
        batches.append(np.ascontiguousarray(real, np.float32))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as well
    with atomic(output) as part:
        try:
            part.write_bytes(_graph(scorer, description))
            session = onnxruntime.InferenceSession(str(part), options, providers=["CPUExecutionProvider"])
            difference = float(np.max([_difference(scorer, session, batch) for batch in batches]))
        except OSError:
            raise
        except Exception as error:  # of many kinds; the innermost names the cause
            while (inner := error.__cause__ or error.__context__) is not None:
                error = inner  # type: ignore[assignment]
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            fault = f"its backbone {description.backbone!r} cannot be exported ({reason})"
            raise EarshotError(checkpoint, fault, "train with another") from None
        if not difference <= TOLERANCE:
            fault = f"outputs of the exported model differ from torch's by up to {difference:.2g}"
            raise EarshotError(checkpoint, f"{fault}, more than {TOLERANCE:g}", "train with another backbone")
    meanings = _meanings(description)
    ports = [
        Port(direction, port.name, tuple(port.shape), meanings[port.name])
        for direction, ports in (("input", session.get_inputs()), ("output", session.get_outputs()))
        for port in ports
    ]
    return Exported(Path(output), ports, difference, sum(BATCHES), n_real)


def comparison_spectrograms(files: list[Path], checkpoint: Path, must_be_readable: bool) -> np.ndarray | None:
    """Spectrograms of a recording to verify an exported checkpoint with, float32 (n, height, width).

    The first of the files is taken; unless must_be_readable, the first that can be read, and None if there is none.
    Raises AudioError if it must be readable and is not.
    """
    audio = read_description(checkpoint).audio
    for file in files:
        try:
            return next(recording_windows(file, audio, audio.spec_duration / 2, 32)).spectrograms
        except AudioError:
            if must_be_readable:
                raise
    return None


def _graph(scorer: Scorer, description: Description) -> bytes:
    audio = description.audio
    example = torch.zeros(2, audio.spec_height, audio.spec_width)  # with one, the graph would take no other number
    meanings = _meanings(description)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            scorer,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[name for name in meanings if name != INPUT],
            dynamic_shapes={INPUT: {0: torch.export.Dim("n", min=1)}},
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    proto.producer_name, proto.producer_version = "earshot", ""
    for key, value in (_metadata(description) | meanings).items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString(deterministic=True)


def _strip(proto: Any) -> None:
    """Remove the exporter's notes on the code that the graph came from, which contain paths of this machine."""
    del proto.metadata_props[:]
    for graph in (proto.graph, *proto.functions):
        del graph.metadata_props[:]
        for part in (*graph.node, *getattr(graph, "input", []), *graph.value_info, *getattr(graph, "initializer", [])):
            if hasattr(part, "metadata_props"):
                del part.metadata_props[:]
            if hasattr(part, "doc_string"):
                part.doc_string = ""


def _metadata(description: Description) -> dict[str, str]:
    content = {
        "class_names": description.class_names,
        "audio": description.audio.model_dump() | {"spec_width": description.audio.spec_width},
        "thresholds": description.stored_calibration.thresholds,
        "description": description.model_dump(),
    }
    return {"format": FORMAT} | {key: json.dumps(value, ensure_ascii=False) for key, value in content.items()}


def _meanings(description: Description) -> dict[str, str]:
    """What the graph's input and outputs are, by name, in their order."""
    audio = description.audio
    levels = "as amplitudes, 1 at the loudest point of the window"
    if audio.decibels:
        levels = f"in decibels, 1 at the loudest point of the window, 0 at {audio.top_db:g} dB below it"
        levels += f", to the power of {audio.db_power:g}" if audio.db_power != 1 else ""
    kind = "independent of each other" if description.multi_label else "that sum to 1"
    if description.stored_calibration.scaling != AS_IT_IS:
        kind = "Platt-scaled"
    bands = f"{audio.spec_height} {audio.freq_scale} bands"
    meanings = {
        INPUT: f"windows of {audio.spec_duration:g} s at {audio.sampling_rate} Hz: {bands}, low frequency first, "
        f"by {audio.spec_width} frames; levels {levels}",
        SCORES: f"score in 0..1 of each class of class_names, {kind}",
    }
    if description.head == "sed":
        meanings[FRAME_SCORES] = f"such scores of each frame, {description.sed_fps:g} frames a second"
    meanings[EMBEDDINGS] = "vectors to compare windows by: similar sounds have similar directions"
    return meanings


def _random_spectrograms(audio: AudioSettings) -> list[np.ndarray]:
    """Spectrograms of each density, from almost empty to full, in batches of several sizes."""
    rng = np.random.default_rng(1)
    shapes = [(n, audio.spec_height, audio.spec_width) for n in BATCHES]
    return [(rng.random(shape) ** rng.uniform(0.2, 8, (shape[0], 1, 1))).astype(np.float32) for shape in shapes]


@torch.inference_mode()
def _difference(scorer: Scorer, session: Any, spectrograms: np.ndarray) -> float:
    """The largest difference of any output; that of embeddings, which have any scale, relative to the largest value."""
    differences = []
    outputs = [port.name for port in session.get_outputs()]
    expected = scorer(torch.from_numpy(spectrograms))
    for name, values, wanted in zip(outputs, session.run(outputs, {INPUT: spectrograms}), expected, strict=True):
        scale = max(1.0, float(wanted.abs().max())) if name == EMBEDDINGS else 1.0
        differences.append(float(np.abs(values - wanted.numpy()).max()) / scale)
    return float(np.max(differences))  # NaN if any is


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter prints off the terminal."""
    logging_level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    output = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging_level)
