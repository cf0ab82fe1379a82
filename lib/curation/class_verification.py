"""Verification of the classes of a clip index: which clips to check, and what was decided says about their scores.

The clips are the verification sample of all detections, whatever was decided about them: so it stays as it is while
people decide, all of them see the same one, and a larger one contains a smaller one.
"""

import threading
from pathlib import Path
from typing import NamedTuple

from lib.config.schema import Settings
from lib.core.digests import state_of
from lib.curation.clip_index import ClipIndex
from lib.curation.suggestions import SuggestionSources
from lib.curation.suggestions.verification import draw_verification
from lib.curation.verified_precision import CheckedDetections, VerifiedPrecision, read_checked, verified_precision
from lib.sound.decisions import read_decisions
from lib.sound.labels import RESULTS_FILE

MOST_SAMPLES = 64
"""Samples that are kept."""


class VerifiedClass(NamedTuple):
    """The detections of a class, and their precision by score."""

    checked: CheckedDetections
    precision: VerifiedPrecision


class ClassVerification:
    """Samples and precision of classes, computed again only if results or decisions have changed.

    Several threads may use it.

    Args:
        settings: of the project.
        labels: folder that infer wrote.
        index: whose clips samples consist of.
    """

    def __init__(self, settings: Settings, labels: str, index: ClipIndex) -> None:
        self._settings, self._labels, self._index = settings, labels, index
        self._samples: dict[tuple[str, str, int], tuple[int, ...]] = {}
        self._checked: dict[str, tuple[str, CheckedDetections]] = {}
        self._verified: dict[str, tuple[str, float, VerifiedClass]] = {}
        self._drawing, self._computing = threading.Lock(), threading.Lock()

    def sample(self, class_name: str, n: int) -> tuple[int, ...]:
        """IDs of at most n clips of a class that are spread over its scores, the same ones as long as results are.

        Raises DataSetError if there are no results, SettingsError if the model has no such class.
        """
        key = self._results_state(), class_name, n
        with self._drawing:
            if key not in self._samples:
                sources = SuggestionSources(self._settings, n, class_name, labels=self._labels)
                drawn = draw_verification(sources)
                places = [(one.recording, one.start_time, one.end_time) for one in drawn]
                if len(self._samples) >= MOST_SAMPLES:
                    self._samples.clear()
                self._samples[key] = tuple(self._index.found_at(drawn[0].class_name if drawn else "", places))
            return self._samples[key]

    def precision(self, class_name: str, wanted: float) -> VerifiedClass:
        """The precision of a class by score, and the threshold for a wanted one (0..1), as stages.suggest tells them.

        Raises EarshotError as read_checked does.
        """
        file = Path(self._settings.data.decisions)
        state = f"{self._results_state()} {state_of(file) if file.exists() else 'none'}"
        with self._computing:
            known = self._verified.get(class_name)
            if known is None or known[:2] != (state, wanted):
                checked = self._checked_of(class_name, state)
                known = state, wanted, VerifiedClass(checked, verified_precision(checked, wanted))
                self._verified[class_name] = known
            return known[2]

    def _checked_of(self, class_name: str, state: str) -> CheckedDetections:
        known = self._checked.get(class_name)
        if known is None or known[0] != state:
            decisions, _ = read_decisions(self._settings.data.decisions)
            known = self._checked[class_name] = state, read_checked(self._labels, class_name, self._settings, decisions)
        return known[1]

    def _results_state(self) -> str:
        return state_of(Path(self._labels, RESULTS_FILE))
