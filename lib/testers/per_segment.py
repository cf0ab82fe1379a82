"""A test by annotated sounds, and the calibration of scores."""

import math
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.audio.reader import probe, stream
from lib.core.errors import AudioError, DataSetError, Problem
from lib.evaluation.metrics_plots import plot_calibration, save
from lib.evaluation.units import SegmentGrid, SegmentTruth
from lib.models.platt_scaling import fit_platt
from lib.sound.grid import PRESENCE_SECONDS, n_windows, windows_with_event
from lib.testers import tester_reports
from lib.testers import tester_statistics as statistics
from lib.testers.assembly import Assembled, Sources, highest_scores, listened_recordings
from lib.testers.label_folder import SAME, FolderLabels, ScoredSegments
from lib.testers.tester import Tester, derived
from lib.testers.truths import Annotation, read_sounds

MINUTE = 60.0


class PerSegmentTester(Tester):
    """A test by annotated sounds; a unit is a segment that the model scored.

    Args:
        annotation_path: CSV file of recording (file name without suffix), class (any of its names or codes), start_time
            and end_time (s); a row without a class names a recording without sounds.
        recording_dir: the recordings, for how long they are.
        label_dir: labels of all scores, unmerged; see lib.testers.label_folder.
        output_dir: for the reports.
        threshold: score from which a class counts as found, 0..1.
        calibrate: do only do_calibration.
        cutoff: lowest score for do_calibration.
        coef, inter: a scaling to show in its plot instead of the fitted one; one of them alone: with 1 or 0.
        min_seconds: of a sound that make it present in a segment; see lib.sound.grid.
    """

    _read = staticmethod(read_sounds)

    def __init__(
        self,
        annotation_path: str,
        recording_dir: str,
        label_dir: str,
        output_dir: str,
        threshold: float,
        calibrate: bool = False,
        cutoff: float = 0.6,
        coef: float | None = None,
        inter: float | None = None,
        min_seconds: float = PRESENCE_SECONDS,
    ) -> None:
        super().__init__(annotation_path, recording_dir, label_dir, output_dir, threshold)
        self.calibrate = calibrate
        self.calibration_cutoff = cutoff
        self.coefficient = coef if inter is None else coef or 1.0
        self.intercept = inter if coef is None else inter or 0.0
        self.min_seconds = min_seconds

    def run(self) -> dict[str, float]:
        """As of the other testers; or do_calibration, if that is wanted: returns its `coefficient` and `intercept`."""
        if not self.calibrate:
            return super().run()
        self.initialize()
        return dict(zip(("coefficient", "intercept"), self.do_calibration(), strict=True))

    @staticmethod
    def get_offsets(
        start_time: float,
        end_time: float,
        segment_len: float,
        overlap: float,
        min_seconds: float = PRESENCE_SECONDS,
    ) -> list[float]:
        """Start times (s) of the segments in which a sound from start_time to end_time (s) is present.

        Segments start at multiples of segment_len - overlap; for the rule see lib.sound.grid. Raises ValueError if
        overlap is not below segment_len.

        >>> PerSegmentTester.get_offsets(2.0, 6.2, segment_len=3, overlap=1.5)
        [0.0, 1.5, 3.0, 4.5]
        """
        hop = segment_len - overlap
        if hop <= 0:
            raise ValueError(f"overlap ({overlap} s) must be below segment_len ({segment_len} s)")
        count = math.ceil(end_time / hop) + 1
        first, last = windows_with_event(start_time, end_time, segment_len, hop, min_seconds, count)
        return [index * hop for index in range(int(first), int(last) + 1)]

    def get_segments(self, start_time: float, end_time: float, min_seconds: float = PRESENCE_SECONDS) -> list[int]:
        """Indexes of those segments, of the length and overlap that the labels have, from where inference started."""
        times = start_time - self.labels.origin, end_time - self.labels.origin
        offsets = self.get_offsets(*times, self.segment_len, self.overlap, min_seconds)
        return [round(offset / self._hop) for offset in offsets]

    def get_recording_info(self) -> dict[str, float]:
        """Read everything again and return recording_duration."""
        self.get_annotations()
        return self.recording_duration

    @derived
    def annotations(self) -> dict[str, list[Annotation]]:
        """Recording -> its sounds, in the order of the file."""
        sounds: dict[str, list[Annotation]] = {}
        rows = self._sources.truths.rows[["recording", "name", "start_time", "end_time"]]
        for recording, name, start, end in rows.itertuples(index=False):
            sounds.setdefault(recording, []).extend([Annotation(start, end, name)] if name else [])
        return sounds

    @derived
    def recording_duration(self) -> dict[str, float]:
        """Recording -> duration (s), from recording_dir and from the folder that the infer stage wrote."""
        return self._sources.seconds

    @derived
    def segments_per_recording(self) -> dict[str, list[int]]:
        """Indexes of the segments of each recording of the test."""
        sizes = np.bincount(self.units.recording, minlength=len(self.units.recordings))
        return {name: list(range(size)) for name, size in zip(self.units.recordings, sizes, strict=True)}

    def init_y_true(self) -> None:
        """Make the tables y_true_trained_df and y_true_annotated_df: a row for each segment, named in the column "" by
        its recording and number (`recording1-0`), and a column of 0 and 1 for each class.
        """
        truth = pd.DataFrame(self.y_true_trained, columns=self.trained_classes)
        segments = [f"{name}-{index}" for name, count in self.segments_per_recording.items() for index in count]
        truth.insert(0, "", segments)
        self.y_true_trained_df = truth
        self.y_true_annotated_df = truth[["", *self.annotated_classes]].copy()

    def get_pr_table(self) -> dict[str, Any]:
        """Precision and recall at the thresholds 0.01, 0.02, ... 1.00, and at every score.

        Lists at the 100 thresholds: annotated_thresholds; annotated_precisions_minutes, by minutes of recordings, each
        with the highest score and the truth of the segments that start in it; annotated_precisions_seconds, by seconds
        of labels; annotated_recalls, trained_precisions and trained_recalls, by segments; trained_thresholds. Arrays at
        every score, by segments, as of scikit-learn's precision_recall_curve: *_thresholds_fine, *_precisions_fine and
        *_recalls_fine for annotated and trained.
        """
        by_minutes = statistics.rates(*self._minutes(), statistics.THRESHOLDS).precision
        return self._threshold_table() | {"annotated_precisions_minutes": by_minutes.tolist()}

    def produce_reports(self) -> dict[str, float]:
        """Write tables and pictures to output_dir, listed in lib.testers.tester_reports; returns single figures."""
        rates = self.rates().items()
        columns = {suffix: {"precision": here.precision, "recall": here.recall} for suffix, here in rates}
        numbers = np.fromiter(chain.from_iterable(self.segments_per_recording.values()), np.int64)
        return tester_reports.write_parts(self, tester_reports.SEGMENTS, numbers, columns)

    def do_calibration(self) -> tuple[float, float]:
        """Fit Platt scaling to the scores of at least the cutoff, print coefficient and intercept, and plot it.

        Returns coefficient and intercept. Raises ValueError if too few scores are at or above the cutoff.
        """
        truth, scores = np.ravel(self.y_true_trained).astype(bool), np.ravel(self.y_pred_trained)
        coefficient, intercept = fit_platt(scores, truth, self.calibration_cutoff)
        self.plot_calibration_curve(truth, scores, coefficient, intercept)
        print(f"Coefficient = {coefficient:.2f}")
        print(f"Intercept   = {intercept:.2f}")
        return coefficient, intercept

    def plot_calibration_curve(
        self, y_true: np.ndarray, y_pred: np.ndarray, a: float, b: float, n_bins: int = 15
    ) -> None:
        """Plot how often the class is there over the score, as it is and scaled, to calibration-{a:.2f}-{b:.2f}.png.

        Args:
            y_true: 0 or 1, (n,).
            y_pred: scores, (n,).
            a, b: coefficient and intercept of Platt scaling, unless the tester was made with others.
            n_bins: bins of the scores.
        """
        if self.coefficient is not None and self.intercept is not None:
            a, b = self.coefficient, self.intercept
        Path(self.output_dir).mkdir(parents=True, exist_ok=True)
        figure = plot_calibration(np.ravel(y_true), np.ravel(y_pred), a, b, n_bins)
        save(figure, Path(self.output_dir) / f"calibration-{a:.2f}-{b:.2f}.png")

    @property
    def _hop(self) -> float:
        return self.segment_len - self.overlap

    def _minutes(self) -> statistics.Pair:
        """Truth and scores of the annotated classes by minute: the highest of the segments that start in it."""
        minute = (self.units.start_time // MINUTE).astype(np.int64)
        keys = self.units.recording * (minute.max(initial=0) + 1) + minute
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        return np.maximum.reduceat(self.y_true_annotated, first), np.maximum.reduceat(self.y_pred_annotated, first)

    def _durations(self, labels: FolderLabels, files: dict[str, Path]) -> dict[str, float]:
        known = dict(labels.seconds)
        for name, path in files.items():
            if name not in known and (seconds := _duration(path)) is not None:
                known[name] = seconds
        return dict(sorted(known.items()))

    def _assemble(self, sources: Sources) -> Assembled:
        labels, sounds = sources.labels, sources.truths.rows
        listened, problems = listened_recordings(sources, self.annotation_path)
        names, more = self._timed(listened, sources.seconds)
        seconds = np.array([sources.seconds[name] for name in names])
        segments = labels.segments.of(names)
        counts, unit, label_problems = _on_grid(segments, seconds, labels, self.label_dir)
        grid = SegmentGrid(names, seconds, counts, labels.origin, labels.segment_len, labels.hop)
        sounds = sounds.assign(column=pd.Index(labels.classes).get_indexer(sounds["name"]))[sounds["class"] != ""]
        scores = highest_scores(segments.scores, unit, int(counts.sum()))
        truth = SegmentTruth(grid, labels.classes, sounds, self.min_seconds)
        problems = [*problems, *more, *label_problems, *truth.problems]
        return Assembled(truth.units(scores), segments.cut(segments.start_time + labels.hop), unit, problems)

    def _timed(self, names: list[str], seconds: dict[str, float]) -> tuple[list[str], list[Problem]]:
        """Those of the recordings whose duration is known, and a problem for each other one."""
        folder = self.recording_dir or "recording_dir"
        timed = [name for name in names if name in seconds]
        if not timed:
            fault = f"none of its recordings can be read from {folder}"
            raise DataSetError(self.annotation_path, fault, "give their folder, and names without suffix")
        fault = f"is annotated, but {folder} holds no such recording"
        missing = [name for name in names if name not in seconds]
        return timed, [Problem(name, fault, "add the file or correct the name") for name in missing]


def _on_grid(
    segments: ScoredSegments, seconds: np.ndarray, labels: FolderLabels, folder: str
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """How many segments the recordings have, and which of all of them each scored one is; -1: it is none.

    A results store knows. Otherwise there are as many as infer makes, or else those with more than segment_len - 1 s of
    sound; if there are labels of later ones, within the recording, those count, too.
    """
    counts = np.bincount(segments.recording, minlength=len(seconds))
    if labels.is_complete:
        return counts, np.arange(len(segments.recording)), []
    names, owner, start = segments.recordings, segments.recording, segments.start_time
    length, hop, origin = labels.segment_len, labels.hop, labels.origin
    if labels.by_infer:
        counts = np.array([n_windows(value - origin, length, hop) for value in seconds])
    else:
        counts = np.maximum(np.ceil((seconds - length + 1) / hop - 1e-9), 1).astype(np.int64)
    index = np.rint((start - origin) / hop).astype(np.int64)
    is_off = (np.abs(start - origin - index * hop) > 2 * SAME) | (index < 0)
    if is_off.any():
        row = int(np.argmax(is_off))
        label = f"the label of {names[owner[row]]} at {start[row]:g} s"
        fault = f"{label} does not start at a multiple of {hop:g} s{f' after {origin:g} s' if origin else ''}"
        raise DataSetError(folder, f"{fault}, as segments do", "run inference from the start, with a threshold of 0")
    is_late = start > seconds[owner] + SAME
    np.maximum.at(counts, owner[~is_late], index[~is_late] + 1)
    remedy = "see that labels and recordings belong together"
    problems = [
        Problem(names[late], f"has labels beyond its end ({seconds[late]:g} s)", remedy)
        for late in np.unique(owner[is_late])
    ]
    return counts, np.where(is_late, -1, (np.cumsum(counts) - counts)[owner] + index), problems


def _duration(path: Path) -> float | None:
    """Seconds of a recording; None if it cannot be read."""
    try:
        info = probe(path)
        return info.seconds or sum(map(len, stream(path, info.sampling_rate))) / info.sampling_rate
    except AudioError:
        return None
