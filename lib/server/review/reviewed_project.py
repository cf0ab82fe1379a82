"""What the review page is about: results, annotations and decisions, read again when the pipeline has changed them."""

import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lib.audio.reader import probe
from lib.audio.sound_stretches import heterodyned, read_stretch, slowed, wav_bytes
from lib.audio.spectrogram_plots import band_position, frequency_ticks
from lib.audio.spectrogram_tiles import COLORS, TileLook, tile, tile_scale
from lib.config.schema import AudioSettings, Settings
from lib.core.digests import state_of
from lib.core.errors import EarshotError, Problem
from lib.curation.class_verification import ClassVerification
from lib.curation.clip_export import export_clips
from lib.curation.clip_filter import ClipFilter
from lib.curation.clip_index import Clip, ClipIndex
from lib.curation.score_curves import score_curve
from lib.evaluation.figures import MEASURED, interval, read_figures, title
from lib.evaluation.matches_store import MATCHES_FILE, matches_folder
from lib.results.results_store import ResultsStore
from lib.server.public_text import public_line
from lib.server.review.review_answers import (
    ClipView,
    ExportedClips,
    Figure,
    MapPoint,
    NewExport,
    Overview,
    ScoreBand,
    ShownSpan,
    Similar,
    Tick,
    confusion,
    shown_clip,
    summaries,
)
from lib.server.review.verification_answers import ShownVerification, shown_verification
from lib.sound.labels import RESULTS_FILE

MOST_SIMILAR, MOST_POINTS = 200, 3000
LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts that nobody reaches from other machines, so that whoever started the server is likely to decide."""
NO_ID = 0
"""No clip has it."""
LONG_HEIGHT = 240
"""Bands by which ticks of the axis are placed."""


class ReviewedProject:
    """A project under review; several threads may use it.

    Args:
        settings: of the project.
        labels: folder that infer wrote.
        report: folder that evaluate wrote.
        by: whose decisions the page proposes.
        store: file of embeddings.

    Raises EarshotError if there are no results.
    """

    def __init__(self, settings: Settings, labels: str, report: str, by: str, store: str) -> None:
        self.settings, self.labels, self._report, self._by, self.store = settings, labels, report, by, Path(store)
        self._decoding = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))
        """Recordings that are decoded at a time: each takes some megabytes."""
        self._lock, self._mapping = threading.Lock(), threading.Lock()
        self._state = self._state_now()
        self._index = ClipIndex(settings, labels)
        self._verification = ClassVerification(settings, labels, self._index)

    @property
    def index(self) -> ClipIndex:
        return self._index

    def close(self) -> None:
        self._index.close()

    def _state_now(self) -> list[str]:
        states = []
        for path in (Path(self.labels, RESULTS_FILE), matches_folder(self.labels) / MATCHES_FILE):
            with suppress(OSError):
                states.append(state_of(path))
        return states

    def refresh(self) -> None:
        """Make the index again if infer or evaluate have written since. Raises EarshotError if that cannot be read."""
        with self._lock:
            if (state := self._state_now()) != self._state:
                index, self._index = self._index, ClipIndex(self.settings, self.labels)
                self._verification = ClassVerification(self.settings, self.labels, self._index)
                self._state = state
                index.close()

    def overview(self) -> Overview:
        index = self.index
        counts, bands = index.counts(), index.score_bands()
        n = counts.groupby("origin")["n"].sum().to_dict()
        audio = self.settings.audio
        return Overview(
            by=self._by if self.settings.review.host in LOCAL else "",
            classes=summaries(counts, bands, index.classes),
            confusion=confusion(counts),
            bands=[
                ScoreBand(class_name=name, band=band, n=size, judged=judged, right=right)
                for name, band, size, judged, right in bands.itertuples(index=False)
            ],
            figures=self._figures(),
            sites=index.sites(),
            problems=[_line(problem) for problem in index.problems],
            colors=list(COLORS),
            context=self.settings.review.context,
            min_freq=audio.min_freq,
            max_freq=audio.max_freq,
            range_db=min(audio.top_db, 60.0),
            n_found=int(n.get("found", 0)),
            n_annotated=int(n.get("annotated", 0)),
            n_decided=int(counts.loc[counts["decision"] != "", "n"].sum()),
            has_embeddings=self.store.is_file(),
        )

    def _figures(self) -> list[Figure]:
        try:
            figures = read_figures(self._report)
        except (OSError, ValueError):
            return []
        return [
            Figure(title=title(name), value=figures[name], interval=interval(name, figures))
            for name in MEASURED
            if name in figures
        ]

    def sampled(self, chosen: ClipFilter, n: int) -> ClipFilter:
        """A filter of the same clips of a class, as far as they are in its verification sample of n. Raises
        EarshotError."""
        return chosen._replace(ids=self._verification.sample(chosen.class_name, n) or (NO_ID,))

    def verification(self, class_name: str, n: int, wanted: float) -> ShownVerification:
        """How far a class is verified by a sample of n clips, and its precision by score. Raises EarshotError."""
        verified = self._verification.precision(class_name, wanted)
        chosen = self.sampled(ClipFilter(class_name=verified.checked.class_name), n)
        return shown_verification(verified, self.index.page(chosen, "score", 0, n).clips, wanted)

    def view(self, clip: Clip, start: float, end: float, look: TileLook) -> ClipView:
        """What is drawn over a clip's spectrogram from start to end (s). Raises EarshotError."""
        info = probe(clip.path)
        scale = tile_scale(self.settings.audio, look, info.sampling_rate, LONG_HEIGHT)
        ticks = frequency_ticks(scale)
        times, scores = np.empty(0), np.empty(0)
        if clip.found_name is not None:
            with ResultsStore(self.labels) as store:
                curve = score_curve(store, clip.found_name, clip.class_name, start, end)
            times, scores = curve.starts + curve.seconds / 2, curve.scores
        return ClipView(
            clip=shown_clip(clip),
            seconds=info.seconds,
            sampling_rate=info.sampling_rate,
            spans=[_span(each, scale) for each in self.index.near(clip, start, end)],
            ticks=[Tick(hertz=hertz, at=at) for hertz, at in zip(ticks, _height_of(ticks, scale), strict=True)],
            times=times.round(4).tolist(),
            scores=np.round(scores.astype(float), 4).tolist(),
        )

    def tile(self, clip: Clip, start: float, end: float, look: TileLook) -> bytes:
        """A PNG file. Raises EarshotError."""
        with self._decoding:
            return tile(clip.path, start, end, look, self.settings.audio)

    def sound(self, clip: Clip, start: float, end: float, slow: float, frequency: float) -> bytes:
        """A WAV file of exactly what a tile from start to end (s) shows.

        Args:
            slow: times slower, with the same samples.
            frequency: Hz, by which it is shifted down instead; 0: not.

        Raises EarshotError.
        """
        with self._decoding:
            stretch = read_stretch(clip.path, start, end, self.settings.audio.channel)
            return wav_bytes(*(heterodyned(stretch, frequency) if frequency else slowed(stretch, slow)))

    def similar(self, clip: Clip) -> Similar:
        """Look for what sounds like a clip. Raises EarshotError if its recording has no embeddings."""
        from lib.curation.clip_search import similar_to

        return Similar(origin=self.index.add_similar(clip, similar_to(clip, self.store, MOST_SIMILAR)))

    def export(self, new: NewExport) -> ExportedClips:
        """Write clips into a folder of their own below review.export_dir. Raises EarshotError."""
        clips = self.index.clips(new.clips)
        folder = Path(self.settings.review.export_dir, datetime.now(UTC).strftime("%Y%m%d_%H%M%S_%f"))
        with self._decoding:
            n, problems = export_clips(clips, folder, new.suffix, new.context, self.settings.audio.channel)
        return ExportedClips(n=n, folder=folder.name, problems=[_line(one) for one in problems])

    def map(self) -> list[MapPoint]:
        """Clips by the similarity of their sounds. Raises EarshotError if there are no embeddings."""
        from lib.curation.embedding_map import sound_map

        clips = {clip.id: clip for clip in self.index.spread(MOST_POINTS)}
        with self._mapping:
            points = sound_map(list(clips.values()), self.store)
        return [
            MapPoint(
                id=number,
                x=round(x, 4),
                y=round(y, 4),
                class_name=clips[number].class_name,
                origin=clips[number].origin,
                decision=clips[number].decision,
            )
            for number, (x, y) in zip(points.ids.tolist(), points.positions.tolist(), strict=True)
        ]


def _line(problem: Problem) -> str:
    return public_line(EarshotError(*problem[:3]), Path(problem.subject).name)


def _height_of(hertz: np.ndarray, scale: AudioSettings) -> list[float]:
    return (band_position(hertz, scale) / scale.spec_height).clip(0, 1).round(5).tolist()


def _span(clip: Clip, scale: AudioSettings) -> ShownSpan:
    one = shown_clip(clip)
    low, high = None, None
    if clip.low_freq is not None and clip.high_freq is not None:
        low, high = _height_of(np.array([clip.low_freq, clip.high_freq]), scale)
    return ShownSpan(**one.model_dump(include=_SPAN_FIELDS), low=low, high=high)


_SPAN_FIELDS = {"id", "origin", "class_name", "start", "end", "score", "decision"}


def checked_clip(index: ClipIndex, number: int) -> Clip:
    """The clip of that ID. Raises EarshotError if it is not there."""
    (clip,) = index.clips([number])
    return clip
