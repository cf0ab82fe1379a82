"""Models on disk: one file of tensors and plain data, so that loading it cannot run code."""

import pickle
import threading
from pathlib import Path

import torch
from pydantic import ValidationError

from lib.core.errors import EarshotError
from lib.models.description import Calibration, Description, description_file, read_description, write_description
from lib.models.recognizer import Recognizer, build
from lib.models.tensor_files import write_tensors

FORMAT = "earshot-1"
_DRAWING = threading.Lock()
"""Threads that restore torch's generator one after the other leave it as it was."""


def save_checkpoint(path: str | Path, model: Recognizer, description: Description) -> None:
    """Write a model with its description, and the description once more beside it, as JSON."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_tensors(path, {"format": FORMAT, "description": description.model_dump(), "state": state})
    write_description(path, description)


def load_checkpoint(path: str | Path) -> tuple[Recognizer, Description]:
    """Read a model, on the CPU and in evaluation mode. Raises EarshotError if the file is missing or no checkpoint."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise EarshotError(path, "no such model", "run the train stage first") from None
    except IsADirectoryError:
        raise EarshotError(path, "is a folder", "give one of the checkpoints in it") from None
    except pickle.UnpicklingError:
        raise EarshotError(path, "is no checkpoint of tensors and plain data", "retrain the model") from None
    except Exception as error:  # torch's reader raises exceptions of any kind on other files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(path, f"is no model that can be loaded ({reason})", "retrain it") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EarshotError(path, f"is no checkpoint of format {FORMAT}", "retrain the model")
    try:
        description = Description.model_validate(content["description"])
        with _DRAWING, torch.random.fork_rng(devices=[]):  # weights are drawn, and replaced
            model = build(description)
        model.load_state_dict({_renamed(name): tensor for name, tensor in content["state"].items()})
    except (TypeError, KeyError, AttributeError, RuntimeError, ValidationError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])[:200]  # what is wrong, and where
        raise EarshotError(path, f"its tensors are not those of its model ({reason})", "retrain it") from None
    if description != read_description(path):
        raise EarshotError(path, f"its description is not that of {description_file(path)}", "keep the two together")
    return model.eval(), description


def set_calibration(path: str | Path, calibration: Calibration | None) -> None:
    """Store a calibration with a model, in place of the one it has. Raises EarshotError as load_checkpoint does."""
    model, description = load_checkpoint(path)
    save_checkpoint(path, model, description.model_copy(update={"calibration": calibration}))


def _renamed(name: str) -> str:
    """The name of a tensor, also for checkpoints that are older than heads."""
    return f"head.{name}" if name.startswith("classifier.") else name
