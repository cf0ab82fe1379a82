"""What is fuzzed, by name."""

from tests.fuzz import annotation_files, audio_files, project_files
from tests.fuzz.fuzzing import Target

TARGETS: dict[str, Target] = {
    "audio": audio_files.TARGET,
    "annotations": annotation_files.TARGET,
    "settings": project_files.SETTINGS,
    "occurrences": project_files.OCCURRENCES,
    "checkpoint": project_files.CHECKPOINT,
    "training_database": project_files.TRAINING_DATABASE,
    "results": project_files.RESULTS,
    "embeddings": project_files.EMBEDDINGS,
}
