"""One ONNX graph of two: a frozen backbone, and what a recognizer makes of its feature maps."""

from typing import Any

import onnx
from onnx import TensorProto, compose, helper
from onnx.utils import Extractor
from onnx.version_converter import convert_version

from lib.models.onnx_card import INPUT_AXES, OUTPUT_AXES, OnnxCard

PREFIX = "backbone/"
"""Before the names of all that is in the backbone's graph."""
FEATURES = "features"
"""The input of the second graph."""
OLDEST_OPSET = 18
"""Of the graphs that torch exports."""


def backbone_opset(content: bytes) -> int:
    """The version of ONNX's operators that a backbone's graph, or a later one, can be merged in."""
    return max(OLDEST_OPSET, _opset(onnx.load_from_string(content)))


def merge_backbone(content: bytes, card: OnnxCard, head: Any, input_name: str, size: tuple[int, ...]) -> Any:
    """The model that computes what the head makes of the backbone's feature maps.

    Args:
        content: the serialized backbone.
        card: what it takes and gives.
        head: the model with the input FEATURES, (n, d, f, t), of the opset that backbone_opset tells.
        input_name: what the input of the whole is called.
        size: of one window: (height, width) or (samples,).

    Raises what onnx raises if the graphs cannot be merged.
    """
    backbone = onnx.load_from_string(content)
    if _opset(backbone) != _opset(head):
        backbone = convert_version(backbone, _opset(head))
    backbone = Extractor(backbone).extract_model([card.input.name], [card.output.name])  # without its other outputs
    del backbone.metadata_props[:]
    backbone = compose.add_prefix(backbone, PREFIX)
    axes = INPUT_AXES[card.input.kind]
    before = _arranging(input_name, axes, card.input.axes, ["n", *size], head)
    after = _arranging("embedding", card.output.layout, OUTPUT_AXES, list(card.output.layout), head)
    for model in (backbone, head):
        model.ir_version = before.ir_version
    whole = compose.merge_models(before, backbone, [(f"arranged_{input_name}", PREFIX + card.input.name)])
    whole = compose.merge_models(whole, after, [(PREFIX + card.output.name, "embedding")])
    return compose.merge_models(whole, head, [("arranged_embedding", FEATURES)])


def _arranging(name: str, axes: str, wanted: str, shape: list[int | str], like: Any) -> Any:
    """A model that does as lib.models.onnx_backbone.arranged, from a tensor `name` to `arranged_{name}`."""
    order = [axes.index(axis) for axis in wanted if axis in axes]
    added = [i for i, axis in enumerate(wanted) if axis not in axes]
    result = f"arranged_{name}"
    nodes = [helper.make_node("Transpose", [name], [f"transposed_{name}"], perm=order)]
    tensors = []
    if added:
        tensors = [helper.make_tensor(f"added_{name}", TensorProto.INT64, [len(added)], added)]
        nodes.append(helper.make_node("Unsqueeze", [f"transposed_{name}", f"added_{name}"], [result]))
    else:
        nodes[0].output[0] = result
    given = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    lengths = dict(zip(axes, shape, strict=True))
    arranged = helper.make_tensor_value_info(result, TensorProto.FLOAT, [lengths.get(axis, 1) for axis in wanted])
    graph = helper.make_graph(nodes, f"arrange_{name}", [given], [arranged], tensors)
    opsets = [helper.make_opsetid("", _opset(like))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=max(like.ir_version, 10))


def _opset(model: Any) -> int:
    return next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
