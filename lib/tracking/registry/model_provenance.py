"""Where a model is from. The project vouches for the models that it trained: for its own licence, data, code and test.

The card of a model of others says none of this, and what it was tested on here only where it was tested here.
"""

from pathlib import Path

from lib.config.schema import Settings
from lib.core.downloads import sha256_of
from lib.core.errors import EarshotError
from lib.evaluation.figures import read_figures
from lib.models.description import read_description
from lib.results.results_store import ResultsStore
from lib.tracking.data_versions import VERSIONED, data_set_versions, is_dirty, read_commit, read_data_versions
from lib.tracking.registry.model_card import CardInputs, ModelCard, Provenance, make_card, read_card_inputs

TRAINED, LABELS, REPORT = Path("data/models"), Path("data/labels"), Path("metrics/report")
"""Where the pipeline puts the models that it trains, what they found, and how well they did."""


def is_trained_here(models: str | Path) -> bool:
    """Whether the pipeline trains this model, a checkpoint or a folder of them."""
    return Path(models).resolve().is_relative_to(TRAINED.resolve())


def own_provenance(
    settings: Settings, details: CardInputs, versions: dict[str, str], experiment: str = ""
) -> Provenance:
    """That of a model which was trained here; versions: of data, as read_data_versions gives them."""
    data = dict(data_set_versions(settings, versions).values())
    return Provenance(details, experiment, data, read_commit() or "", is_dirty(VERSIONED))


def card_for_export(checkpoint: Path, settings: Settings) -> ModelCard:
    """The card of a checkpoint by itself. Raises EarshotError if the checkpoint has no description."""
    origin = Provenance()
    if is_trained_here(checkpoint):
        origin = own_provenance(settings, read_card_inputs(), read_data_versions())
    weights = {checkpoint.name: sha256_of(checkpoint)}
    description, figures = read_description(checkpoint), _test_figures(checkpoint)
    return make_card(checkpoint.stem, [description], settings.infer, figures, weights, origin)


def _test_figures(checkpoint: Path) -> dict[str, float]:
    """The figures of the pipeline's test if it was that of this checkpoint alone, else none."""
    try:
        with ResultsStore(LABELS) as store:
            return read_figures(REPORT) if store.manifest.is_of(checkpoint) else {}
    except (EarshotError, OSError, ValueError):
        return {}
