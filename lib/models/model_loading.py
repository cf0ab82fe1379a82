"""Models by their settings or from their files, as functions for use outside of the pipeline."""

from collections.abc import Sequence
from pathlib import Path

from lib.config.load import get_config
from lib.config.schema import Settings
from lib.core.devices import choose_device
from lib.core.errors import EarshotError
from lib.models.checkpoints import load_checkpoint
from lib.models.description import Description
from lib.models.onnx_files import read_onnx
from lib.models.recognizer import Recognizer, build


def load_from_checkpoint(checkpoint_path: str | Path, multi_label: bool | None = None) -> Recognizer:
    """The model of a checkpoint, in evaluation mode, on the best device available.

    multi_label: whether its scores are sigmoids, else a softmax over the classes; None: as it was trained. Raises
    EarshotError if the file is missing or no such checkpoint.
    """
    model, description = load_checkpoint(checkpoint_path)
    if multi_label is not None:
        model.description = description.model_copy(update={"multi_label": multi_label})
    return model.to(choose_device("auto"))


def load_new_model(
    train_class_names: Sequence[str],
    train_class_codes: Sequence[str],
    train_class_alt_names: Sequence[str],
    train_class_alt_codes: Sequence[str],
    num_train_specs: int,
    cfg: Settings | None = None,
) -> Recognizer:
    """A new model of these classes, in training mode, on the best device available.

    Args:
        train_class_names, train_class_codes, train_class_alt_names, train_class_alt_codes: one entry per class; all but
            names may be "" or None.
        num_train_specs: windows that it will be trained with, which the model only stores.
        cfg: settings, of which `train` and `audio` are used; None: those of params.yaml.

    Raises EarshotError if the lists have different lengths or the backbone does not exist.
    """
    cfg = cfg or get_config()
    columns = (train_class_names, train_class_codes, train_class_alt_names, train_class_alt_codes)
    if not train_class_names or len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        fault = f"{lengths} names, codes, alt_names, alt_codes"
        raise EarshotError("classes", fault, "give as many of each, one or more")
    keys = ("name", "code", "alt_name", "alt_code")
    entries = zip(*columns, strict=True)
    classes = [{key: value or "" for key, value in zip(keys, entry, strict=True)} for entry in entries]
    description = Description.of(classes, cfg.audio.checked(), cfg.train, {"windows": num_train_specs})
    path = cfg.train.onnx_file
    onnx = None if path is None else read_onnx(path)
    return build(description, cfg.train.pretrained, onnx=onnx).train().to(choose_device("auto"))
