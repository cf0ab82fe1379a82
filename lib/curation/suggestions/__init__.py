"""Rankings of sounds that are worth a decision, one module each, which registers itself.

To add a ranking, add a module here that registers a Ranking under its name; the suggest stage, its help and its errors
follow. A ranking reads what is there (a training database, a store of embeddings, results of infer) piece by piece,
and decides nothing: people do, see stages.decide.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from lib.config.schema import Settings
from lib.core.part_registry import Registry
from lib.curation.suggestion import DecidedSounds, Suggestion
from lib.sound.classes import ClassList, resolved_class

if TYPE_CHECKING:
    import pandas as pd

    from lib.results.results_store import ResultsStore


class SuggestionSources(NamedTuple):
    """Where rankings look, and for how much.

    Args:
        settings: of the project.
        n: how many suggestions, at most.
        class_name: only about this class (any of its names or codes); None: all.
        database: training database. spec_group: group of its spectrograms.
        store: embeddings of recordings; None: those of the training database.
        labels: folder that infer wrote.
        folds: folder of the models of a cross-validation; None: none.
        least_similarity: of duplicates, the cosine from which on windows count as the same.
        seed: of all that is drawn.
        decisions: the decisions table, whose sounds are left out; None: none are.
    """

    settings: Settings
    n: int = 20
    class_name: str | None = None
    database: str = "data/training.db"
    spec_group: str = "default"
    store: str | None = None
    labels: str = "data/labels"
    folds: str | None = None
    least_similarity: float = 0.999
    seed: int = 1
    decisions: "pd.DataFrame | None" = None

    def decided(self, classes: ClassList | None = None) -> DecidedSounds:
        """What is left out. classes: of the suggestions; None: they name no class."""
        return DecidedSounds(self.decisions, classes)


class Ranking(NamedTuple):
    """A way to rank sounds.

    Args:
        meaning: what comes first, in words.
        rank: the suggestions, best first, at most n (verification: n of each class).
    """

    meaning: str
    rank: Callable[[SuggestionSources], list[Suggestion]]


RANKINGS: Registry[Ranking] = Registry("ranking", __name__)


def chosen_columns(results: "ResultsStore", sources: SuggestionSources) -> list[int]:
    """Columns of the classes that suggestions may be about. Raises SettingsError if the model has no such class."""
    classes = results.manifest.class_list
    if sources.class_name is None:
        return list(range(len(classes)))
    return [classes.names.index(resolved_class(classes, sources.class_name, f"the model of {sources.labels}"))]
