"""The project's public classes and functions, imported when they are first used: `from lib import Predictor`."""

import importlib

_PLACES = {
    "Analyzer": "lib.inference.analyzer",
    "Audio": "lib.audio.loaded_recording",
    "ClassMapEntry": "lib.curation.client.label_class_map",
    "ClassMapUpdateEntry": "lib.curation.client.label_class_map",
    "Client": "lib.curation.client.client",
    "CollectionClient": "lib.curation.collection.collection_client",
    "CustomMetricsDefinition": "lib.curation.client.project_definitions",
    "Extractor": "lib.training_data.extractor",
    "Inferences": "lib.curation.frames.frame_streams",
    "InferencesFrame": "lib.curation.frames.inferences_frame",
    "InputModel": "lib.tracking.registry.input_model",
    "Issue": "lib.curation.issues.issue",
    "IssueElement": "lib.curation.issues.issue",
    "IssueManager": "lib.curation.issues.issue_manager",
    "LabelClassMap": "lib.curation.client.label_class_map",
    "LabeledDataset": "lib.curation.frames.frame_streams",
    "LabeledFrame": "lib.curation.frames.labeled_frame",
    "MetricsManager": "lib.curation.metrics.metrics_manager",
    "ModelRun": "lib.tracking.model_runs.model_run",
    "NoMeaningForSound": "lib.curation.frames.foreign_methods",
    "OccurrenceDataProvider": "lib.occurrence.occurrence_provider",
    "OccurrenceDatabase": "lib.occurrence.occurrence_database",
    "OccurrencePickleProvider": "lib.occurrence.occurrence_pickle_provider",
    "OccurrencePickler": "lib.occurrence.occurrence_pickler",
    "PerBlockTester": "lib.testers.per_block",
    "PerRecordingTester": "lib.testers.per_recording",
    "PerSegmentTester": "lib.testers.per_segment",
    "Prediction": "lib.results.predictions",
    "Predictor": "lib.inference.predictor",
    "PrimaryTaskTypes": "lib.curation.client.project_definitions",
    "StratifiedMetricsDefinition": "lib.curation.client.project_definitions",
    "Trainer": "lib.training.trainer",
    "TrainingDataProvider": "lib.training_data.training_data_provider",
    "TrainingDatabase": "lib.training_data.training_database",
    "Tuner": "lib.tuning.tuner",
    "UnknownItem": "lib.tracking.model_runs.model_run",
    "UnlabeledDataset": "lib.curation.frames.frame_streams",
    "UnlabeledFrame": "lib.curation.frames.labeled_frame",
    "UpdateGTLabelSet": "lib.curation.frames.ground_truth_update",
    "WorkQueue": "lib.curation.issues.work_queue",
    "WorkQueueElement": "lib.curation.issues.work_queue",
    "WorkQueueManager": "lib.curation.issues.work_queue_manager",
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
