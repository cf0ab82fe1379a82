"""The project's public classes, imported when they are first used: `from lib import Predictor`."""

import importlib

_PLACES = {
    "OccurrenceDataProvider": "lib.occurrence.provider",
    "OccurrenceDatabase": "lib.occurrence.database",
    "OccurrencePickleProvider": "lib.occurrence.pickle_provider",
    "OccurrencePickler": "lib.occurrence.pickler",
    "Predictor": "lib.inference.predictor",
}

__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
