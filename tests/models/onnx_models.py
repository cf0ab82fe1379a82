"""Small ONNX models with their cards, as others publish them."""

from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from lib.config.schema import AudioSettings

SPECTROGRAM_CARD = {"input": {"name": "images", "kind": "spectrogram"}, "output": {"name": "embedding"}}


def write_onnx(path: Path, nodes, inputs, outputs, tensors=(), opset: int = 18) -> Path:
    """An ONNX file. inputs and outputs: name -> shape; tensors: name -> array."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def ports(shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    initializers = [numpy_helper.from_array(array, name) for name, array in dict(tensors).items()]
    graph = helper.make_graph(nodes, "graph", ports(inputs), ports(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def write_card(path: Path, **changes) -> Path:
    """The card beside an ONNX file; changes: `input` and `output`."""
    card = {part: SPECTROGRAM_CARD[part] | changes.get(part, {}) for part in SPECTROGRAM_CARD}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(card))
    return path


def spectrogram_model(
    path: Path, audio: AudioSettings, dim: int = 24, layout: str = "nft", seed: int = 1, opset=18
) -> Path:
    """A frozen model that embeds spectrograms by a projection of the mean and spread of their bands.

    Its outputs are `other` (n, 3), which comes first, and `embedding` (n, dim).
    """
    rng = np.random.default_rng(seed)
    sizes = {"n": "batch", "c": 1, "f": audio.spec_height, "t": audio.spec_width}
    axis, axes = ({}, ["time"]) if opset >= 18 else ({"axes": [layout.index("t")]}, [])
    weights = rng.normal(size=(2 * audio.spec_height, dim)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images", *axes], ["mean"], keepdims=0, **axis),
        helper.make_node("ReduceMax", ["images", *axes], ["most"], keepdims=0, **axis),
        helper.make_node("Concat", ["mean", "most"], ["both"], axis=-1),
        helper.make_node("Reshape", ["both", "rows"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["projected"]),
        helper.make_node("Tanh", ["projected"], ["embedding"]),
        helper.make_node("MatMul", ["flat", "others"], ["other"]),
    ]
    tensors = {
        "time": np.array([layout.index("t")], np.int64),
        "rows": np.array([-1, 2 * audio.spec_height], np.int64),
        "weights": weights,
        "others": weights[:, :3].copy(),
    }
    inputs = {"images": [sizes[axis] for axis in layout]}
    write_onnx(path, nodes, inputs, {"other": ["batch", 3], "embedding": ["batch", dim]}, tensors, opset)
    given = {"sampling_rate": audio.sampling_rate, "seconds": audio.spec_duration, "layout": layout}
    return write_card(path, input=given)


def waveform_model(path: Path, samples: int, rate: int, dim: int = 16, layout: str = "ns", batch="batch") -> Path:
    """A frozen model that embeds waveforms by the levels that a bank of random filters gives.

    Its outputs are `embedding` (n, dim) and `frames` (n, frames, dim).
    """
    rng = np.random.default_rng(2)
    shape = [batch, samples] if layout == "ns" else [batch, 1, samples]
    first = [helper.make_node("Unsqueeze", ["images", "one"], ["sound"])] if layout == "ns" else []
    nodes = [
        *first,
        helper.make_node("Conv", ["sound" if first else "images", "filters"], ["filtered"], strides=[64]),
        helper.make_node("Relu", ["filtered"], ["levels"]),
        helper.make_node("Transpose", ["levels"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["frames", "one"], ["embedding"], keepdims=0),
    ]
    tensors = {"one": np.array([1], np.int64), "filters": rng.normal(size=(dim, 1, 128)).astype(np.float32)}
    outputs = {"embedding": [batch, dim], "frames": [batch, (samples - 128) // 64 + 1, dim]}
    write_onnx(path, nodes, {"images": shape}, outputs, tensors)
    given = {"kind": "waveform", "sampling_rate": rate, "seconds": samples / rate, "layout": layout}
    return write_card(path, input=given)
