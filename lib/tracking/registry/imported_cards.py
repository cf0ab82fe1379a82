"""What weights that are imported say about themselves: the card of the project's checkpoints and of its ONNX files."""

from pathlib import Path

from lib.config.schema import InferSettings, Settings
from lib.core.errors import EarshotError
from lib.models.model_files import model_files
from lib.models.onnx_files import onnx_metadata
from lib.tracking.pyfunc_model import write_pyfunc
from lib.tracking.registry.model_card import METADATA_KEY, ModelCard, make_card, write_card
from lib.tracking.registry.model_weights import WEIGHTS, sha256_of_files

LONGEST_CARD = 2**20
"""Characters of a card in an ONNX file, which others may have written."""


def add_card(folder: Path, name: str) -> ModelCard | None:
    """Write the card of a model into its folder, and for checkpoints of this project all that MLflow needs to load it.

    The labels that MLflow gives are made with the default settings of infer, windows overlapping by half at most.

    Args:
        folder: of the model, with its weights in WEIGHTS.
        name: of the model.

    Returns the card; None, and writes nothing, if the weights are of another kind.
    """
    weights = folder / WEIGHTS
    card = _checkpoint_card(folder, name) if any(weights.glob("*.pt")) else _onnx_card(weights, name)
    if card:
        write_card(folder, card)
    return card


def _checkpoint_card(folder: Path, name: str) -> ModelCard | None:
    from lib.models.checkpoints import load_checkpoint  # with torch, which takes seconds

    weights = folder / WEIGHTS
    try:
        descriptions = [load_checkpoint(file)[1] for file in model_files(weights)]
    except EarshotError:  # tensors of others
        return None
    first = descriptions[0]
    if any(each.misfit(first) for each in descriptions):
        return None
    infer = InferSettings(overlap=min(InferSettings().overlap, first.audio.spec_duration / 2))
    write_pyfunc(folder, WEIGHTS, Settings(infer=infer), excluded=())
    return make_card(name, descriptions, infer, figures={}, weights=sha256_of_files(weights))


def _onnx_card(weights: Path, name: str) -> ModelCard | None:
    """The card that an export of this project holds. It tells of the weights that it was made from, too."""
    files = list(weights.glob("*.onnx"))
    text = onnx_metadata(str(files[0])).get(METADATA_KEY, "") if len(files) == 1 else ""
    if not 0 < len(text) <= LONGEST_CARD:
        return None
    try:
        card = ModelCard.model_validate_json(text)
    except ValueError:
        return None
    return card.model_copy(update={"name": name, "weights": card.weights | sha256_of_files(weights)})
