"""Models on disk: one file of tensors and plain data, so that loading it cannot run code."""

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from lib.core.errors import EarshotError
from lib.models.description import Calibration, Description, description_file, read_description, write_description
from lib.models.onnx_backbone import OnnxBackbone
from lib.models.recognizer import Recognizer, build
from lib.models.tensor_files import write_tensors

FORMAT = "earshot-1"
_DRAWING = threading.Lock()
"""Threads that load models take turns, so that each finds torch's generator as the caller left it."""


def save_checkpoint(path: str | Path, model: Recognizer, description: Description) -> None:
    """Write a model with its description, and the description once more beside it, as JSON."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    content = {"format": FORMAT, "description": description.model_dump(), "state": state}
    if isinstance(model.backbone, OnnxBackbone):  # with it, so that the model works wherever it is moved to
        content["onnx"] = torch.from_numpy(np.frombuffer(bytearray(model.backbone.model.content), np.uint8))
    write_tensors(path, content)
    write_description(path, description)


def load_checkpoint(path: str | Path) -> tuple[Recognizer, Description]:
    """Read a model, on the CPU and in evaluation mode.

    Raises EarshotError if the file is missing or no checkpoint, or if the description beside it is another one.
    """
    model, description = _read_checkpoint(path)
    beside = read_description(path)
    if description.model_copy(update={"calibration": None}) != beside.model_copy(update={"calibration": None}):
        raise EarshotError(path, f"its description is not that of {description_file(path)}", "keep the two together")
    if description.calibration != beside.calibration:
        fault = f"its calibration is not that of {description_file(path)}: storing it was interrupted"
        raise EarshotError(path, fault, "run the calibrate stage again with --model")
    return model, description


def _read_content(path: str | Path) -> Any:
    """What a file of tensors and plain data holds. Raises EarshotError if it is missing, or none."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise EarshotError(path, "no such model", "run the train stage first") from None
    except IsADirectoryError:
        raise EarshotError(path, "is a folder", "give one of the checkpoints in it") from None
    except pickle.UnpicklingError:
        raise EarshotError(path, "is not a checkpoint of tensors and plain data", "retrain the model") from None
    except Exception as error:  # torch's reader raises exceptions of any kind on other files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(path, f"is not a model that can be loaded ({reason})", "retrain it") from None


def ensure_description(path: str | Path) -> None:
    """Write the description beside a checkpoint if it is missing, as where the file alone was passed on.

    Other files of tensors get none. Raises EarshotError if the file is missing or not one of tensors and plain data.
    """
    if description_file(path).exists():
        return
    content = _read_content(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        try:
            write_description(path, Description.model_validate(content.get("description")))
        except ValidationError:
            raise EarshotError(path, "holds no description of its model", "retrain the model") from None


def _read_checkpoint(path: str | Path) -> tuple[Recognizer, Description]:
    content = _read_content(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EarshotError(path, f"is not a checkpoint of format {FORMAT}", "retrain the model")
    try:
        description = Description.model_validate(content["description"])
        with _DRAWING, torch.random.fork_rng(devices=[]):  # weights are drawn, and replaced
            model = build(description, onnx=_onnx_of(content))
        model.load_state_dict({_renamed(name): tensor for name, tensor in content["state"].items()})
    except (TypeError, KeyError, AttributeError, RuntimeError, ValidationError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])[:200]  # what is wrong, and where
        raise EarshotError(path, f"its tensors are not those of its model ({reason})", "retrain it") from None
    return model.eval(), description


def _onnx_of(content: dict[str, Any]) -> bytes | None:
    """The ONNX model that a checkpoint holds, None if it holds none."""
    return content["onnx"].numpy().tobytes() if "onnx" in content else None


def set_calibration(path: str | Path, calibration: Calibration | None) -> None:
    """Store a calibration with a model, in place of the one it has, also where storing one was interrupted.

    Raises EarshotError if the file is missing or no checkpoint.
    """
    model, description = _read_checkpoint(path)
    save_checkpoint(path, model, description.model_copy(update={"calibration": calibration}))


def _renamed(name: str) -> str:
    """The name of a tensor, also for checkpoints that are older than heads."""
    return f"head.{name}" if name.startswith("classifier.") else name
