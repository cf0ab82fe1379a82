"""The project's public classes and functions, imported when they are first used: `from lib import Predictor`."""

import importlib

_PLACES = {
    "Analyzer": "lib.inference.analyzer",
    "Audio": "lib.audio.audio",
    "Extractor": "lib.database.extractor",
    "OccurrenceDataProvider": "lib.occurrence.provider",
    "OccurrenceDatabase": "lib.occurrence.database",
    "OccurrencePickleProvider": "lib.occurrence.pickle_provider",
    "OccurrencePickler": "lib.occurrence.pickler",
    "PerBlockTester": "lib.evaluation.per_block",
    "PerRecordingTester": "lib.evaluation.per_recording",
    "PerSegmentTester": "lib.evaluation.per_segment",
    "Predictor": "lib.inference.predictor",
    "Trainer": "lib.training.trainer",
    "TrainingDataProvider": "lib.database.provider",
    "TrainingDatabase": "lib.database.training_database",
    "Tuner": "lib.tracking.tuner",
    "get_config": "lib.config",
    "load_from_checkpoint": "lib.models.loader",
    "load_new_model": "lib.models.loader",
}

__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
