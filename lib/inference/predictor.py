"""Scores and labels of recordings, from one model or an ensemble of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lib.config import Settings, get_config
from lib.console import say
from lib.errors import AudioError, EarshotError
from lib.files import write_text
from lib.inference.frames import SLACK, FrameGrid, make_labeller, to_global_frames
from lib.inference.labels import Hits, Label, class_fields, find_class, find_hits, window_labels
from lib.inference.manifest import frame_rate, manifest_text, model_manifest
from lib.inference.networks import Network, open_networks
from lib.inference.scaling import AS_IT_IS, END, min_scores, scaling_of
from lib.inference.streams import Batch, hop_of, stream_windows
from lib.models.description import Description
from lib.models.device import choose_device
from lib.models.files import model_files

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10
"""Classes that show_scores shows."""


class Predictor:
    """One or more recognizers of the same classes on one device, whose scores are averaged.

    model_path: a checkpoint, or a folder of them. device: cpu, cuda or mps; None or auto: the best there is. cfg:
    settings, of which `infer` says how to label; `cfg.audio` and `cfg.train.sed_fps` are replaced by the models' own.
    None: get_config(). quantile: instead of the maximum, the score of a label of fixed length is that quantile (0..1)
    of its frames' scores; None: as infer.quantile says.

    Scores are float32 in 0..1 and scaled as infer.scaling_coefficient and scaling_intercept, or the models'
    calibrations, say. class_names, class_codes, class_alt_names, class_alt_codes: lists of strings in the order of the
    scores; a code or other name that a class lacks is its name, an other code its code. description: of the first
    model. Raises EarshotError if a model cannot be loaded or the models do not fit together.
    """

    def __init__(
        self,
        model_path: str | Path,
        device: str | None = None,
        cfg: Settings | None = None,
        quantile: float | None = None,
    ) -> None:
        if quantile is not None and not 0 <= quantile <= 1:
            raise EarshotError(f"quantile = {quantile:g}: must be in 0..1, or None for infer.quantile")
        cfg = (cfg or get_config()).checked()
        self.device = choose_device(device or "auto")
        self.files = model_files(model_path)
        self._networks = open_networks(self.files, self.device, cfg.infer.precision)
        self.descriptions: list[Description] = [network.description for network in self._networks]
        self.description = self.descriptions[0]
        rate = frame_rate(self.descriptions, cfg)
        infer = cfg.infer.model_copy(update={} if quantile is None else {"quantile": quantile})
        own = {"audio": self.description.audio.model_copy(), "infer": infer}
        self.cfg = cfg.model_copy(update=own | {"train": cfg.train.model_copy(update={"sed_fps": rate})})
        self._fields = class_fields(self.description.classes)
        self.class_names = self._fields["names"]
        self.class_codes = self._fields["codes"]
        self.class_alt_names = self._fields["alt_names"]
        self.class_alt_codes = self._fields["alt_codes"]
        self._last: tuple[Path, list[float]] | None = None  # recording and start times that were scored last

    def __len__(self) -> int:
        """The number of models."""
        return len(self._networks)

    # Scores

    def score_windows(
        self, specs: np.ndarray, members: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores (n, n_classes) of spectrograms (n, height, width) or (n, 1, height, width) in 0..1, and those of their
        frames (n, n_classes, n_frames), which are None if no model has a head that knows of frames.

        members: indices of the models that are asked; None: all.
        """
        networks = self._networks if members is None else [self._networks[i] for i in members]
        parts = [self._score(part, networks) for part in self._parts(specs)]
        if not parts:
            return np.zeros((0, len(self.class_names)), np.float32), None
        scores, frames = zip(*parts, strict=True)
        return np.concatenate(scores), None if frames[0] is None else np.concatenate(frames)

    @torch.inference_mode()
    def _score(self, x: Tensor, networks: list[Network]) -> tuple[np.ndarray, np.ndarray | None]:
        pairs = []
        for network in networks:
            scaling = scaling_of(self.cfg.infer, network.description)
            multi_label = network.description.multi_label
            logits, frame_logits = network.logits(x)
            frames = None if frame_logits is None else _scores(frame_logits, multi_label, scaling)
            pairs.append((_scores(logits, multi_label, scaling), frames))
        of_frames = [frames for _, frames in pairs if frames is not None]
        return _mean([scores for scores, _ in pairs]), _mean(of_frames) if of_frames else None

    def _parts(self, specs: np.ndarray) -> Iterator[Tensor]:
        """Spectrograms as tensors on the device, as many at a time as are scored together."""
        specs = np.asarray(specs, np.float32)
        audio, n = self.description.audio, self.cfg.infer.batch_size
        if specs.ndim == 4 and specs.shape[1] == 1:
            specs = specs[:, 0]
        if specs.ndim != 3 or specs.shape[1:] != (audio.spec_height, audio.spec_width):
            size = f"(n, {audio.spec_height}, {audio.spec_width})"
            raise EarshotError(
                f"spectrograms of shape {specs.shape}: the model takes {size}; make them with its settings"
            )
        for i in range(0, len(specs), n):
            yield torch.from_numpy(np.ascontiguousarray(specs[i : i + n])).to(self.device)

    def get_block_scores(
        self, specs: np.ndarray, start_times: Sequence[float] | None = None, audio_duration: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores (n, n_classes) of spectrograms (n, height, width) or (n, 1, height, width) in 0..1, and a frame map.

        start_times: of the spectrograms, s from the start of the recording. audio_duration: of the recording, s; None:
        up to the end of the last spectrogram. The frame map, (n_frames, n_classes) with cfg.train.sed_fps frames a
        second, is None unless there are start times and a model with a head that knows of frames.
        """
        scores, frames = self.score_windows(specs)
        if frames is None or start_times is None:
            return scores, None
        if len(start_times) != len(scores):
            raise EarshotError(f"{len(start_times)} start times for {len(scores)} spectrograms; give one for each")
        if audio_duration is None:
            audio_duration = max(start_times) + self.description.audio.spec_duration
        return scores, self.to_global_frames(frames, start_times, audio_duration)

    def get_recording_scores(
        self, recording_path: str | Path, start_seconds: float = 0
    ) -> tuple[np.ndarray, np.ndarray | None, list[float]]:
        """Scores (n_windows, n_classes) of a recording's windows, its frame map, and start times (s) of the windows.

        start_seconds: where to start. The windows lie infer.overlap s over each other. The frame map, (n_frames,
        n_classes) from the start of the recording on, is None without a head that knows of frames. Memory grows with
        the scores, not with the sound. Raises AudioError if the recording cannot be read.
        """
        hop = hop_of(self.description.audio, self.cfg.infer.overlap)
        grid, seconds = FrameGrid(self.sed_fps, len(self.class_names)), 0.0
        scores, starts, maps = [self._no_scores()], [], []
        for batch in self._stream(recording_path, hop, start_seconds):
            block, frames = self.score_windows(batch.windows.spectrograms)
            scores.append(block)
            starts += batch.windows.starts.tolist()
            seconds = batch.windows.seconds
            if frames is not None:
                grid.add(frames, batch.windows.starts)
                maps.append(grid.take(final_frame(batch, self.sed_fps)))
        if maps:
            maps.append(grid.take(round(seconds * self.sed_fps)))
        self._last = Path(recording_path), starts
        return np.concatenate(scores), np.concatenate(maps) if maps else None, starts

    def get_overlapping_scores(
        self, recording_path: str | Path, segment_len: float, initial_start_times: Sequence[float]
    ) -> np.ndarray:
        """The frame map, (n_frames, n_classes), where each model of an ensemble takes windows of its own.

        Model i takes windows at initial_start_times[i % n] (s) and every segment_len s from there. A model whose first
        window lies behind the start takes one more before it, filled up with silence. A frame's score is the mean of
        all windows that cover it; of a model that knows nothing of frames, a window's score counts for each of them.
        Raises AudioError if the recording cannot be read.
        """
        if not len(initial_start_times) or min(initial_start_times) < 0 or segment_len <= 0:
            raise EarshotError("initial_start_times and segment_len: give one or more times and a length, in seconds")
        offsets = [float(time) for time in initial_start_times][: len(self)]
        grid, seconds, starts = FrameGrid(self.sed_fps, len(self.class_names)), 0.0, set()
        maps = [self._no_scores()]
        for batch in self._stream(recording_path, segment_len, 0.0, offsets):
            members = members_of(batch.group, offsets, len(self))
            grid.add(self.frames_of(batch.windows.spectrograms, members)[1], batch.windows.starts, len(members))
            starts |= set(batch.windows.starts.tolist())
            seconds = max(seconds, batch.windows.seconds)
            maps.append(grid.take(final_frame(batch, self.sed_fps)))
        maps.append(grid.take(round(seconds * self.sed_fps)))
        self._last = Path(recording_path), sorted(starts)
        return np.concatenate(maps)

    def frames_of(self, specs: np.ndarray, members: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What score_windows returns; of models that know nothing of frames, these have the scores of their windows."""
        scores, frames = self.score_windows(specs, members)
        if frames is None:
            n_frames = max(1, round(self.sed_fps * self.description.audio.spec_duration))
            frames = np.repeat(scores[:, :, None], n_frames, axis=2)
        return scores, frames

    def _stream(
        self, path: str | Path, hop: float, start: float, offsets: list[float] | None = None
    ) -> Iterator[Batch]:
        audio, n = self.description.audio, self.cfg.infer.batch_size
        try:
            yield from stream_windows(path, audio, hop, n, start, offsets)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from None
        except OSError as error:
            raise AudioError(f"{path}: cannot be read ({error.strerror}); check the path") from None

    def _no_scores(self) -> np.ndarray:
        return np.zeros((0, len(self.class_names)), np.float32)

    @property
    def quantile(self) -> float | None:
        """Which quantile of its frames' scores is that of a label of fixed length; None: the maximum."""
        return self.cfg.infer.quantile

    @property
    def sed_fps(self) -> float:
        """Frames a second of a frame map."""
        return self.cfg.train.sed_fps

    def to_global_frames(
        self, frame_scores: np.ndarray, offsets_sec: Sequence[float], recording_duration_sec: float
    ) -> np.ndarray:
        """Scores of a recording's frames, (n_frames, n_classes) float32, each the mean of the windows that cover it.

        frame_scores: of windows, (n, n_classes, frames of a window) in 0..1; offsets_sec: where they begin, s;
        recording_duration_sec: s, in which there are cfg.train.sed_fps frames a second.
        """
        if np.ndim(frame_scores) != 3:
            raise EarshotError(f"frame scores of shape {np.shape(frame_scores)}: must be (n, n_classes, n_frames)")
        frame_scores = np.asarray(frame_scores)
        return to_global_frames(frame_scores, np.asarray(offsets_sec, float), recording_duration_sec, self.sed_fps)

    def get_embeddings(self, spec_array: np.ndarray) -> np.ndarray:
        """Embeddings, float32 (n, dim), the mean of those of the models.

        spec_array: spectrograms (n, height, width) or (n, 1, height, width) in 0..1. Raises EarshotError if the models'
        embeddings are not of one size.
        """
        parts = [self._embed(part) for part in self._parts(spec_array)]
        return np.concatenate(parts) if parts else self._embed(torch.zeros(1, *self._size(), device=self.device))[:0]

    def _size(self) -> tuple[int, int]:
        return self.description.audio.spec_height, self.description.audio.spec_width

    @torch.inference_mode()
    def _embed(self, x: Tensor) -> np.ndarray:
        embeddings = [network.embed(x) for network in self._networks]
        if len({embedding.shape for embedding in embeddings}) > 1:
            raise EarshotError(f"{self.files[0].parent}: models with embeddings of several sizes; give one model")
        return _mean(embeddings)

    # Labels

    def get_segment_labels(self, scores: np.ndarray | None, start_times: Sequence[float]) -> dict[str, list[Label]]:
        """Labels by name, one for each window and class that scores high enough; names without labels are left out.

        scores: (n_windows, n_classes); start_times: of the windows, s. What classes are called is infer.label_field's
        to say; from which score on they are labelled, infer.min_score's and, with infer.class_thresholds, the models'.
        Labels are not merged here, whatever infer.merge_labels says, which is about label files.
        """
        labels: dict[str, list[Label]] = {}
        if scores is None or not len(scores):
            return labels
        scores, starts = self._checked(scores, "scores"), np.asarray(start_times, float)
        hits = find_hits(starts, scores, self._min_scores())
        order = np.argsort(hits.starts, kind="stable")
        hits = Hits(*(values[order] for values in hits))
        for label in window_labels(hits, self.description.audio.spec_duration, self._names()):
            labels.setdefault(label.name, []).append(label)
        return labels

    def get_frame_labels(self, frame_map: np.ndarray) -> dict[str, list[Label]]:
        """Labels by name of a frame map (n_frames, n_classes), with an entry for each class.

        If infer.segment_len is None, a label is as long as frames score high enough; its score is the highest of them.
        Else labels have that length, on a grid from 0 on, and the maximum, or `quantile`, of their frames' scores.
        """
        frame_map = self._checked(frame_map, "frame map")
        names = self._names()
        length = self.cfg.infer.segment_len
        labeller = make_labeller(names, self._min_scores(), self.sed_fps, length, self.quantile)
        labels: dict[str, list[Label]] = {name: [] for name in names}
        for label in [*labeller.add(frame_map), *labeller.finish()]:
            labels[label.name].append(label)
        return labels

    def get_dataframe(
        self,
        score_array: np.ndarray | None,
        frame_map: np.ndarray | None,
        start_times: Sequence[float],
        recording_name: str,
    ) -> "pd.DataFrame":
        """Labels as a table: recording, name, start_time, end_time, score, sorted by name and start time.

        Those of the frame map if there is one, else those of the scores; see get_frame_labels and get_segment_labels,
        which merges none.
        """
        import pandas as pd

        by_name = (
            self.get_segment_labels(score_array, start_times) if frame_map is None else self.get_frame_labels(frame_map)
        )
        rows = [(recording_name, *label) for name in sorted(by_name) for label in by_name[name]]
        table = pd.DataFrame(rows, columns=["recording", "name", "start_time", "end_time", "score"])
        return table.astype({"start_time": float, "end_time": float, "score": float})

    def get_class_name(self, label: str) -> str:
        """The name of the class that a label (name, code, alt_name or alt_code) means; the label itself if of none.

        A label that means several counts as infer.label_field says, else as a name before a code.
        """
        return find_class(label, self._fields, self.cfg.infer.label_field) or label

    def _names(self) -> list[str]:
        return self._fields[self.cfg.infer.label_field]

    def _min_scores(self) -> np.ndarray:
        return min_scores(self.cfg.infer, self.descriptions)

    def _checked(self, scores: np.ndarray, what: str) -> np.ndarray:
        scores, n_classes = np.asarray(scores), len(self.class_names)
        if scores.ndim != 2 or scores.shape[1] != n_classes:
            raise EarshotError(f"{what} of shape {scores.shape}: must have two dimensions and {n_classes} classes")
        return scores

    # What is shown and kept

    def get_specs(self) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """Spectrograms (n, height, width) of the recording that was scored last: in 0..1, and the levels themselves.

        They are made now, from the file, so that nothing is kept that nobody asks for. None if none was scored.
        """
        from lib.audio.audio import Audio

        if self._last is None:
            return None, None
        path, starts = self._last
        audio = Audio("cpu", self.cfg)
        audio.load(path)
        normalized, levels = audio.get_spectrograms(starts)
        if normalized is None or levels is None:
            raise AudioError(f"{path}: can no longer be read; score a recording again")
        return np.asarray(normalized), np.asarray(levels)

    def show_scores(self, scores: np.ndarray | None, frame_map: np.ndarray | None) -> None:
        """Print the classes that score highest in the first window, in descending order.

        scores: (n_windows, n_classes); frame_map: (n_frames, n_classes), which counts if there is one.
        """
        if frame_map is not None:
            frame_map = self._checked(frame_map, "frame map")
            n_frames = max(1, int(self.sed_fps * self.description.audio.spec_duration))
            scores = frame_map[:n_frames].max(axis=0, keepdims=True) if len(frame_map) else None
        if scores is None or not len(scores):
            return
        names, scores = self._names(), self._checked(scores, "scores")
        for column in np.argsort(-scores[0], kind="stable")[:SHOWN]:
            say(f"{names[column]}: {scores[0, column]:.4f}")

    def save_manifest(self, output_path: str | Path, cfg: Settings | None = None) -> None:
        """Write a manifest: classes, models, and settings by which scores and labels come about.

        output_path: the file, if it ends in .yaml or .yml; else the folder that manifest.yaml goes to.
        """
        path = Path(output_path)
        path = path if path.suffix in (".yaml", ".yml") else path / "manifest.yaml"
        write_text(path, manifest_text(model_manifest(self.files, self.descriptions, cfg or self.cfg)))


def final_frame(batch: Batch, fps: float) -> int:
    """The first frame to which windows after a batch, or more sound, may still add."""
    return round(min(batch.final, batch.windows.seconds) * fps - SLACK)


def members_of(group: int, offsets: Sequence[float] | None, n_models: int) -> list[int]:
    """Indices of the models that take the windows of a group."""
    return list(range(group, n_models, len(offsets))) if offsets else list(range(n_models))


def _scores(logits: Tensor, multi_label: bool, scaling: tuple[float, float]) -> Tensor:
    """Scores of logits (n, n_classes) or (n, n_classes, n_frames), scaled."""
    coefficient, intercept = scaling
    if multi_label:
        return torch.sigmoid(logits if scaling == AS_IT_IS else coefficient * logits + intercept)
    scores = torch.softmax(logits, dim=1)
    return scores if scaling == AS_IT_IS else torch.sigmoid(coefficient * torch.logit(scores, END) + intercept)


def _mean(values: list[Tensor]) -> np.ndarray:
    return torch.stack(values).mean(dim=0).float().cpu().numpy()
