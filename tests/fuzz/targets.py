"""What is fuzzed, by name."""

from tests.fuzz import audio_files
from tests.fuzz.fuzzing import Target

TARGETS: dict[str, Target] = {
    "audio": audio_files.TARGET,
}
