"""Recognizers as ONNX files, which run without torch and without this project: on field devices, in R, in JavaScript.

The graph takes what the model takes, spectrograms or waveforms, and returns the scores of the infer stage, including a
stored Platt scaling; metadata say in JSON what the classes are called and how windows are made. A file is only kept if
ONNX Runtime, running it, returns torch's scores.
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
from lib.core.errors import AudioError, EarshotError
from lib.core.files import atomic
from lib.models.checkpoints import load_checkpoint
from lib.models.description import Description, read_description
from lib.models.onnx_backbone import OnnxBackbone
from lib.models.platt_scaling import AS_IT_IS, END
from lib.models.port_meanings import EMBEDDINGS, port_meanings
from lib.models.recognizer import Recognizer

FORMAT = "earshot-onnx-1"
TOLERANCE = 1e-4
"""Largest difference between a score of the file and torch's."""
LIMIT = math.log(1 - END) - math.log(END)
"""Logit of the highest score that is scaled, see lib.models.platt_scaling."""
BATCHES = (1, 2, 7, 32)
"""Numbers of random windows to verify with: the first axis must take any."""


class Port(NamedTuple):
    """An input or output (`direction`) of a graph, float32; axes of the shape that take any length are names."""

    direction: str
    name: str
    shape: tuple[int | str, ...]
    meaning: str


class Exported(NamedTuple):
    """A file that was written, and the largest difference between its scores and torch's on so many windows."""

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

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        """Scores (n, n_classes) of windows, scores of frames (n, n_frames, n_classes) if the
        head scores them, and embeddings (n, dim)."""
        return self.of_features(self.model.features(windows))

    def of_features(self, features: Tensor) -> tuple[Tensor, ...]:
        """The same of the backbone's feature maps (n, num_features, bands, frames)."""
        logits, frame_logits = self.model(features, frames=True, are_features=True)
        frames = () if frame_logits is None else (self._scores(frame_logits).transpose(1, 2),)
        return self._scores(logits), *frames, self.model.embedding_of(features)

    def _scores(self, logits: Tensor) -> Tensor:
        if self.scaling == AS_IT_IS:
            return torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=1)
        if not self.multi_label:
            logits = torch.logit(torch.softmax(logits, dim=1), eps=END)
        coefficient, intercept = self.scaling
        return torch.sigmoid(coefficient * logits.clamp(-LIMIT, LIMIT) + intercept)


class HeadScorer(nn.Module):
    """The part of a scorer that follows the backbone."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        return self.scorer.of_features(features)


def export_onnx(
    checkpoint: str | Path,
    output: str | Path,
    real: np.ndarray | None = None,
    metadata: dict[str, str] | None = None,
) -> Exported:
    """Write a checkpoint as an ONNX file, verified with random windows and with those given.

    Args:
        checkpoint: the model.
        output: the file.
        real: what the model takes, float32: spectrograms (n, height, width) in 0..1 or waveforms (n, samples).
        metadata: more texts for the file, by name.

    Raises EarshotError, and leaves no file, if the model cannot be exported or if a score of the file differs from
    torch's by more than TOLERANCE.
    """
    import onnxruntime

    model, description = load_checkpoint(checkpoint)
    if isinstance(model.backbone, OnnxBackbone) and (n := model.backbone.n_windows):
        fault = f"its backbone {description.backbone_name!r} takes {n} windows at a time and no other number"
        raise EarshotError(checkpoint, fault, "train with an ONNX file whose first axis may have any length")
    scorer = Scorer(model, description).eval()
    shape = tuple(model.frontend.example.shape[1:])
    batches = _random_windows(shape)
    if real is not None and len(real):
        batches.append(_fitting(real, shape))
    n_real = 0 if real is None else len(real)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as well
    with atomic(output) as part:
        try:
            graph = _graph(scorer, description, metadata or {})
            part.write_bytes(graph)
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            difference = float(np.max([_difference(scorer, session, batch) for batch in batches]))
        except OSError:
            raise
        except Exception as error:  # of many kinds; the innermost names the cause
            while (inner := error.__cause__ or error.__context__) is not None:
                error = inner  # type: ignore[assignment]
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            with_frontend = "" if description.frontend == "mel" else f" with frontend {description.frontend}"
            fault = f"its backbone {description.backbone_name!r}{with_frontend} cannot be exported ({reason})"
            raise EarshotError(checkpoint, fault, "train with another") from None
        if not difference <= TOLERANCE:
            fault = f"outputs of the exported model differ from torch's by up to {difference:.2g}"
            raise EarshotError(checkpoint, f"{fault}, more than {TOLERANCE:g}", "train with another backbone")
    meanings = port_meanings(description, shape)
    ports = [
        Port(direction, port.name, tuple(port.shape), meanings[port.name])
        for direction, ports in (("input", session.get_inputs()), ("output", session.get_outputs()))
        for port in ports
    ]
    return Exported(Path(output), ports, difference, sum(BATCHES), n_real)


def comparison_windows(files: list[Path], checkpoint: Path, must_be_readable: bool) -> np.ndarray | None:
    """Windows of a recording to verify an exported checkpoint with: what it takes, float32.

    The first of the files is taken; unless must_be_readable, the first that can be read, and None if there is none.
    Raises AudioError if it must be readable and is not.
    """
    description = read_description(checkpoint)
    audio = description.audio
    for file in files:
        try:
            return next(recording_windows(file, audio, audio.spec_duration / 2, 32, takes=description.takes)).inputs
        except AudioError:
            if must_be_readable:
                raise
    return None


def _graph(scorer: Scorer, description: Description, metadata: dict[str, str]) -> bytes:
    example = torch.cat([scorer.model.frontend.example] * 2)  # with one, the graph would take no other number
    meanings = port_meanings(description, tuple(example.shape[1:]))
    outputs = [name for name in meanings if name != description.takes]
    backbone = scorer.model.backbone
    if isinstance(backbone, OnnxBackbone):
        from lib.models.onnx_merge import FEATURES, backbone_opset, merge_backbone

        content, card = backbone.model.content, backbone.origin.card
        features = scorer.model.features(example)
        head = _exported(HeadScorer(scorer), features, FEATURES, outputs, backbone_opset(content))
        proto = merge_backbone(content, card, head, description.takes, tuple(example.shape[1:]))
    else:
        proto = _exported(scorer, example, description.takes, outputs)
    _strip(proto)
    proto.producer_name, proto.producer_version = "earshot", ""
    for key, value in (_metadata(description) | meanings | metadata).items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString(deterministic=True)


def _exported(module: nn.Module, example: Tensor, name: str, outputs: list[str], opset: int | None = None) -> Any:
    """A module as torch exports it, for any number of inputs like the example."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=[name],
            output_names=outputs,
            opset_version=opset,
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        )
    assert program is not None
    return program.model_proto


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


def _random_windows(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Windows in batches of several sizes: spectrograms of each density, from almost empty to full, or noise of any
    loudness."""
    rng, batches = np.random.default_rng(1), list[np.ndarray]()
    for n in BATCHES:
        if len(shape) == 2:
            batches.append(rng.random((n, *shape)) ** rng.uniform(0.2, 8, (n, 1, 1)))
        else:
            batches.append(rng.standard_normal((n, *shape)) * 10 ** rng.uniform(-4, -0.5, (n, 1)))
    return [batch.astype(np.float32) for batch in batches]


def _fitting(windows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Windows of that shape: without the margins of waveforms, if the graph takes none."""
    margin = (windows.shape[-1] - shape[-1]) // 2
    return np.ascontiguousarray(windows[..., margin : margin + shape[-1]], np.float32)


@torch.inference_mode()
def _difference(scorer: Scorer, session: Any, windows: np.ndarray) -> float:
    """The largest difference of any output; that of embeddings, which have any scale, relative to the largest value."""
    differences = []
    outputs = [port.name for port in session.get_outputs()]
    expected = scorer(torch.from_numpy(windows))
    inputs = {session.get_inputs()[0].name: windows}
    for name, values, wanted in zip(outputs, session.run(outputs, inputs), expected, strict=True):
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
