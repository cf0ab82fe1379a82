"""Recordings in, scores out: models, decoders and the thread that computes, for all requests together."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.config.schema import Settings
from lib.core.errors import AudioError, EarshotError
from lib.core.parallel import n_workers
from lib.evaluation.clip_metrics import classes_found, clip_scores
from lib.models.description import Description, description_file, read_description
from lib.server.batch_scorer import BatchScorer, ServedModel, stamp_of
from lib.server.checkpoint_trial import CheckpointTrials
from lib.server.decoder_messages import DecoderMessage, DecodingJob
from lib.server.decoder_pool import DecoderPool
from lib.server.server_metrics import ServerMetrics

NO_LIMIT = 1e12
DESCRIPTION_BYTES = 2**24
"""Of a model's description, at most."""
REMEMBERED_SECONDS = 60.0
"""For which a checkpoint that failed its trial is refused without another; memory may have been short just then."""


class ScoredRecording(NamedTuple):
    """What a model finds in a recording.

    Args:
        starts: of the windows, s.
        scores: of the windows, float32 (n_windows, n_classes).
        clip: the mean of these, float32 (n_classes,).
        found: which classes are present in the recording, bool (n_classes,).
        seconds: its duration.
        overview: messages with its waveform and spectrogram, if they were asked for.
    """

    starts: list[float]
    scores: np.ndarray
    clip: np.ndarray
    found: np.ndarray
    seconds: float
    overview: list[DecoderMessage]


class Recognition:
    """Models that requests share, and what computes with them. start() comes first, stop() last."""

    def __init__(self, settings: Settings, metrics: ServerMetrics) -> None:
        serve = settings.serve
        self._settings, self._metrics = settings, metrics
        self._models: dict[Path, ServedModel] = {}
        self._loading: dict[Path, asyncio.Lock] = {}
        self._faults: dict[Path, tuple[float, tuple[int, int], EarshotError]] = {}
        self.decoders = DecoderPool(n_workers(serve.workers), serve.decoder_memory_mb, serve.decoder_seconds)
        self.scorer = BatchScorer(settings, metrics.note_batch)
        self._trials = CheckpointTrials(settings.infer)

    async def start(self) -> None:
        await self.decoders.start()

    async def stop(self) -> None:
        await asyncio.gather(self.decoders.stop(), self._trials.stop())
        await asyncio.to_thread(self.scorer.close)

    async def model(self, file: Path) -> ServedModel:
        """A checkpoint, loaded: at once if it is already. Raises EarshotError if it cannot be used."""
        async with self._loading.setdefault(file, asyncio.Lock()):
            stamp = stamp_of(file)
            known = self._models.get(file)
            if known is None or known.stamp != stamp:
                model = ServedModel(file, stamp, await asyncio.to_thread(_described, file), self._settings.infer)
                _ = model.windows  # raises what does not fit
                await self._try(model)
                await self.scorer.load(model)
                self._models[file] = known = model
            return known

    async def _try(self, model: ServedModel) -> None:
        """Raises EarshotError if a checkpoint fails its trial, or did so not long ago: trials are dear."""
        until, stamp, fault = self._faults.get(model.file, (0.0, (0, 0), None))
        if fault is not None and stamp == model.stamp and time.monotonic() < until:
            raise fault.with_traceback(None)  # each raise would make its traceback longer
        try:
            await self._trials.try_checkpoint(model.file)
        except EarshotError as error:
            self._faults[model.file] = time.monotonic() + REMEMBERED_SECONDS, model.stamp, error
            raise

    async def score(
        self, model: ServedModel, file: Path, longest: float = NO_LIMIT, must_be_whole: bool = False, columns: int = 0
    ) -> ScoredRecording:
        """Scores of a recording.

        Args:
            model: that scores.
            file: the recording.
            longest: s; a longer one is refused.
            must_be_whole: refuse a recording of which a part is missing; else what there is of it counts.
            columns: of an overview of it, see DecodingJob.

        Raises AudioError if the recording cannot be read or is refused, TimeoutError if it stalls for serve.timeout,
        not counting the time until a decoder is free, which other recordings take, and NoDecoder if none starts.
        """
        patience = self._settings.serve.timeout
        job = DecodingJob(path=str(file), windows=model.windows, longest=longest, columns=columns)
        futures, starts, overview, seconds = list[asyncio.Future](), list[float](), list[DecoderMessage](), 0.0
        try:
            async with self.decoders.decoder(patience) as decoder, asyncio.timeout(patience) as stall:
                async for message in decoder.read(job):
                    stall.reschedule(asyncio.get_running_loop().time() + patience)
                    if message.kind == "windows":
                        starts += message.starts
                        futures.append(await self.scorer.submit(model, self._checked(model, message)))
                    elif message.kind == "problem" and must_be_whole and message.is_damage:
                        raise AudioError(file, message.text)
                    elif message.kind in ("waveform", "spectrogram"):
                        overview.append(message)
                    seconds = max(seconds, message.seconds)
            async with asyncio.timeout(patience):  # of the last few batches; the others have been scored
                parts = await asyncio.gather(*futures)
            scores = np.concatenate([np.zeros((0, len(model.classes)), np.float32), *parts])
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        if not len(scores):
            raise AudioError(file, "is over before it begins: it holds no window")
        if not np.isfinite(scores).all():
            raise AudioError(file, "the model gives scores that are no numbers", "retrain the model")
        self._metrics.note_sound(seconds)
        clip = clip_scores(scores)
        return ScoredRecording(starts, scores, clip, classes_found(clip, model.thresholds), seconds, overview)

    def _checked(self, model: ServedModel, message: DecoderMessage) -> np.ndarray:
        if message.values.shape[1:] not in model.description.window_shapes:
            raise AudioError("", "cannot be decoded (its decoder gave nonsense)")
        return message.values

    async def score_each(
        self, model: ServedModel, recordings: Iterable[tuple[str, Path]]
    ) -> AsyncGenerator[tuple[str, ScoredRecording | AudioError], None]:
        """Name and scores of each recording, or what is wrong with it, as they come: several are read at a time.

        One that stalls for serve.timeout is given up.
        """
        waiting = iter(recordings)
        results: asyncio.Queue[tuple[str, ScoredRecording | EarshotError] | BaseException | None] = asyncio.Queue(1)

        async def work() -> None:
            try:
                for name, file in waiting:  # shared by all workers
                    result: ScoredRecording | AudioError
                    try:
                        result = await self.score(model, file)
                    except AudioError as error:
                        result = error
                    except TimeoutError:
                        result = AudioError(file, f"stalled for {self._settings.serve.timeout:g} s")
                    await results.put((name, result))
                await results.put(None)
            except Exception as error:
                await results.put(error)

        n = self.decoders.n + 1  # one waits for its scores while others are read
        workers = [asyncio.create_task(work()) for _ in range(n)]
        try:
            while n:
                result = await results.get()
                if result is None:
                    n -= 1
                elif isinstance(result, BaseException):
                    raise result
                else:
                    yield result  # type: ignore[misc]
        finally:
            for worker in workers:
                worker.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*workers, return_exceptions=True)


def _described(file: Path) -> Description:
    """The description beside a checkpoint. Raises EarshotError if it is none, or too large to be one."""
    path = description_file(file)
    if path.is_file() and path.stat().st_size > DESCRIPTION_BYTES:
        raise EarshotError(path, "is not a model description", "remove it, or retrain the model")
    return read_description(file)
