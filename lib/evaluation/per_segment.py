"""A test by annotated sounds, and the calibration of scores."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.audio.reader import probe, stream
from lib.audio.windows import n_windows
from lib.console import say
from lib.errors import AudioError, DataSetError, Problem
from lib.evaluation import tester_reports
from lib.evaluation import tester_statistics as statistics
from lib.evaluation.assembly import Assembled, Parts, Sources, assemble, listened
from lib.evaluation.labels import SAME, Labels
from lib.evaluation.plots import plot_calibration, save
from lib.evaluation.tester import SUFFIXES, Tester, derived
from lib.evaluation.truths import read_sounds
from lib.evaluation.units import outside, positions, segment_ranges, spread
from lib.models.calibration import fit_platt

MINUTE = 60.0
MIN_SECONDS = 0.3


class PerSegmentTester(Tester):
    """A test by annotated sounds; a unit is a segment that the model scored.

    annotation_path: CSV file of recording (file name without suffix), class (any of its names or codes), start_time and
    end_time (s); a row without a class names a recording without sounds. recording_dir: the recordings, for how long
    they are. label_dir: labels of all scores, unmerged; see lib.evaluation.labels. output_dir: for the reports.
    threshold: score from which a class counts as found. calibrate: do only do_calibration, with scores of at least
    cutoff; coef, inter: show that scaling in its plot rather than the fitted one (one of them alone: with 1 or 0).
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
    ) -> None:
        super().__init__(annotation_path, recording_dir, label_dir, output_dir, threshold)
        self.calibrate = calibrate
        self.calibration_cutoff = cutoff
        self.coefficient = coef if inter is None else coef or 1.0
        self.intercept = inter if coef is None else inter or 0.0

    def run(self) -> None:
        """Do everything: read, measure, and write the reports to output_dir; or do_calibration, where that is asked."""
        self.initialize()
        if self.calibrate:
            self.do_calibration()
        else:
            self.produce_reports()

    @staticmethod
    def get_offsets(
        start_time: float, end_time: float, segment_len: float, overlap: float, min_seconds: float = 0.3
    ) -> list[float]:
        """Start times (s) of the segments in which a sound from start_time to end_time (s) counts.

        The first segment starts at most segment_len - min_seconds before the sound, the last one min_seconds before its
        end; none: []. Segments start at multiples of segment_len - overlap. Raises ValueError if that is not positive.

        >>> PerSegmentTester.get_offsets(2.0, 6.2, segment_len=3, overlap=1.5)
        [0.0, 1.5, 3.0, 4.5]
        """
        hop = segment_len - overlap
        return [index * hop for index in _reference_segments(start_time, end_time, segment_len, overlap, min_seconds)]

    def get_segments(self, start_time: float, end_time: float, min_seconds: float = 0.3) -> list[int]:
        """Indexes of those segments, of the length and overlap that the labels have."""
        return _reference_segments(start_time, end_time, self.segment_len, self.overlap, min_seconds)

    def get_recording_info(self) -> dict[str, float]:
        """Read everything anew and return recording_duration."""
        self._read_anew()
        return self.recording_duration

    @derived
    def recording_duration(self) -> dict[str, float]:
        """Recording -> duration (s), of recording_dir and of the folder that the infer stage wrote."""
        return self._sources.seconds

    @property
    def recordings(self) -> list[str]:
        """Names of all recordings whose duration is known, sorted."""
        return list(self.recording_duration)

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
        index = np.rint(self.units.start_time / self._hop).astype(int)
        owners = (self.units.recordings[owner] for owner in self.units.recording)
        truth.insert(0, "", [f"{name}-{number}" for name, number in zip(owners, index, strict=True)])
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
        minutes = statistics.rates(*self._minutes(), statistics.THRESHOLDS)
        return self._threshold_table() | {"annotated_precisions_minutes": minutes.precision.tolist()}

    def produce_reports(self) -> None:
        """Write the report files to output_dir: tables and pictures, listed in lib.evaluation.tester_reports."""
        rates = zip(SUFFIXES, self._rates(), strict=True)
        columns = {suffix: {"precision": here.precision, "recall": here.recall} for suffix, here in rates}
        tester_reports.write_parts(self.output_dir, self._findings(), tester_reports.SEGMENTS, self._hop, columns)

    def do_calibration(self) -> tuple[float, float]:
        """Fit Platt scaling to the scores of at least the cutoff, print coefficient and intercept, and plot it.

        Returns coefficient and intercept. Raises ValueError if too few scores are at or above the cutoff.
        """
        truth, scores = np.ravel(self.y_true_trained).astype(bool), np.ravel(self.y_pred_trained)
        coefficient, intercept = fit_platt(scores, truth, self.calibration_cutoff)
        self.plot_calibration_curve(truth, scores, coefficient, intercept)
        say(f"Coefficient = {coefficient:.2f}")
        say(f"Intercept   = {intercept:.2f}")
        return coefficient, intercept

    def plot_calibration_curve(
        self, y_true: np.ndarray, y_pred: np.ndarray, a: float, b: float, n_bins: int = 15
    ) -> None:
        """Plot how often the class is there over the score, as it is and scaled, to calibration-{a:.2f}-{b:.2f}.png.

        y_true: 0 or 1, (n,). y_pred: scores, (n,). a, b: coefficient and intercept of Platt scaling, in place of which
        those that the tester was made with are taken. n_bins: bins of the scores.
        """
        if self.coefficient is not None and self.intercept is not None:
            a, b = self.coefficient, self.intercept
        Path(self.output_dir).mkdir(parents=True, exist_ok=True)
        figure = plot_calibration(np.asarray(y_true), np.asarray(y_pred), a, b, n_bins)
        save(figure, Path(self.output_dir) / f"calibration-{a:.2f}-{b:.2f}.png")

    @property
    def _hop(self) -> float:
        return self.segment_len - self.overlap

    def _minutes(self) -> tuple[np.ndarray, np.ndarray]:
        """Truth and scores of the annotated classes by minute: the highest of the segments that start in it."""
        minute = (self.units.start_time // MINUTE).astype(np.int64)
        keys = self.units.recording * (minute.max(initial=0) + 1) + minute
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        return np.maximum.reduceat(self.y_true_annotated, first), np.maximum.reduceat(self.y_pred_annotated, first)

    def _durations(self, labels: Labels, files: dict[str, Path]) -> dict[str, float]:
        known = dict(labels.seconds)
        for name, path in files.items():
            if name not in known and (seconds := _duration(path)) is not None:
                known[name] = seconds
        return dict(sorted(known.items()))

    def _assemble(self, sources: Sources) -> Assembled:
        names, odd = listened(sources, self.annotation_path)
        names, missing = self._timed(names, sources.seconds)
        seconds = np.array([sources.seconds[name] for name in names])
        counts, late = _counts(names, seconds, sources.labels, self.label_dir)
        where, column, outer = _sounds(names, seconds, counts, sources)
        parts = Parts(np.repeat(np.arange(len(names)), counts), np.concatenate([np.arange(n) for n in counts]))
        length, hop = sources.labels.segment_len, _hop(sources.labels)
        return assemble(names, parts, length, hop, sources, (where, column), [*odd, *missing, *late, *outer])

    def _timed(self, names: list[str], seconds: dict[str, float]) -> tuple[list[str], list[Problem]]:
        """Those of the recordings whose duration is known, and a problem for each other one."""
        place = self.recording_dir or "recording_dir"
        timed = [name for name in names if name in seconds]
        if not timed:
            fault = f"none of its recordings can be read from {place}"
            raise DataSetError(f"{self.annotation_path}: {fault}; give their folder, and names without suffix")
        reason = f"is annotated, but {place} holds no such recording"
        missing = [name for name in names if name not in seconds]
        return timed, [Problem(name, reason, "add the file or correct the name") for name in missing]


def _hop(labels: Labels) -> float:
    return labels.segment_len - labels.overlap


def _counts(names: list[str], seconds: np.ndarray, labels: Labels, folder: str) -> tuple[np.ndarray, list[Problem]]:
    """Numbers of segments: as our infer stage makes them, else those with more than segment_len - 1 s of sound.

    If there are labels of later ones, within the recording, those count, too.
    """
    length, hop = labels.segment_len, _hop(labels)
    if labels.own:
        counts = np.array([max(1, n_windows(value, length, hop)) for value in seconds])
    else:
        counts = np.maximum(np.ceil((seconds - length + 1) / hop - 1e-9), 1).astype(np.int64)
    owner = positions(labels.table["recording"], names)
    start = labels.table["start_time"].to_numpy()[owner >= 0]
    owner = owner[owner >= 0]
    off = np.abs(start - np.rint(start / hop) * hop) > 2 * SAME
    if off.any():
        row = int(np.argmax(off))
        where = f"{folder}: the label of {names[owner[row]]} at {start[row]:g} s"
        fault = f"does not start at a multiple of {hop:g} s, as segments do"
        raise DataSetError(f"{where} {fault}; run inference from the start, with a threshold of 0")
    late = start > seconds[owner] + SAME
    np.maximum.at(counts, owner[~late], np.rint(start[~late] / hop).astype(np.int64) + 1)
    problems = []
    for index in np.unique(owner[late]):
        reason = f"has labels beyond its end ({seconds[index]:g} s)"
        problems.append(Problem(names[index], reason, "see that labels and recordings belong together"))
    return counts, problems


def _sounds(
    names: list[str], seconds: np.ndarray, counts: np.ndarray, sources: Sources
) -> tuple[Parts, np.ndarray, list[Problem]]:
    """In which segments which classes are, and a problem for each recording with sounds outside of all segments."""
    labels = sources.labels
    column = {name: number for number, name in enumerate(labels.classes)}
    rows = [
        (owner, sound.start_time, sound.end_time, column[sound.class_code])
        for owner, name in enumerate(names)
        for sound in sources.truths.annotations[name]
    ]
    recording, start, end, found = np.reshape(np.array(rows, dtype=np.float64), (-1, 4)).T
    recording, found = recording.astype(np.int64), found.astype(np.int64)
    inside = start < seconds[recording]
    end = np.maximum(start, np.minimum(end, seconds[recording]))
    first, last = segment_ranges(start, end, labels.segment_len, labels.overlap, MIN_SECONDS, counts[recording])
    inside &= first <= last
    event, segment = spread(np.where(inside, first, 0), np.where(inside, last, -1))
    problems = outside(names, seconds, recording[~inside], start[~inside])
    return Parts(recording[event], segment), found[event], problems


def _reference_segments(
    start_time: float, end_time: float, segment_len: float, overlap: float, min_seconds: float
) -> list[int]:
    hop = segment_len - overlap
    if hop <= 0:
        raise ValueError(f"overlap ({overlap} s) must be below segment_len ({segment_len} s)")
    slack = 1e-6  # of a hop: decimal times are not exact in binary
    first = max(0, math.ceil((start_time + min_seconds - segment_len) / hop - slack))
    last = math.floor((end_time - min_seconds) / hop + slack)
    return list(range(first, last + 1))


def _duration(path: Path) -> float | None:
    """Seconds of a recording; None if it cannot be read."""
    try:
        info = probe(path)
        return info.seconds or sum(map(len, stream(path, info.sampling_rate))) / info.sampling_rate
    except AudioError:
        return None
