"""Scores and labels of recordings, from one model or an ensemble of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lib.config.load import get_config
from lib.config.schema import Settings
from lib.core.devices import choose_device
from lib.core.errors import AudioError, EarshotError
from lib.core.files import write_text
from lib.inference.frames import FrameGrid, to_global_frames
from lib.inference.labelling import FRAME_SLACK, frame_labeller, window_labels
from lib.inference.networks import Network, open_networks
from lib.inference.streams import Batch, hop_of, stream_windows
from lib.models.description import Description
from lib.models.model_files import model_files
from lib.models.platt_scaling import AS_IT_IS, END
from lib.models.score_scaling import min_scores, scaling_of
from lib.results.manifest import frame_rate, manifest_of
from lib.sound.classes import ClassList
from lib.sound.labels import Label, ending_with

if TYPE_CHECKING:
    import pandas as pd

N_SHOWN = 10
"""Classes that show_scores prints."""


class Predictor:
    """One or more recognizers of the same classes on one device, whose scores are averaged.

    Windows are what the models take: spectrograms, (n, height, width) or (n, 1, height, width) in 0..1; or, where
    description.takes is "waveforms", sound at audio.sampling_rate, (n, samples) in -1..1: the window's samples, or
    these with audio.margin more on either side.

    Scores are float32 in 0..1, scaled by infer.scaling_coefficient and scaling_intercept, or else as each model's
    calibration says.

    Args:
        model_path: a checkpoint, or a folder of them.
        device: cpu, cuda or mps; None or auto: a GPU where there is one.
        cfg: settings, of which `infer` is used; `audio` and `train.sed_fps` are replaced by those of the models. None:
            get_config().
        quantile: in 0..1; a label of fixed length scores that quantile of its frames; None: infer.quantile.

    Attributes:
        class_names, class_codes, class_alt_names, class_alt_codes: lists of strings in the order of the scores, without
            gaps: the name stands in for a missing code or alternative name, the code for a missing alternative code.
        files, descriptions: of the models.
        description: of the first model.

    Raises EarshotError if a model cannot be loaded or the models do not fit together.
    """

    def __init__(
        self,
        model_path: str | Path,
        device: str | None = None,
        cfg: Settings | None = None,
        quantile: float | None = None,
    ) -> None:
        if quantile is not None and not 0 <= quantile <= 1:
            raise EarshotError(f"quantile = {quantile:g}", "must be in 0..1, or None for infer.quantile")
        cfg = (cfg or get_config()).checked()
        self.device = choose_device("auto" if device is None else str(device))
        self.files = model_files(model_path)
        self._networks = open_networks(self.files, self.device, cfg.infer.precision)
        self.descriptions: list[Description] = [network.description for network in self._networks]
        self.description = self.descriptions[0]
        rate = frame_rate(self.descriptions, cfg)
        infer = cfg.infer.model_copy(update={} if quantile is None else {"quantile": quantile})
        train = cfg.train.model_copy(update={"sed_fps": rate})
        self.cfg = cfg.model_copy(update={"audio": self.description.audio.model_copy(), "infer": infer, "train": train})
        self._classes = ClassList(self.description.classes)
        self.class_names = self._classes.called("names")
        self.class_codes = self._classes.called("codes")
        self.class_alt_names = self._classes.called("alt_names")
        self.class_alt_codes = self._classes.called("alt_codes")
        self._last: tuple[Path, list[float]] | None = None  # recording and start times that were scored last

    def __len__(self) -> int:
        """The number of models."""
        return len(self._networks)

    # Scores

    def score_windows(
        self, windows: np.ndarray, members: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores of windows, (n, n_classes), and of their frames, (n, n_classes, n_frames).

        The latter are None if no model scores frames.

        Args:
            windows: spectrograms or waveforms.
            members: indices of the models to ask; None: all.
        """
        networks = self._networks if members is None else [self._networks[i] for i in members]
        parts = [self._score(part, networks) for part in self._parts(windows)]
        if not parts:
            return self._no_scores(), None
        scores, frames = zip(*parts, strict=True)
        return np.concatenate(scores), None if frames[0] is None else np.concatenate(frames)

    @torch.inference_mode()
    def _score(self, x: Tensor, networks: list[Network]) -> tuple[np.ndarray, np.ndarray | None]:
        scores, frames = [], []
        for network in networks:
            scaling, multi_label = scaling_of(self.cfg.infer, network.description), network.description.multi_label
            logits, frame_logits = network.logits(x)
            scores.append(_scores(logits, multi_label, scaling))
            if frame_logits is not None:
                frames.append(_scores(frame_logits, multi_label, scaling))
        return _mean(scores), _mean(frames) if frames else None

    def _parts(self, windows: np.ndarray) -> Iterator[Tensor]:
        """Windows as tensors on the device, infer.batch_size at a time."""
        windows, shapes = np.asarray(windows, np.float32), self.description.window_shapes
        if windows.ndim == 4 and windows.shape[1] == 1:
            windows = windows[:, 0]
        if windows.shape[1:] not in shapes:
            listed = " or ".join(f"(n, {', '.join(map(str, shape))})" for shape in shapes)
            what, remedy = f"{self.description.takes} of shape {windows.shape}", "make them with its settings"
            raise EarshotError(what, f"the model takes {listed}", remedy)
        n = self.cfg.infer.batch_size
        for i in range(0, len(windows), n):
            yield torch.from_numpy(np.ascontiguousarray(windows[i : i + n])).to(self.device)

    def _no_scores(self) -> np.ndarray:
        return np.zeros((0, len(self.class_names)), np.float32)

    def get_block_scores(
        self, specs: np.ndarray, start_times: Sequence[float] | None = None, audio_duration: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores of windows, (n, n_classes), and a frame map, (n_frames, n_classes).

        The frame map, with sed_fps frames a second, is None without start times, or if no model scores frames.

        Args:
            specs: spectrograms or waveforms.
            start_times: of the windows, s from the start of the recording.
            audio_duration: of the recording, s; None: up to the end of the last window.
        """
        scores, frames = self.score_windows(specs)
        if frames is None or start_times is None:
            return scores, None
        if len(start_times) != len(scores):
            raise EarshotError("start_times", f"{len(start_times)} for {len(scores)} windows", "give one for each")
        if audio_duration is None:
            audio_duration = max(start_times) + self.description.audio.spec_duration
        return scores, self.to_global_frames(frames, start_times, audio_duration)

    def get_recording_scores(
        self, recording_path: str | Path, start_seconds: float = 0
    ) -> tuple[np.ndarray, np.ndarray | None, list[float]]:
        """Scores of a recording's windows, (n_windows, n_classes), its frame map, and start times (s) of the windows.

        Windows overlap by infer.overlap and begin at start_seconds. The frame map, (n_frames, n_classes) from the start
        of the recording on, is None if no model scores frames. Raises AudioError if the recording cannot be read.
        """
        hop, starts = hop_of(self.description.audio, self.cfg.infer.overlap), list[float]()
        batches = self._stream(recording_path, starts, hop, start_seconds)
        if not self.scores_frames:
            scores = [self._no_scores(), *(self.score_windows(batch.windows.inputs)[0] for batch in batches)]
            return np.concatenate(scores), None, starts
        scores, frames, _ = zip(*self.stream_frames(batches), strict=True)
        return np.concatenate(scores), np.concatenate(frames) if starts else None, starts

    def get_overlapping_scores(
        self, recording_path: str | Path, segment_len: float, initial_start_times: Sequence[float]
    ) -> np.ndarray:
        """The frame map, (n_frames, n_classes), of an ensemble whose models take different windows.

        A frame's score is the mean of all windows that cover it. If a model does not score frames, a window's score
        counts for each of its frames.

        Args:
            segment_len: s from one window of a model to its next; windows that are shorter follow one another without
                a gap.
            initial_start_times: model i takes its first window at initial_start_times[i % n], s. If that lies behind
                the start, it takes one more before, filled up with silence.

        Raises AudioError if the recording cannot be read.
        """
        if not len(initial_start_times) or min(initial_start_times) < 0 or segment_len <= 0:
            raise EarshotError("initial_start_times and segment_len", "give one or more times and a length, in seconds")
        offsets = [float(time) for time in initial_start_times][: len(self)]
        hop = min(segment_len, self.description.audio.spec_duration)
        batches = self._stream(recording_path, [], hop, 0.0, offsets)
        return np.concatenate([frames for _, frames, _ in self.stream_frames(batches, offsets)])

    def _stream(
        self, path: str | Path, starts: list[float], hop: float, start: float, offsets: list[float] | None = None
    ) -> Iterator[Batch]:
        """A recording's windows; notes their start times in `starts`, and for get_specs."""
        audio, takes = self.description.audio, self.description.takes
        for batch in stream_windows(path, audio, hop, self.cfg.infer.batch_size, start, offsets, takes=takes):
            starts += batch.windows.starts.tolist()
            yield batch
        self._last = Path(path), sorted(set(starts))

    @property
    def scores_frames(self) -> bool:
        """Whether a model scores frames."""
        return any(description.sed_fps for description in self.descriptions)

    def stream_frames(
        self, batches: Iterable[Batch], offsets: Sequence[float] | None = None, first: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Yield scores of a recording's windows, (n, n_classes), and of its frames, (n_frames, n_classes), and the
        seconds that have been read, part by part; a frame comes once no other window can add to it.

        Args:
            batches: the windows.
            offsets: that stream_windows made them with.
            first: index of the first frame that is wanted.
        """
        grid, seconds = FrameGrid(self.sed_fps, len(self.class_names), first), 0.0
        for batch in batches:
            members = range(batch.group, len(self), len(offsets) if offsets else 1)
            scores, frames = self.frames_of(batch.windows.inputs, members)
            grid.add(frames, batch.windows.starts, len(members))
            seconds = max(seconds, batch.windows.seconds)
            final = round(min(batch.final, batch.windows.seconds) * self.sed_fps - FRAME_SLACK)
            yield scores, grid.take(final), seconds
        yield self._no_scores(), grid.take(round(seconds * self.sed_fps)), seconds

    def frames_of(self, windows: np.ndarray, members: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The same as score_windows; if no model scores frames, a window's score counts for each of its frames."""
        scores, frames = self.score_windows(windows, members)
        if frames is None:
            n_frames = max(1, round(self.sed_fps * self.description.audio.spec_duration))
            frames = np.repeat(scores[:, :, None], n_frames, axis=2)
        return scores, frames

    @property
    def sed_fps(self) -> float:
        """Frames a second of a frame map."""
        return self.cfg.train.sed_fps

    def to_global_frames(
        self, frame_scores: np.ndarray, offsets_sec: Sequence[float], recording_duration_sec: float
    ) -> np.ndarray:
        """Scores of a recording's frames, (n_frames, n_classes) float32, each the mean of the windows that cover it.

        Args:
            frame_scores: of windows, (n, n_classes, frames of a window) in 0..1.
            offsets_sec: start times of the windows, s.
            recording_duration_sec: s; there are sed_fps frames in each.
        """
        return to_global_frames(frame_scores, offsets_sec, recording_duration_sec, self.sed_fps)

    def get_embeddings(self, spec_array: np.ndarray) -> np.ndarray:
        """Embeddings, float32 (n, dim), of windows (spectrograms or waveforms).

        They are the mean of those of the models. Raises EarshotError if these differ in size.
        """
        parts = [self._embed(part) for part in self._parts(spec_array)]
        if parts:
            return np.concatenate(parts)
        return self._embed(torch.zeros(1, *self.description.window_shapes[0], device=self.device))[:0]

    @torch.inference_mode()
    def _embed(self, x: Tensor) -> np.ndarray:
        embeddings = [network.embed(x) for network in self._networks]
        if len({embedding.shape for embedding in embeddings}) > 1:
            raise EarshotError(self.files[0].parent, "models with embeddings of several sizes", "give one model")
        return _mean(embeddings)

    # Labels

    def get_segment_labels(
        self, scores: np.ndarray | None, start_times: Sequence[float], seconds: float = math.inf
    ) -> dict[str, list[Label]]:
        """Labels by name, one for each window and class that scores high enough; names without labels are left out.

        Classes are called as infer.label_field says. Labels are not merged: infer.merge_labels is about label files.

        Args:
            scores: (n_windows, n_classes).
            start_times: of the windows, s.
            seconds: duration of the recording, at which labels end; else the last one lasts as long as its window.
        """
        labels: dict[str, list[Label]] = {}
        if scores is None or not len(scores):
            return labels
        scores, starts = self._checked(scores, "scores"), np.asarray(start_times, float)
        order, length = np.argsort(starts, kind="stable"), self.description.audio.spec_duration
        found = window_labels(starts[order], scores[order], self.min_scores, length, self._names)
        for label in ending_with(seconds, found):
            labels.setdefault(label.name, []).append(label)
        return labels

    def get_frame_labels(self, frame_map: np.ndarray, seconds: float = math.inf) -> dict[str, list[Label]]:
        """Labels by name of a frame map (n_frames, n_classes), with an entry for each class.

        If infer.segment_len is None, a label lasts as long as frames score high enough; its score is the highest of
        them. Else labels have that length, on a grid from 0 on, and score the maximum, or infer.quantile, of frames.
        seconds: duration of the recording, at which labels end.
        """
        frame_map = self._checked(frame_map, "frame map")
        labeller = frame_labeller(self._names, self.min_scores, self.sed_fps, self.cfg.infer)
        labels: dict[str, list[Label]] = {name: [] for name in self._names}
        for label in ending_with(seconds, [*labeller.add(frame_map), *labeller.finish()]):
            labels[label.name].append(label)
        return labels

    def get_dataframe(
        self,
        score_array: np.ndarray | None,
        frame_map: np.ndarray | None,
        start_times: Sequence[float],
        recording_name: str,
        seconds: float = math.inf,
    ) -> "pd.DataFrame":
        """Labels as a table: recording, name, start_time, end_time, score, sorted by name and start time.

        Those of get_frame_labels if there is a frame map, else those of get_segment_labels. seconds: duration of the
        recording, at which labels end.
        """
        import pandas as pd

        if frame_map is None:
            labels = self.get_segment_labels(score_array, start_times, seconds)
        else:
            labels = self.get_frame_labels(frame_map, seconds)
        rows = [(recording_name, *label) for name in sorted(labels) for label in labels[name]]
        table = pd.DataFrame(rows, columns=["recording", *Label._fields])
        return table.astype({"start_time": float, "end_time": float, "score": float})

    def get_class_name(self, label: str) -> str:
        """The name of the class that a label (name, code, alt_name or alt_code) means; else the label itself.

        A label that means several counts as infer.label_field says, else as a name before a code.
        """
        return self._classes.resolve(label, self.cfg.infer.label_field) or label

    @property
    def min_scores(self) -> np.ndarray:
        """The score from which each class is labelled, float32 (n_classes,), by infer or as stored with the models."""
        return min_scores(self.cfg.infer, self.descriptions)

    @property
    def _names(self) -> list[str]:
        return self._classes.called(self.cfg.infer.label_field)

    def _checked(self, scores: np.ndarray, what: str) -> np.ndarray:
        scores, n_classes = np.asarray(scores), len(self.class_names)
        if scores.ndim != 2 or scores.shape[1] != n_classes:
            raise EarshotError(f"{what} of shape {scores.shape}", f"must have two dimensions and {n_classes} classes")
        return scores

    # Views and files

    def get_specs(self) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """Spectrograms (n, height, width) of the recording that was scored last: in 0..1, and the levels themselves.

        They are computed by this call, from the file. None if no recording was scored.
        """
        from lib.audio.loaded_recording import Audio

        if self._last is None:
            return None, None
        path, starts = self._last
        audio = Audio("cpu", self.cfg)
        audio.load(path)
        normalized, levels = audio.get_spectrograms(starts)
        if normalized is None or levels is None:
            raise AudioError(path, "can no longer be read", "score a recording again")
        return np.asarray(normalized), np.asarray(levels)

    def show_scores(self, scores: np.ndarray | None, frame_map: np.ndarray | None) -> None:
        """Print the classes that score highest in the first window, in descending order.

        Scores, (n_windows, n_classes), count only if there is no frame map, (n_frames, n_classes).
        """
        if frame_map is not None:
            frame_map = self._checked(frame_map, "frame map")
            n_frames = max(1, int(self.sed_fps * self.description.audio.spec_duration))
            scores = frame_map[:n_frames].max(axis=0, keepdims=True) if len(frame_map) else None
        if scores is None or not len(scores):
            return
        names, scores = self._names, self._checked(scores, "scores")
        for column in np.argsort(-scores[0], kind="stable")[:N_SHOWN]:
            print(f"{names[column]}: {scores[0, column]:.4f}")

    def save_manifest(self, output_path: str | Path, cfg: Settings | None = None) -> None:
        """Write a manifest: classes, models and settings (by default those of the predictor).

        output_path: the file, if it ends in .yaml or .yml; else the folder of manifest.yaml.
        """
        path = Path(output_path)
        path = path if path.suffix in (".yaml", ".yml") else path / "manifest.yaml"
        write_text(path, manifest_of(self.files, self.descriptions, cfg or self.cfg).text())


def _scores(logits: Tensor, multi_label: bool, scaling: tuple[float, float]) -> Tensor:
    """Scores of logits (n, n_classes) or (n, n_classes, n_frames), scaled."""
    coefficient, intercept = scaling
    if multi_label:
        return torch.sigmoid(logits if scaling == AS_IT_IS else coefficient * logits + intercept)
    scores = torch.softmax(logits, dim=1)
    return scores if scaling == AS_IT_IS else torch.sigmoid(coefficient * torch.logit(scores, END) + intercept)


def _mean(values: list[Tensor]) -> np.ndarray:
    return torch.stack(values).mean(dim=0).float().cpu().numpy()
