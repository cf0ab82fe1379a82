"""The project's public classes and functions, imported when they are first used: `from lib import Predictor`."""

import importlib

_PLACES = {
    "Analyzer": "lib.inference.analyzer",
    "Audio": "lib.audio.loaded_recording",
    "Extractor": "lib.training_data.extractor",
    "InputModel": "lib.tracking.registry.input_model",
    "ModelRun": "lib.tracking.model_runs.model_run",
    "OccurrenceDataProvider": "lib.occurrence.occurrence_provider",
    "OccurrenceDatabase": "lib.occurrence.occurrence_database",
    "OccurrencePickleProvider": "lib.occurrence.occurrence_pickle_provider",
    "OccurrencePickler": "lib.occurrence.occurrence_pickler",
    "PerBlockTester": "lib.testers.per_block",
    "PerRecordingTester": "lib.testers.per_recording",
    "PerSegmentTester": "lib.testers.per_segment",
    "Prediction": "lib.results.predictions",
    "Predictor": "lib.inference.predictor",
    "Trainer": "lib.training.trainer",
    "TrainingDataProvider": "lib.training_data.training_data_provider",
    "TrainingDatabase": "lib.training_data.training_database",
    "Tuner": "lib.tuning.tuner",
    "UnknownItem": "lib.tracking.model_runs.model_run",
    "extract": "lib.training_data.extraction",
    "get_config": "lib.config.load",
    "load_from_checkpoint": "lib.models.model_loading",
    "load_new_model": "lib.models.model_loading",
}

__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
